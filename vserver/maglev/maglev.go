package maglev

import (
	"errors"
	"fmt"
	"math"
)

// DefaultSize is the number of slots to take when in doubt: the small of the
// two sizes that the paper measures (section 5.3), good for some hundred
// backends.
const DefaultSize = 65537

// MaxSize is the largest number of slots.
const MaxSize = 1 << 24

// MaxBackends is how many backends one Table can tell apart.
const MaxBackends = math.MaxUint16

// ErrNoBackends reports that no backend has a weight above 0.
var ErrNoBackends = errors.New("no backend with a weight")

// A Backend is one that flows may go to.
type Backend struct {
	Name   string // tells it apart, and decides which slots it prefers; unique
	Weight uint32 // its share; 0: none
}

// A Table says which backend a flow goes to. Build makes one.
type Table struct {
	slots []uint16
}

// Lookup returns which backend flows with this hash go to: its index in the
// slice that Build was given.
//
// The flows that reach one engine of one node have the low bits of their hashes
// in common (7 for the engine, up to 14 for the node), so the slot comes from a
// mix of all bits: among them, too, every backend gets its share
// (TestLookupIgnoresFixedBits).
func (t *Table) Lookup(hash uint32) int {
	return int(t.slots[uint64(mix32(hash))*uint64(len(t.slots))>>32])
}

// mix32 is a bijection of 32 bits in which every output bit depends on every
// input bit: the finalizer of MurmurHash3. It has no seed, because all nodes of
// a cluster must agree.
func mix32(h uint32) uint32 {
	h = (h ^ h>>16) * 0x85ebca6b
	h = (h ^ h>>13) * 0xc2b2ae35
	return h ^ h>>16
}

// Build returns the Table of these backends with size slots, a prime number up
// to MaxSize. To respect weights within 1 %, size should be at least 100 times the number of
// backends. Build keeps no reference to backends. The error wraps
// ErrNoBackends, or says what is wrong with the size or the names.
func Build(backends []Backend, size int) (*Table, error) {
	if size > MaxSize || !prime(size) {
		return nil, fmt.Errorf("maglev: build: size %d is not a prime up to %d", size, MaxSize)
	}
	if len(backends) > MaxBackends {
		return nil, fmt.Errorf("maglev: build: %d backends, want %d at most", len(backends), MaxBackends)
	}
	turns, err := seats(backends, size)
	if err != nil {
		return nil, fmt.Errorf("maglev: build: %w", err)
	}
	return &Table{slots: populate(turns, size)}, nil
}
