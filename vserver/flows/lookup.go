package flows

import (
	"iter"
	"unsafe"
)

// A Hint is the number of the record that a look-up will most likely find, 0
// when there seems to be none. A wrong or outdated Hint costs time, never
// correctness, so it may be kept from one stage of a batch to the next while
// flows come and go.
type Hint uint32

// Touch is the first stage of a look-up: it makes the processor fetch the index
// bucket of hash, and returns at once.
func (t *Table) Touch(hash uint32) {
	// Sound: the address is that of an element; nothing is read through it.
	prefetch(unsafe.Pointer(&t.index[t.first(t.mix(hash))]))
}

// Probe is the second stage: it searches the bucket that Touch has brought
// near, and makes the processor fetch the record that it finds.
func (t *Table) Probe(hash uint32) Hint {
	mix := t.mix(hash)
	n := t.index[t.first(mix)].search(t.tag(mix))
	if n >= t.limit {
		if n = t.index[t.second(mix)].search(t.tag(mix)); n >= t.limit {
			return 0
		}
	}
	prefetch(unsafe.Pointer(&t.records[n])) // sound as in Touch
	return Hint(n)
}

// Forward is the last stage for a packet of a client: it returns the flow with
// this key, or nil. hash is the packet's; hint is what Probe said, or 0.
func (t *Table) Forward(hint Hint, hash uint32, key *ForwardKey) *Record {
	if r := &t.records[hint]; r.ForwardKey == *key && t.alive(r) {
		return r
	}
	return t.searchForward(hash, key)
}

// Return is the last stage for a packet of a backend in nat: it returns the
// flow with this key, or nil. hash is the packet's; hint is what Probe said,
// or 0.
func (t *Table) Return(hint Hint, hash uint32, key *ReturnKey) *Record {
	r := &t.records[hint]
	if !r.answers(key, t.roster) || t.dead(r) {
		r = t.occupant(hash, key)
	}
	if r == nil || r.State == Resting {
		return nil
	}
	return r
}

// searchForward looks at every entry that may be the key's: the Hint was
// outdated, or other flows have the same tag, or no flow has this key. A dead
// flow that it meets is freed.
func (t *Table) searchForward(hash uint32, key *ForwardKey) *Record {
	for r := range t.candidates(hash) {
		if r.ForwardKey == *key {
			if t.alive(r) {
				return r
			}
			t.release(r)
		}
	}
	return nil
}

// occupant returns the flow, possibly resting, whose return tuple this is; it
// searches as searchForward does.
func (t *Table) occupant(hash uint32, key *ReturnKey) *Record {
	for r := range t.candidates(hash) {
		if r.answers(key, t.roster) {
			if !t.dead(r) {
				return r
			}
			t.release(r)
		}
	}
	return nil
}

// candidates yields the records whose entries have the tag of this hash.
func (t *Table) candidates(hash uint32) iter.Seq[*Record] {
	return func(yield func(*Record) bool) {
		mix := t.mix(hash)
		tag := t.tag(mix)
		for _, b := range [2]uint32{t.first(mix), t.second(mix)} {
			for _, e := range &t.index[b] {
				if n := e ^ tag; n < t.limit && !yield(&t.records[n]) {
					return
				}
			}
		}
	}
}
