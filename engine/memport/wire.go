package memport

import (
	"encoding/binary"
	"fmt"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// cacheLine keeps the words of the two ends apart: two lines, because x86
// fetches them in pairs.
const cacheLine = 128

// A wire is one direction of a link: a ring of frames with one producer and one
// consumer, each on a thread of its own.
type wire struct {
	slots []byte // slot i begins at i*width
	lens  []uint16
	width int // the longest frame that the receiver has room for
	mask  uint32
	event event

	_       [cacheLine]byte
	tail    atomic.Uint32 // published by the producer: frames written, ever
	lost    atomic.Uint64 // counted by the producer: the ring was full
	tooLong atomic.Uint64 // counted by the producer: longer than width
	_       [cacheLine]byte
	head    atomic.Uint32 // published by the consumer: frames read, ever
	_       [cacheLine]byte
	next    uint32 // producer only: at or ahead of tail
	seen    uint32 // producer only: head as last loaded
	_       [cacheLine]byte
}

// newWire returns an empty ring of size slots, a power of two, of width bytes.
func newWire(size, width int) (*wire, error) {
	w := &wire{slots: make([]byte, size*width), lens: make([]uint16, size), width: width, mask: uint32(size - 1)}
	return w, w.event.open()
}

// full reports whether there is no slot to push into. Producer only.
func (w *wire) full() bool {
	if w.next-w.seen > w.mask {
		w.seen = w.head.Load()
	}
	return w.next-w.seen > w.mask
}

// push copies frame into the next slot, or loses and counts it. Producer only.
func (w *wire) push(frame []byte) {
	switch {
	case len(frame) > w.width:
		w.tooLong.Add(1)
	case w.full():
		w.lost.Add(1)
	default:
		i := w.next & w.mask
		w.lens[i] = uint16(copy(w.slots[int(i)*w.width:], frame))
		w.next++
	}
}

// unpublished reports whether pushed frames wait for publish. Producer only.
func (w *wire) unpublished() bool { return w.tail.Load() != w.next }

// publish lets the consumer see what was pushed. Producer only.
func (w *wire) publish() {
	if w.unpublished() {
		w.tail.Store(w.next)
		w.event.raise()
	}
}

// waiting returns how many frames can be read. Consumer only.
func (w *wire) waiting() int { return int(w.tail.Load() - w.head.Load()) }

// peek returns frame number i of those waiting. It is the producer's again after
// release. Consumer only.
func (w *wire) peek(i int) []byte {
	at := (w.head.Load() + uint32(i)) & w.mask
	return w.slots[int(at)*w.width:][:w.lens[at]]
}

// release gives the first n slots back. Consumer only.
func (w *wire) release(n int) {
	w.head.Add(uint32(n))
}

// settle lowers the event of an empty wire. The consumer calls it when it has
// looked for frames in vain, which it does before it sleeps; a wire that was just
// emptied may fill again before that. The order matters: the event is lowered
// before the last look, so a frame that is published in between is either seen
// or raises the event.
func (w *wire) settle() {
	if w.waiting() == 0 && w.event.lower() && w.waiting() > 0 {
		w.event.raise()
	}
}

// An event is an eventfd that both ends keep track of, so that they know
// without a system call whether it is readable.
type event struct {
	fd     int
	raised atomic.Bool // written, or about to be
	sink   [8]byte     // what lower reads, and nobody wants
}

// one is what raise writes: eventfds count in the machine's byte order.
var one = binary.NativeEndian.AppendUint64(nil, 1)

func (e *event) open() (err error) {
	if e.fd, err = unix.Eventfd(0, unix.EFD_NONBLOCK|unix.EFD_CLOEXEC); err != nil {
		return fmt.Errorf("eventfd: %w", err)
	}
	return nil
}

// raise makes the descriptor readable.
func (e *event) raise() {
	if !e.raised.Load() && e.raised.CompareAndSwap(false, true) {
		_, _ = unix.Write(e.fd, one) // fails only at 2^64-2 unread events
	}
}

// lower makes the descriptor unreadable and reports whether it had to. Only the
// consumer calls it. It leaves an event alone that raise hasn't written yet: the
// next call finds it.
func (e *event) lower() bool {
	if !e.raised.Load() {
		return false
	}
	if _, err := unix.Read(e.fd, e.sink[:]); err != nil {
		return false
	}
	e.raised.Store(false)
	return true
}

func (e *event) close() error {
	if err := unix.Close(e.fd); err != nil {
		return fmt.Errorf("close eventfd: %w", err)
	}
	return nil
}
