// Package pcapport is an [engine.Port] over capture files: the engine receives
// what one file holds, and what it transmits is written to another. Golden tests
// run on it, and captures from the field are replayed with it.
//
// # Replay
//
// [Open] reads the whole capture, pcap or pcapng, plain or (pcap only) gzipped,
// so that a bad file is an error before the first packet moves. Frames come as
// fast as the engine takes them, in the order of the file; their timestamps
// don't matter. Done says when the last one has been received.
//
// # Record
//
// Transmitted frames are written as pcap with microseconds. Config.Deterministic
// numbers them instead of reading a clock, so that equal packets make files that
// are equal byte by byte.
//
// # Limits
//
// Ethernet captures only, with whole frames that fit the Arena's. A capture is
// held in memory. Writing may block as long as the file does: this is a port for
// tests and tools, not for traffic.
package pcapport
