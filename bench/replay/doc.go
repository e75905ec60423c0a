// Package replay is a port for benchmarks inside one process: it hands out the
// same packets again and again, and swallows what is transmitted.
//
// # As a network card would
//
// Packets live in frames of the engine's arena. Each time the [Port] hands a
// frame out it first writes the packet's first cache line (its [Head]) into it
// anew, because the last receiver has rewritten addresses, ports and checksums:
// as the DMA of a network card would. The frames that are posted to it go round
// in order, so with [Frames] of them the frame that comes next was last touched
// more than 8 MiB ago.
//
// The cost of that writing, and of reading the heads, is part of what is
// measured. A baseline that is to be compared must run over a Port too.
//
// # Legs
//
// A Port is silent until [Port.Play], then hands out a given number of packets
// as fast as they are taken. The clock is read twice a leg, never a packet.
package replay
