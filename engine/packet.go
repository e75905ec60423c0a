package engine

import "appliance/engine/packet"

// A Segment is where one frame's bytes lie in the Arena: Len bytes from offset
// Off of frame Frame. It is all that a Port knows of a packet.
type Segment struct {
	Frame uint32 // frame number, below Arena.Frames()
	Off   uint16 // first byte of the Ethernet header inside the frame
	Len   uint16 // bytes of the Ethernet frame, without FCS
}

// A Verdict is what becomes of a packet. A Handler sets it; the engine acts on
// it and counts.
type Verdict uint8

// The verdicts. The zero Verdict drops, so that a packet which a Handler
// forgets is dropped and counted, never leaked.
const (
	Drop     Verdict = iota // free the frame and count Packet.Reason
	Transmit                // send the frame out of interface Packet.Out
	Hand                    // give the packet to the engine that owns Packet.Hash, which is not this one
	Hold                    // leave the frame with the Handler, which is a Holder
)

// A Packet is a frame inside a pass of the engine: where it lies, what Parse
// and the hash said of it, and what shall become of it.
type Packet struct {
	Segment
	packet.Info
	Hash    uint32 // Toeplitz hash of the packet's tuple under the cluster's key
	In      uint8  // interface it came in on, by number (order of configuration)
	Out     uint8  // interface to send it on; valid iff Verdict is Transmit
	Verdict Verdict
	Reason  packet.Reason // valid iff Verdict is Drop
	Scratch [4]uint32     // the Handler's own, from one of its stages to the next, and on a packet's way from engine to engine
}
