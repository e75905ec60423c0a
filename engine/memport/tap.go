package memport

import (
	"fmt"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"appliance/engine"
)

// A Tap is the far end of a port's wire in the hands of a test or a generator.
// Inject may be called by one goroutine and the rest by another at a time.
type Tap struct {
	link *link
	out  *wire
	in   *wire
}

// NewTap returns a port for an engine that works on Arena a, and the far end of
// its wire.
func NewTap(a *engine.Arena, cfg Config) (*Port, *Tap, error) {
	l, err := newLink(cfg, [2]int{a.FrameSize(), a.MaxPacket()})
	if err != nil {
		return nil, nil, fmt.Errorf("memport: tap: %w", err)
	}
	return newPort(a, l, 0, cfg.Size), &Tap{link: l, out: l.wires[1], in: l.wires[0]}, nil
}

// Inject puts copies of frames on the wire, wakes the engine and returns how
// many frames the wire took: all, unless it is full and not lossy. Like those
// that Transmit takes, they may get lost on the way.
func (t *Tap) Inject(frames ...[]byte) int {
	carries := t.link.carries(1)
	for i, f := range frames {
		if carries {
			if !t.link.lossy && t.out.full() {
				t.out.publish()
				return i
			}
			t.out.push(f)
		}
	}
	t.out.publish()
	return len(frames)
}

// Each calls fn with every frame that the engine has transmitted and that
// nobody has collected yet, and returns how many there were. A frame is valid
// only while fn runs.
func (t *Tap) Each(fn func(frame []byte)) int {
	n := t.in.waiting()
	for i := range n {
		fn(t.in.peek(i))
	}
	t.in.release(n)
	return n
}

// Collect returns copies of the frames that Each would visit.
func (t *Tap) Collect() (frames [][]byte) {
	t.Each(func(frame []byte) { frames = append(frames, slices.Clone(frame)) })
	return frames
}

// Wait waits until there is a frame to collect, for d at most, and reports
// whether there is one.
func (t *Tap) Wait(d time.Duration) bool {
	end := time.Now().Add(d)
	fds := []unix.PollFd{{Fd: int32(t.in.event.fd), Events: unix.POLLIN}}
	for t.in.waiting() == 0 {
		left := time.Until(end)
		if left <= 0 {
			return false
		}
		t.in.settle()
		// EINTR and an early end of the wait are both answered by the loop.
		_, _ = unix.Poll(fds, int(left.Milliseconds())+1)
	}
	return true
}

// Close ends the far end: the port's frames are lost from now on.
func (t *Tap) Close() error {
	if err := t.link.leave(1); err != nil {
		return fmt.Errorf("memport: close tap: %w", err)
	}
	return nil
}
