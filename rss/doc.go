// Package rss hashes flows as network cards do, so that the hash of a packet,
// and with it the node and the engine that own its flow, is the same wherever
// it is computed: in hardware, on the node that received the packet, on the
// node that owns it.
//
// The hash is the Toeplitz hash of Microsoft's Receive Side Scaling, over
// source address, destination address, source port, destination port in the
// order and byte order of the headers (the 4-tuple), or without the ports (the
// 2-tuple) where there are none: fragments, ICMP.
//
// # Linear
//
// The hash is linear over GF(2): the hash of a XOR b is the hash of a XOR the
// hash of b. Everything here uses that. [Hasher] adds up table entries instead
// of shifting the key bit by bit. [Ports] solves for the port that brings a
// flow into a wanted bucket. [Key.Degenerate] finds the keys for which such a
// port doesn't always exist.
//
// # Two halves
//
// The control half makes keys and tables: [RandomKey], [DeriveKey], [NewHasher],
// [NewPorts], [NewCoreTable]. It may allocate and fail. The hot half looks up:
// the methods of [Hasher], [Ports] and [CoreTable]. It can do neither.
//
// # Invariants
//
//   - A Hasher, a Ports and a CoreTable never change once made, so any number
//     of engines may read them without locks.
//   - Every Hasher result equals [Slow], the published algorithm, bit by bit.
//   - Index bits are always low bits: the bucket is the hash modulo the number
//     of buckets, the core entry the hash modulo [CoreEntries], as in a network
//     card.
//   - Keys that this package makes are not degenerate.
//
// # Limits
//
// A key is a secret, but the hash is no cipher: being linear, it gives the key
// away to whoever sees the hashes of chosen tuples. Hashes stay inside the
// cluster.
//
// All that the low bits of a hash select (node, engine) is correlated with
// those bits. A table further down, which sees only flows of one node and one
// engine, must not index with them again: mix the hash first.
package rss
