// Package demo shows the appliance at its main job: it builds a lab, starts the
// nodes as processes of their own, drives HTTP and UDP through the VIP and says
// what became of every request.
//
// What it drives, over all clients and address families together: 100 HTTP
// requests a second on new connections, 100 on kept-alive ones, and 50 UDP
// datagrams, each checked byte by byte and none repeated (see package traffic).
// With Options.Fragments, 20 datagrams of 100 to 60,000 bytes a second besides,
// which both kernels send in up to 42 fragments.
//
// Progress goes to one writer, the result (a summary for people, or one JSON
// object) to another, so that a script reads the result and nothing else.
package demo
