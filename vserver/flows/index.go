package flows

import "math/bits"

const (
	// ways is how many entries a bucket holds.
	ways = 8

	// sparse is how many places the index has for each entry of a full table.
	// More make it larger, 4 bytes a place; fewer send more look-ups to a
	// second bucket.
	sparse = 4

	// crowded is how many entries a bucket may hold before new ones look at
	// their other bucket too. Lower evens out the buckets, higher sends fewer
	// look-ups to a second one.
	crowded = 7
)

// A bucket is half a cache line of the index: a set of entries in no order. An
// entry says that packets with some hash may belong to some record:
//
//	 31            t.bits t.bits-1        0
//	+--------------------+-----------------+
//	| tag, not 0         | record, not 0   |
//	+--------------------+-----------------+
//
// The record's number takes as many bits as the capacity needs, the tag the
// rest: 11 bits at 1 Mi flows. Zero is no entry.
type bucket [ways]uint32

// mix returns 64 bits that all depend on all bits of hash and on the seed.
//
// All flows that a table sees have in common what made the cluster send them
// here: some low bits of their hashes (node, engine). So the index uses a
// product of all bits with a secret, never a part of the bits: the two halves
// of a 128-bit product added up, which is the mixing step of wyhash.
func (t *Table) mix(hash uint32) uint64 {
	hi, lo := bits.Mul64(uint64(hash)^t.seed, 0x9e3779b97f4a7c15) // 2^64 / golden ratio
	return hi ^ lo
}

// first returns the number of the bucket where an entry is if it found room
// there. Multiplying a 32-bit fraction by the number of buckets, instead of
// masking, lets that number be any.
func (t *Table) first(mix uint64) uint32 { return uint32(mix >> 32 * uint64(len(t.index)) >> 32) }

// second returns the number of the bucket where an entry is otherwise. It is
// never first's.
func (t *Table) second(mix uint64) uint32 {
	n := uint64(len(t.index))
	b := uint64(t.first(mix)) + 1 + mix&(1<<32-1)*(n-1)>>32
	if b >= n {
		b -= n
	}
	return uint32(b)
}

// tag returns the tag, in the bits that it has in an entry.
func (t *Table) tag(mix uint64) uint32 { return max(uint32(mix)<<(t.bits&31), t.limit) }

// link enters a record. It reports whether there was room.
func (t *Table) link(hash uint32, number uint32) bool {
	mix := t.mix(hash)
	b := &t.index[t.first(mix)]
	if n := b.len(); n >= crowded {
		if second := &t.index[t.second(mix)]; second.len() < n {
			b = second
		}
	}
	return b.swap(0, t.tag(mix)|number)
}

// unlink removes what link entered.
func (t *Table) unlink(hash uint32, number uint32) {
	mix := t.mix(hash)
	e := t.tag(mix) | number
	if !t.index[t.first(mix)].swap(e, 0) {
		t.index[t.second(mix)].swap(e, 0)
	}
}

// search returns the number of a record whose entry has this tag, if there is
// one; else something that is larger than any number.
//
// It has no branch: an entry XOR the tag is the record's number if the tags are
// equal, and larger if they are not.
func (b *bucket) search(tag uint32) uint32 {
	return min(
		min(b[0]^tag, b[1]^tag, b[2]^tag, b[3]^tag),
		min(b[4]^tag, b[5]^tag, b[6]^tag, b[7]^tag))
}

// len returns how many entries the bucket holds.
func (b *bucket) len() (n int) {
	for _, e := range b {
		if e != 0 {
			n++
		}
	}
	return n
}

// swap replaces one entry that equals old; it reports whether there is one.
func (b *bucket) swap(old, new uint32) bool {
	for i, e := range b {
		if e == old {
			b[i] = new
			return true
		}
	}
	return false
}
