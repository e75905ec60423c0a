package engine

import "errors"

// ErrPortGone reports that a port's interface is gone for good: the port must
// be closed, and a new one opened when the interface is back.
var ErrPortGone = errors.New("interface is gone")

// A Port is one receive and transmit queue pair of one interface: an AF_XDP
// socket, or something that stands in for it. It is batch-shaped: every method
// costs one call a batch, none a packet.
//
// # Frame ownership
//
// At any moment each frame of the Arena is owned by the engine or by one port.
// Refill and Transmit give frames to the port, Receive and Reclaim give them
// back, and Close gives back all that are left. Held counts those the port
// owns, so that the engine's ledger can prove that none is lost.
//
// A Port is used by one engine's thread at a time; only Stats may be called
// from another goroutine.
type Port interface {
	// Receive moves up to len(out) received frames into out and returns how
	// many. They belong to the caller from then on.
	Receive(out []Segment) int

	// Transmit queues frames in order and returns how many it took: those
	// belong to the port until Reclaim returns them. The rest stay the
	// caller's. Nothing need leave before Flush.
	Transmit(segs []Segment) int

	// Flush makes queued frames leave: one system call or a few, bounded, never
	// blocking. What the kernel does not take now leaves with a later Flush;
	// the engine calls Flush again while Pending is true.
	Flush()

	// Pending reports whether frames are queued that the kernel hasn't taken.
	Pending() bool

	// Reclaim puts frames whose transmission has ended onto free.
	Reclaim(free *Frames)

	// Refill takes free frames to receive into, as many as the port has room
	// for and free can spare.
	Refill(free *Frames)

	// Held returns how many frames the port owns now, by place.
	Held() Held

	// FD returns a descriptor that becomes readable when frames can be
	// received, or -1 when the port must be polled by calling Receive.
	FD() int

	// Stats returns the port's counters since it was opened. Safe for
	// concurrent use.
	Stats() PortStats

	// Err returns nil while the port works, ErrPortGone (wrapped) when it
	// never will again. Link down is not an error: traffic resumes by itself.
	Err() error

	// Close ends the port and puts every frame it owned onto free.
	Close(free *Frames) error
}

// Held is a port's part of the frame ledger.
type Held struct {
	Fill     int // posted to receive into, not received yet
	Transmit int // queued or being sent, not reclaimed yet
}

// PortStats are a port's counters since it was opened.
type PortStats struct {
	RxPackets, RxBytes uint64
	TxPackets, TxBytes uint64 // taken by Transmit
	TxErrors           uint64 // the kernel refused a frame for good (EBUSY and the like)
	TxRetries          uint64 // Flush ended with work left (EAGAIN, ENOBUFS)
	RxDropped          uint64 // kernel: rx_dropped (frame too large for a chunk, among others)
	RxRingFull         uint64 // kernel: rx_ring_full
	FillEmpty          uint64 // kernel: rx_fill_ring_empty_descs
	TxInvalid          uint64 // kernel: tx_invalid_descs
	BadDescriptors     uint64 // descriptors from the kernel that named a frame the port didn't own
	Kicks              uint64 // wake-up system calls
}
