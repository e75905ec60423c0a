package fib

import (
	"cmp"
	"math"
	"net/netip"
	"slices"
)

// kindReasons says why packets to a route that is not Unicast stay.
var kindReasons = [...]Reason{
	Local:       ReasonLocal,
	Broadcast:   ReasonBroadcast,
	Blackhole:   ReasonBlackhole,
	Unreachable: ReasonUnreachable,
	Prohibit:    ReasonProhibit,
	Unsupported: ReasonUnsupported,
}

// entry compiles r. With a valid host it compiles it for that one destination,
// whose link-layer address fills the hops without a gateway.
func (c *compiler) entry(r *Route, host netip.Addr) *entry {
	if r.Kind != Unicast {
		return &entry{reason: kindReasons[r.Kind]}
	}
	e := &entry{reason: ReasonUnsupported}
	var hops []weightedHop
	for _, h := range r.Hops {
		link, ours := c.links[h.Link]
		switch {
		case ours && link.Up:
			hops = append(hops, weightedHop{c.nextHop(h, link, host), uint64(max(h.Weight, 1))})
		case ours:
			e.reason = ReasonDown
		case e.reason != ReasonDown:
			e.reason = ReasonForeign
		}
	}
	if len(hops) > 0 {
		e.reason = ReasonNone
		e.share(hops)
	}
	return e
}

type weightedHop struct {
	NextHop
	weight uint64
}

// share gives each hop its part of the hash space by weight: each resolved hop,
// or each at all if none is.
func (e *entry) share(hops []weightedHop) {
	slices.SortStableFunc(hops, func(a, b weightedHop) int { return cmp.Compare(b.rank(), a.rank()) })
	inUse := len(hops)
	if unresolved := slices.IndexFunc(hops, func(h weightedHop) bool { return !h.Resolved }); unresolved > 0 {
		inUse = unresolved
	}
	var total, sum uint64
	for _, h := range hops[:inUse] {
		total += h.weight
	}
	for i, h := range hops {
		e.hops = append(e.hops, h.NextHop)
		if i < inUse {
			sum += h.weight
			e.bounds = append(e.bounds, uint32(sum<<32/total-1))
		}
	}
}

func (h weightedHop) rank() int {
	if h.Resolved {
		return 1
	}
	return 0
}

func (c *compiler) nextHop(h Hop, link Link, host netip.Addr) NextHop {
	hop := NextHop{
		Interface: link.Interface,
		VLAN:      link.VLAN,
		MTU:       uint16(min(link.MTU, math.MaxUint16)),
		Src:       link.MAC,
		Addr:      h.Via.Unmap().WithZone(""),
		Link:      link.Index,
	}
	if h.MTU > 0 {
		hop.MTU = uint16(min(int(hop.MTU), h.MTU))
	}
	if !hop.Addr.IsValid() {
		hop.Addr = host
	}
	hop.Dst, hop.Resolved = c.neighbours[adjacency{hop.Addr, hop.Link}]
	return hop
}
