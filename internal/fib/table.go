package fib

import (
	"net/netip"
	"slices"

	"github.com/gaissmai/bart"
)

// A Table answers where packets leave. Compile makes one; the zero Table has
// no route to anywhere. It is immutable: any number of goroutines may use it.
type Table struct {
	// Fast rather than bart.Table: a third off each lookup for a fifth more
	// memory (80 MB at 100,000 routes and as many neighbours).
	trie bart.Fast[*entry]

	links []Link
}

// Links returns the links that the Table was compiled for, in the order of the
// Input. They are not to be changed.
func (t *Table) Links() []Link { return t.links }

// An entry is what a prefix leads to: next hops, or the reason why there are
// none.
type entry struct {
	hops   []NextHop // the first len(bounds) are in use; the rest are unresolved
	bounds []uint32  // last mixed hash of each hop in use, ascending to MaxUint32
	reason Reason    // set iff there are no hops
}

// Lookup returns the next hop of packets to dst whose flow hashes to hash.
// Packets of one flow share a next hop as long as the Table lives. An IPv4
// address may come in its IPv6-mapped form; a zone is ignored.
//
// The NextHop is nil iff the result is NoRoute, and belongs to the Table.
//
// Cost: one longest-prefix match, 17 ns with 10 routes, 29 ns with 1,000 (AMD
// EPYC, 2026-11); no allocation.
func (t *Table) Lookup(dst netip.Addr, hash uint32) (*NextHop, Result) {
	e, ok := t.trie.Lookup(dst.Unmap())
	if !ok || len(e.hops) == 0 {
		return nil, NoRoute
	}
	hop := &e.hops[0]
	if len(e.bounds) > 1 {
		hop = e.pick(mix(hash))
	}
	if !hop.Resolved {
		return hop, NoNeighbour
	}
	return hop, Found
}

// pick returns the hop whose share of the hash space h falls into.
func (e *entry) pick(h uint32) *NextHop {
	for i, bound := range e.bounds {
		if h <= bound {
			return &e.hops[i]
		}
	}
	return &e.hops[0] // not reached: the last bound is MaxUint32
}

// mix spreads all bits of h over all bits of the result: the finalizer of
// MurmurHash3, a bijection. Flows that reach one engine agree in the low bits
// of their hash, and would otherwise crowd onto one next hop.
func mix(h uint32) uint32 {
	h ^= h >> 16
	h *= 0x85ebca6b
	h ^= h >> 13
	h *= 0xc2b2ae35
	return h ^ h>>16
}

// An Explanation is what a Table knows of a destination, for status and for
// the control half.
type Explanation struct {
	Prefix netip.Prefix // the prefix that matched; a host prefix for known neighbours; invalid: none
	Reason Reason       // why there is no route; ReasonNone when there are Hops
	Hops   []NextHop    // all next hops, also those that get no traffic now; the caller's own
}

// Explain returns what the Table knows of dst. It allocates: not for packets.
func (t *Table) Explain(dst netip.Addr) Explanation {
	dst = dst.Unmap().WithZone("")
	if !dst.IsValid() {
		return Explanation{Reason: ReasonNoPrefix}
	}
	prefix, e, ok := t.trie.LookupPrefixLPM(netip.PrefixFrom(dst, dst.BitLen()))
	if !ok {
		return Explanation{Reason: ReasonNoPrefix}
	}
	return Explanation{Prefix: prefix, Reason: e.reason, Hops: slices.Clone(e.hops)}
}
