// Package lab builds a network on one machine, out of network namespaces and
// veth pairs: clients, a router, nodes for the appliance, backends with real
// servers. The demo, the end-to-end tests and the benchmarks drive real traffic
// through it.
//
// # Topology
//
// Every box is a network namespace, named lab-ID-HOST; every line a veth pair,
// with the names of its two interfaces.
//
//	  clients                router                      nodes
//	┌─────────┐        ┌──────────────────┐          ┌───────────────────┐
//	│ c1 eth0 ┼────────┼ c1            n1 ┼──────────┼ client0        n1 │
//	└─────────┘        │        r         │          │           server0 ┼─┐
//	┌─────────┐        │                  │          └───────────────────┘ │
//	│ c2 eth0 ┼────────┼ c2            n2 ┼────────── ...                  │
//	└─────────┘        │     server0      │                                │
//	                   └────────┼─────────┘                                │
//	                            │          server plane                    │
//	                   ┌────────┼──────────────────────────────────────────┼──┐
//	                   │ f      r                  br0                    n1  │
//	                   │           b1               b2               b3       │
//	                   └────────────┼────────────────┼────────────────┼───────┘
//	                           ┌────┼────┐      ┌────┼────┐      ┌────┼────┐
//	                 backends  │   eth0  │      │   eth0  │      │   eth0  │
//	                           │    b1   │      │    b2   │      │    b3   │
//	                           └─────────┘      └─────────┘      └─────────┘
//
// The router sends the VIPs to the nodes' addresses on their client planes, by
// multipath when there are several, and is the default gateway of clients, nodes
// and backends. So a backend's direct reply (DSR) reaches the client through it
// without passing a node. Only the router forwards.
//
// # Like a wire
//
// Offloads are off at every end: packets have the size and the checksums that
// they would have on a wire, and receivers verify them. Neighbours are found by
// ARP and neighbour discovery. Clients and servers are ordinary sockets, so what
// the nodes see is the kernel's own TCP.
//
// # Tunnels
//
// Kernels need not have tunnel devices, so with Config.Tunnels each backend runs
// package decap: packets in IP in IP and in GUE, to its own addresses, come out
// on a TUN device. The router sends the nodes' outer sources to the nodes.
//
// # Inside a namespace
//
// A socket belongs to the namespace it was opened in, for ever. So clients and
// servers are goroutines of this process: [Namespace.DialContext] and
// [Namespace.Listen] open their sockets on a thread that is inside, and then it
// doesn't matter where the goroutines run. Programs are started the same way,
// by [Namespace.Launch].
//
// # Invariants
//
//   - The machine's own namespace is never touched: links are born inside.
//   - Everything has the lab's id in its name, so any number of labs can run at
//     once, in one process or in several.
//   - Close leaves nothing. After a crash, the next New removes what is left:
//     processes, namespaces, files.
//   - When New, Start or Attach returns, packets flow: links are up, addresses
//     in use, the appliance ready.
//
// # Limits
//
// It runs as root, on Linux. All hosts share the machine's processors, so a
// lab says what is right, and only a careful benchmark how fast it is. Nodes
// run unpinned and with the adaptive idle strategy unless told otherwise.
package lab
