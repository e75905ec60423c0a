package vserver

import (
	"math/bits"
	"math/rand/v2"
	"sync/atomic"

	"appliance/vserver/flows"
)

// A sticky remembers which backend a client's network has been given, for as long
// as its service says, so that it stays there when the backends change and the
// hash says otherwise. All engines of the node share one; it never blocks them,
// and has a fixed size. Where it is full, newcomers are not remembered, and go
// where the hash says: so a flood of forged sources takes nobody's place.
type sticky struct {
	seeds [2]uint64     // secret, so that nobody can aim at a set
	clock atomic.Uint32 // seconds, as engines last said: for those who have no clock of theirs
	sets  []stickySet
}

// stickySets is how many sets there are: 262,144 networks, in 4 MiB that are taken
// when the first service asks for it.
const stickySets = 1 << 16

// A stickySet is one cache line.
type stickySet [4]stickyEntry

// A stickyEntry is a pair of words that engines write without a lock. Whoever
// reads one word of one write and one of another sees it by the first, which is
// the key XOR the second, and so matches no key.
//
//	 63                          32 31                           0
//	+------------------------------+------------------------------+
//	| flows.Ref of the backend     | second in which it ends      |
//	+------------------------------+------------------------------+
//
// The second word is 0 while the entry is empty: no Ref is.
type stickyEntry struct {
	check atomic.Uint64
	what  atomic.Uint64
}

func newSticky() *sticky {
	return &sticky{seeds: [2]uint64{rand.Uint64(), rand.Uint64()}, sets: make([]stickySet, stickySets)}
}

// key returns what a network has in the memory of a service: its mix with both
// seeds (as wyhash mixes).
func (t *sticky) key(network address, service flows.Ref) uint64 {
	hi, lo := bits.Mul64(network.hi^t.seeds[0], network.lo^t.seeds[1])
	hi, lo = bits.Mul64(hi^lo^uint64(service), 0x9e3779b97f4a7c15^t.seeds[0])
	return hi ^ lo
}

// find returns the backend under a key, 0 if there is none.
func (t *sticky) find(key uint64, now uint32) flows.Ref {
	set := &t.sets[key%stickySets]
	for i := range set {
		what := set[i].what.Load()
		if set[i].check.Load()^what == key && what != 0 && int32(uint32(what)-now) > 0 {
			return flows.Ref(what >> 32)
		}
	}
	return 0
}

// keep remembers a backend under a key for some seconds. Most of the time it is
// there already, and nothing is written.
func (t *sticky) keep(key uint64, backend flows.Ref, now, seconds uint32) {
	what := uint64(backend)<<32 | uint64(now+seconds)
	set := &t.sets[key%stickySets]
	var free *stickyEntry
	for i := range set {
		e := &set[i]
		old := e.what.Load()
		if old != 0 && e.check.Load()^old == key {
			if old>>32 == what>>32 && uint32(what)-uint32(old) <= seconds/16 {
				return
			}
			free = e
			break
		}
		if old == 0 || int32(uint32(old)-now) <= 0 {
			free = e
		}
	}
	if free != nil {
		free.what.Store(what)
		free.check.Store(key ^ what)
	}
}

// kept returns the backend that a client's network shall stay at, nil if none is
// remembered or the one that is takes no new flows any more.
func (s *Services) kept(svc *service, network address, now uint32) *backend {
	ref := s.memory.find(s.memory.key(network, svc.ref), now)
	if ref == 0 || ref.Slot() >= uint32(len(s.backends)) {
		return nil
	}
	if be := &s.backends[ref.Slot()]; be.ref == ref && be.member && !be.full() {
		return be
	}
	return nil
}
