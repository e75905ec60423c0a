// Package fragments is what one engine knows about fragmented datagrams: the
// ports of those whose fragments it meets, and the fragments that came before
// their ports were known.
//
// # Two owners
//
// Only the first fragment of a datagram has ports, so a network card, and the
// engine's hash, send all of them by their addresses alone: to one engine, the
// fragment owner. The engine that owns the flow, by addresses and ports, may be
// another. The fragment owner never puts a datagram together: it learns the ports
// from the first fragment, and from then on each fragment is a packet like any
// other, which goes on, with hash and ports, to the flow's owner.
//
//	first fragment ─► learn ports ─► goes on, and so does all that was held
//	later fragment ─► ports known? ─ yes ─► goes on
//	                      └ no ─► held, at most for Wait
//
// A [Table] is the fragment owner's part. [IDs] is the flow owner's, and only
// where addresses are rewritten: there datagrams of many senders get the same
// source, so their identifications have to be made anew (RFC 4963).
//
// # Overlaps
//
// A Table knows which bytes of each datagram have come by. An exact duplicate of
// a fragment goes the way of the first copy. A fragment that contradicts another
// one, by overlapping it or by another end of the datagram, ends the datagram: it
// is dropped, and so is all that follows and all that was held (RFC 5722, for
// IPv4 too). What has left already is too little for the receiver, unless the
// datagram had left whole: then the receiver has it as it was.
//
// # Bounds
//
// There is room for a fixed number of datagrams, of which the newest are
// remembered, and for a fixed number of held fragments, of which the oldest give
// way. Both fill up only in a flood; a datagram whose fragments follow each
// other closely then still gets through between the flood's.
//
//	datagrams  4096 = 300,000 fragments/s of a flood × 13 ms, in which the
//	                  fragments of a datagram come when a link is that busy
//	held       512  = 4 datagrams of 65,535 bytes in the smallest fragments that
//	                  IPv4 hosts must take whole (RFC 791: 576 bytes, so 119 of
//	                  them), all backwards, or 11 from Ethernet; 2 MiB of frames
//	a datagram 128    fragments, known and held: the above 119
//	Wait       1 s    a path that reorders by more is broken; a sender that reuses
//	                  identifications needs 1 s for all of IPv4 at 65,536
//	                  datagrams/s to one address
//
// A Table takes 2.4 MiB, IDs 32 KiB for each engine.
//
// # Invariants
//
//   - A fragment goes on only with the ports of the first fragment that has its
//     source, destination, protocol and identification.
//   - Each packet that Add held, or put into another's place, is in exactly one
//     of: the Table, what Release returned, the place it was put in.
//   - All fragments of a datagram have one [Tag], and no two datagrams that are
//     remembered at the same time have the same.
//   - Nothing allocates but New and NewIDs.
//
// # Limits
//
// One thread. Later IPv6 fragments whose fragment header says that an extension
// header follows are unknown to packet.Parse, so such datagrams don't arrive.
package fragments
