// Package rig builds the network that the forwarding benchmarks measure in, and
// accounts for every packet in it.
//
// # Topology
//
//	 client namespace          node namespace                 server namespace
//	┌────────────────┐  ┌───────────────────────────────┐  ┌──────────────────┐
//	│ generator      │  │        what is measured       │  │             sink │
//	│          gen0 ─┼──┼─ cli0                    srv0 ┼──┼─ sink0           │
//	│ 198.18.0.2/16  │  │  198.18.0.1/16  198.19.0.1/16 │  │  198.19.0.2/16   │
//	└────────────────┘  └───────────────────────────────┘  └──────────────────┘
//
// Addresses are those that RFC 2544 reserves for benchmarks. Each veth pair has
// one queue. Checksum and segmentation offloads are off on all four ends and
// IPv6 is off in all three namespaces, so nothing crosses a pair but the test's
// frames. Neighbours are static: backends are addresses of the far side that
// resolve to the sink's MAC, and no server answers.
//
// # Which processor does what
//
// The generator sends from a system call; the receive processing of cli0, with
// the XDP program of what is measured, runs in that call's softirq, on the
// generator's processor. What is measured transmits from its own processor, and
// the receive processing of sink0 runs there. So two processors are at work and
// a result is never one of "one core".
//
// # The account
//
// [Account] follows the frames from the generator's counter to the sink's and
// names each place where some were lost. [Account.Missing] is what no place
// admits to.
//
// # Limits
//
// A Rig belongs to one process: its namespaces are named after the process id,
// and New removes those of processes that are gone.
package rig
