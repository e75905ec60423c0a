package vserver

import (
	"net/netip"
	"sync/atomic"
	"time"
)

// A Neighbour is a next hop whose link-layer address an engine needs.
type Neighbour struct {
	Addr netip.Addr
	Link int // kernel index of its link
}

// How often the control half is asked, and how much it may have to catch up.
const (
	askSlots = 64                 // of addresses asked for lately, and of the ring; a power of two
	askAgain = int64(time.Second) // how long to wait for an answer
)

// A resolver carries unresolved next hops from an engine to the control half:
// a ring with one writer, the engine's thread, and one reader. When it is full
// it drops: whoever still needs an address asks again.
type resolver struct {
	ring  [askSlots]Neighbour
	write atomic.Uint32 // the engine's: entries ever written
	read  atomic.Uint32 // the reader's: entries ever read

	news bool // the engine's: something was written since the last tell

	asked [askSlots]struct { // the engine's: what was asked for lately, by a hash of the address
		Neighbour
		at int64
	}
}

// ask asks for a next hop, unless that was done lately.
func (r *resolver) ask(now int64, n Neighbour) {
	lately := &r.asked[addressOf(n.Addr).lo*0x9e3779b97f4a7c15>>58%askSlots]
	if lately.Neighbour == n && now-lately.at < askAgain {
		return
	}
	at := r.write.Load()
	if at-r.read.Load() == askSlots {
		return
	}
	lately.Neighbour, lately.at = n, now
	r.ring[at%askSlots] = n
	r.write.Store(at + 1)
	r.news = true
}

// tell says on c that there are questions: once a batch, and only if it asked
// any. It never waits: a signal that nobody has read yet covers this one.
func (r *resolver) tell(c chan<- struct{}) {
	if !r.news {
		return
	}
	r.news = false
	select {
	case c <- struct{}{}:
	default:
	}
}

// drain moves what was asked for into out.
func (r *resolver) drain(out []Neighbour) int {
	at, end := r.read.Load(), r.write.Load()
	n := 0
	for ; at != end && n < len(out); at++ {
		out[n] = r.ring[at%askSlots]
		n++
	}
	r.read.Store(at)
	return n
}

// Unresolved moves next hops that packets wait for into out and returns how
// many. It is for one goroutine of the control half, which should ask the kernel
// to resolve them, and may run concurrently with everything else.
func (h *Handler) Unresolved(out []Neighbour) int { return h.wanted.drain(out) }
