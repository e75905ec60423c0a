// Package memport is an [engine.Port] without a kernel: a wire in memory. Whole
// nodes run in one process on it, and tests need no privileges.
//
// # Two ends
//
// [Pair] lays a wire between two ports, each for an engine of its own. [NewTap]
// gives the far end to a test or a load generator instead: a [Tap] injects
// frames and collects what the engine transmits.
//
// # A wire
//
// Each direction is a ring of fixed slots with one producer and one consumer.
// Transmit copies frames into slots, Flush publishes them, Receive copies them
// into frames that Refill had posted; so the two ends may have Arenas of
// different sizes, and a frame can be reclaimed as soon as Transmit took it. A
// full wire makes Transmit take fewer frames, or loses them (Config.Lossy), as
// a network card's ring does.
//
// # Wake-up
//
// Each direction has an eventfd, which is readable from the first frame that
// waits until somebody looks for frames in vain. So a wire costs two system calls
// a pause in its traffic, and none while it is busy.
//
// # Faults
//
// SetDown cuts the wire for a while, Gone removes one end for good. Both may be
// called while engines run.
//
// # Limits
//
// A wire keeps no time: neither bandwidth nor delay is modelled. A frame that
// the receiver's Arena has no room for is dropped and counted.
package memport
