package replay

import (
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"appliance/engine"
)

const (
	// Frames is how many frames a Port that plays keeps posted: 8 MiB of them.
	Frames = 4096
	// FrameSize is the bytes of a frame in the arena.
	FrameSize = 2048
)

// A Port plays packets, or only swallows them. It implements engine.Port: one
// thread at a time uses it.
type Port struct {
	arena *engine.Arena
	heads []Head // nil: nothing to play
	next  int    // head to play next

	posted      []uint32 // ring of frames to hand out, a power of two long
	first, last uint32   // free-running indexes into posted
	sent        []uint32 // transmitted, not reclaimed yet

	left    int // packets to hand out in this leg
	playing bool
	began   time.Time
	took    chan time.Duration // gets a leg's time when it has ended

	fd       int // an eventfd that nobody writes: lets an idle engine sleep
	rx, tx   atomic.Uint64
	rxb, txb atomic.Uint64
}

var _ engine.Port = (*Port)(nil)

// New returns a Port that plays heads, in their order, round and round. With
// none it only swallows. The heads stay the caller's, who may change them
// between two legs.
func New(arena *engine.Arena, heads []Head) (*Port, error) {
	if arena.FrameSize() != FrameSize {
		return nil, fmt.Errorf("replay: frames of %d bytes, want %d", arena.FrameSize(), FrameSize)
	}
	fd, err := unix.Eventfd(0, unix.EFD_NONBLOCK|unix.EFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("replay: eventfd: %w", err)
	}
	p := &Port{arena: arena, heads: heads, fd: fd, took: make(chan time.Duration, 1), sent: make([]uint32, 0, engine.MaxBatch)}
	if len(heads) > 0 {
		p.posted = make([]uint32, Frames)
	}
	return p, nil
}

// Play begins a leg of n packets. It must run on the thread that uses the Port;
// the engine must be awake or woken.
func (p *Port) Play(n int) {
	p.left, p.playing, p.began = n, true, time.Now()
}

// Took returns a channel that gets the time of each leg: from Play until the
// last packet has been taken and the pass that took it is over.
func (p *Port) Took() <-chan time.Duration { return p.took }

// Receive hands out up to len(out) packets of the leg.
func (p *Port) Receive(out []engine.Segment) int {
	n := min(len(out), p.left, int(p.last-p.first))
	if n == 0 {
		p.finish()
		return 0
	}
	for i := range out[:n] {
		seg := engine.Segment{Frame: p.posted[p.first%Frames], Off: engine.Headroom, Len: Length}
		p.first++
		*(*Head)(p.arena.Memory()[int(seg.Frame)*FrameSize+engine.Headroom:]) = p.heads[p.next]
		if p.next++; p.next == len(p.heads) {
			p.next = 0
		}
		out[i] = seg
	}
	p.left -= n
	p.rx.Add(uint64(n))
	p.rxb.Add(uint64(n) * Length)
	return n
}

// finish ends the leg if all its packets have been taken.
func (p *Port) finish() {
	if p.playing && p.left == 0 {
		p.playing = false
		p.took <- time.Since(p.began)
	}
}

// Transmit swallows packets; Reclaim gives their frames back.
func (p *Port) Transmit(segs []engine.Segment) int {
	n := min(len(segs), cap(p.sent)-len(p.sent))
	bytes := uint64(0)
	for _, seg := range segs[:n] {
		p.sent = append(p.sent, seg.Frame)
		bytes += uint64(seg.Len)
	}
	p.tx.Add(uint64(n))
	p.txb.Add(bytes)
	return n
}

// Flush has nothing to do: Transmit has sent.
func (p *Port) Flush() {}

// Pending reports false.
func (p *Port) Pending() bool { return false }

// Reclaim puts the frames of transmitted packets onto free.
func (p *Port) Reclaim(free *engine.Frames) {
	for _, frame := range p.sent {
		free.Push(frame)
	}
	p.sent = p.sent[:0]
}

// Refill posts free frames, up to Frames of them.
func (p *Port) Refill(free *engine.Frames) {
	room := len(p.posted) - int(p.last-p.first)
	if room == 0 {
		return
	}
	for _, frame := range free.Take(room) {
		p.posted[p.last%Frames] = frame
		p.last++
	}
}

// Held returns how many frames the Port owns.
func (p *Port) Held() engine.Held {
	return engine.Held{Fill: int(p.last - p.first), Transmit: len(p.sent)}
}

// FD returns a descriptor that never becomes readable.
func (p *Port) FD() int { return p.fd }

// Stats returns the counters. Safe for concurrent use.
func (p *Port) Stats() engine.PortStats {
	return engine.PortStats{
		RxPackets: p.rx.Load(), RxBytes: p.rxb.Load(),
		TxPackets: p.tx.Load(), TxBytes: p.txb.Load(),
	}
}

// Err returns nil.
func (p *Port) Err() error { return nil }

// Close puts all frames onto free. Closing twice is an error.
func (p *Port) Close(free *engine.Frames) error {
	p.Reclaim(free)
	for ; p.first != p.last; p.first++ {
		free.Push(p.posted[p.first%Frames])
	}
	p.posted = nil
	fd := p.fd
	p.fd = -1
	if fd < 0 {
		return errors.New("replay: close: closed already")
	}
	return unix.Close(fd)
}
