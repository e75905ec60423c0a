// Package engine moves packets: it takes them from ports in batches, finds the
// engine that owns each one's flow, has a Handler decide what becomes of them,
// and sends them out.
//
// # One loop
//
// An Engine is one operating-system thread. Each pass of its loop has four
// phases, one method each: inhale (hand-offs and received frames come in, are
// parsed and hashed, and go to their owner), decide (the Handler gives each a
// Verdict), exhale (verdicts are carried out; one Flush for each port that has
// something to send) and housekeep (frames are reclaimed, ports refilled, calls
// from the control half served, timers run). A pass touches at most Config.Batch
// packets, so it is bounded.
//
// # Two halves
//
// The hot half is what runs inside a pass: no lock, map write, channel,
// allocation, log, clock read or interface call per packet. It meets the
// control half at four points only: the Snapshot, loaded once a pass; Call,
// which runs a function on the engine's thread between two passes; rings that
// drop and count when full; and counters, which the control half copies by Call.
//
// # Owners
//
// Core entry = hash & 127, as network cards have it; Snapshot.Cores says which
// engine that is. A packet that another engine owns crosses a single-producer
// single-consumer ring with all that Parse and the hash found, so nothing is
// computed twice. Its frame changes hands with it: for each packet taken the
// owner gives a free frame back, which keeps every engine's count constant.
//
// A Handler that learns more about a packet than its headers say, as of a
// fragment, may send it on: it changes the hash and says Hand. A Handler that
// must wait for that is a Holder, and says Hold.
//
// # Frame ledger
//
// At any moment each frame of the Arena is in exactly one place: on an engine's
// free stack, with a port, in a batch, in a hand-off ring, or with a Handler
// that holds it back. Group.Ledger
// counts them; Close fails when the sum is not what the Arena has.
//
// # Limits
//
// At most 64 engines, 64 interfaces, 256 packets a batch. Every ring and stack
// has a fixed size. Nothing here blocks but the wait of an idle engine, which
// ends after 100 ms at the latest.
package engine
