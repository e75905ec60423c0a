package vserver

import (
	"encoding/binary"
	"math/bits"
	"net/netip"
)

// An address is an IPv4 or IPv6 address in two words, as the packets' bytes
// are loaded; IPv4 is IPv4-mapped, so that the families never collide.
type address struct{ hi, lo uint64 }

const v4Mapped = 0xffff << 32 // above the 32 bits of an IPv4 address

func addressOf(a netip.Addr) address {
	b := a.As16()
	return address{binary.BigEndian.Uint64(b[:8]), binary.BigEndian.Uint64(b[8:])}
}

// An index finds values by address, port and protocol: an immutable hash table
// with open addressing, at most half full, so that 10,000 VIPs cost what one
// costs. newIndex makes one.
type index struct {
	cells []cell
	mask  uint64 // len(cells)-1, of a power of two
	shift uint8  // 64 - log2(len(cells))
}

// A cell is half a cache line.
type cell struct {
	address
	tag   uint32 // 0: the cell is empty
	value uint32
	_     [8]byte
}

// Tags: what is looked up at an address. Both are nonzero.
const hostTag = 1 << 31 // the address itself

func portTag(port uint16, proto uint8) uint32 { return uint32(port)<<8 | uint32(proto) }

// newIndex returns an empty index with room for n values.
func newIndex(n int) index {
	log := bits.Len(uint(2*max(n, 1) - 1))
	return index{cells: make([]cell, 1<<log), mask: 1<<log - 1, shift: uint8(64 - log)}
}

// add enters a value; what is there already under the same key stays.
func (x *index) add(a address, tag, value uint32) {
	at := x.home(a, tag)
	for c := &x.cells[at]; c.tag != 0; c = &x.cells[at] {
		if c.tag == tag && c.address == a {
			return
		}
		at = (at + 1) & x.mask
	}
	x.cells[at] = cell{address: a, tag: tag, value: value}
}

// set replaces the value under a key that is there.
func (x *index) set(a address, tag, value uint32) {
	for at := x.home(a, tag); ; at++ {
		if c := &x.cells[at&x.mask]; c.tag == tag && c.address == a {
			c.value = value
			return
		}
	}
}

// find returns the value under a key.
func (x *index) find(a address, tag uint32) (value uint32, ok bool) {
	for at := x.home(a, tag); ; at++ {
		c := &x.cells[at&x.mask]
		if ok = c.tag == tag && c.address == a; ok || c.tag == 0 {
			return c.value, ok
		}
	}
}

// home returns where the search for a key begins. What is in an index comes
// from the configuration, so the mixing (wyhash's) needs no secret.
func (x *index) home(a address, tag uint32) uint64 {
	hi, lo := bits.Mul64(a.hi^0xa0761d6478bd642f, a.lo^0xe7037ed1a0b428db)
	return ((hi ^ lo ^ uint64(tag)) * 0x9e3779b97f4a7c15) >> x.shift
}
