package xsk

import (
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// A slot is what a ring carries: a frame's address in the UMEM (fill and
// completion), or a descriptor of address and length (rx and tx).
type slot interface{ uint64 | unix.XDPDesc }

// A ring is one of the four, in memory that the kernel maps too. Indexes run
// freely over 32 bits; the slot of index i is i modulo the number of slots.
type ring[T slot] struct {
	produced *atomic.Uint32 // index of the next slot to write; only the producer stores it
	consumed *atomic.Uint32 // index of the next slot to read; only the consumer stores it
	flags    *atomic.Uint32 // only the kernel stores it
	slots    []T            // a power of two of them
	mapping  []byte         // what to unmap; nil in tests
}

// at returns the slot of index i.
func (r *ring[T]) at(i uint32) *T { return &r.slots[i&uint32(len(r.slots)-1)] }

// needWakeup reports whether the kernel sleeps and must be called to look at
// the ring (XDP_USE_NEED_WAKEUP).
func (r *ring[T]) needWakeup() bool { return r.flags.Load()&unix.XDP_RING_NEED_WAKEUP != 0 }

// A producer is our end of a ring that the kernel consumes: fill and tx. Put
// into it at most what reserve granted; the kernel sees nothing before publish.
type producer[T slot] struct {
	ring[T]
	next  uint32 // index of the next slot we write
	limit uint32 // index we may not reach: consumed, as last read, plus all slots
}

// reserve returns for how many puts, up to n, there is room. It reserves
// nothing for later: a caller that puts fewer gives the rest back by that.
func (p *producer[T]) reserve(n int) int {
	free := p.limit - p.next
	if free < uint32(n) {
		// More than all slots free means a broken index: believe the ring size.
		size := uint32(len(p.slots))
		free = min(p.consumed.Load()+size-p.next, size)
		p.limit = p.next + free
	}
	return min(n, int(free))
}

// put writes the next slot.
func (p *producer[T]) put(v T) {
	*p.at(p.next) = v
	p.next++
}

// publish shows the kernel all that was put.
func (p *producer[T]) publish() { p.produced.Store(p.next) }

// backlog returns how many published slots the kernel has not consumed.
func (p *producer[T]) backlog() uint32 { return p.next - p.consumed.Load() }

// A consumer is our end of a ring that the kernel produces: rx and completion.
// Take from it at most what available found; the kernel gets the slots back at
// release.
type consumer[T slot] struct {
	ring[T]
	next  uint32 // index of the next slot we read
	limit uint32 // index we may not reach: produced, as last read
}

// available returns how many slots, up to n, can be taken.
func (c *consumer[T]) available(n int) int {
	ready := c.limit - c.next
	if ready < uint32(n) {
		// More than all slots ready means a broken index: believe the ring size.
		ready = min(c.produced.Load()-c.next, uint32(len(c.slots)))
		c.limit = c.next + ready
	}
	return min(n, int(ready))
}

// take reads the next slot.
func (c *consumer[T]) take() T {
	v := *c.at(c.next)
	c.next++
	return v
}

// release gives the kernel all slots back that were taken.
func (c *consumer[T]) release() { c.consumed.Store(c.next) }
