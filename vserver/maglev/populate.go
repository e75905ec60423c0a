package maglev

import (
	"cmp"
	"fmt"
	"hash/fnv"
	"slices"
)

// A seat is a backend while the table fills. Its preferences are the slots
// next, next+skip, next+2*skip and so on modulo the size, which is prime, so
// that they are all the slots.
type seat struct {
	name   string
	index  uint16 // in the slice given to Build
	weight uint64
	credit uint64 // weight saved up toward the next turn
	next   uint32
	skip   uint32
}

// seats returns the backends that have a weight, in the order of their names:
// turns are taken in this order, which must not be the caller's.
func seats(backends []Backend, size int) ([]seat, error) {
	all := make([]seat, 0, len(backends))
	for i, b := range backends {
		offset, skip := hashes(b.Name)
		all = append(all, seat{
			name:   b.Name,
			index:  uint16(i),
			weight: uint64(b.Weight),
			next:   uint32(offset % uint64(size)),
			skip:   uint32(skip%uint64(max(size-1, 1))) + 1,
		})
	}
	slices.SortFunc(all, func(a, b seat) int { return cmp.Compare(a.name, b.name) })
	for i := 1; i < len(all); i++ {
		if all[i].name == all[i-1].name {
			return nil, fmt.Errorf("backend %q is listed twice", all[i].name)
		}
	}
	all = slices.DeleteFunc(all, func(s seat) bool { return s.weight == 0 })
	if len(all) == 0 {
		return nil, ErrNoBackends
	}
	return all, nil
}

// hashes returns two independent hashes of a name: FNV-1a, then a mixing step
// (splitmix64's finalizer) under two different constants, because FNV-1a alone
// gives names that differ in their last letter hashes that differ in few bits.
func hashes(name string) (offset, skip uint64) {
	h := fnv.New64a()
	h.Write([]byte(name))
	sum := h.Sum64()
	return mix64(sum), mix64(sum + 0x9e3779b97f4a7c15)
}

// mix64 is splitmix64's finalizer, a bijection.
func mix64(x uint64) uint64 {
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// populate deals out the slots: backends take turns, and in each take the slot
// they prefer most of those that are left. The heaviest backends have a turn in
// every round; the others save up their weight until it makes one. All start
// with half a turn saved, so that shares are rounded, not cut off.
func populate(all []seat, size int) []uint16 {
	heaviest := slices.MaxFunc(all, func(a, b seat) int { return cmp.Compare(a.weight, b.weight) }).weight
	for i := range all {
		all[i].credit = heaviest / 2
	}
	slots := make([]uint16, size)
	taken := make([]uint64, (size+63)/64)
	for left := size; ; {
		for i := range all {
			s := &all[i]
			if s.credit += s.weight; s.credit < heaviest {
				continue
			}
			s.credit -= heaviest
			slots[s.take(taken, uint32(size))] = s.index
			if left--; left == 0 {
				return slots
			}
		}
	}
}

// take returns the first slot of the backend's preferences that isn't taken,
// and takes it. taken has a bit a slot: at the usual size it fits the L1 cache,
// where most of the search for the last free slots then happens.
func (s *seat) take(taken []uint64, size uint32) uint32 {
	for {
		slot := s.next
		if s.next += s.skip; s.next >= size {
			s.next -= size
		}
		if bit := uint64(1) << (slot % 64); taken[slot/64]&bit == 0 {
			taken[slot/64] |= bit
			return slot
		}
	}
}

// prime reports whether n is a prime number.
func prime(n int) bool {
	for d := 2; d*d <= n; d++ {
		if n%d == 0 {
			return false
		}
	}
	return n >= 2
}
