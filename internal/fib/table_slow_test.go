package fib

import (
	"net/netip"
	"slices"
)

// slowLookup is the twin that Lookup is tested against: it walks the whole
// Input for each destination, by the rules as doc.go states them. It returns
// every next hop that Lookup may answer with, or the reason for NoRoute.
func slowLookup(in Input, dst netip.Addr) ([]NextHop, Reason) {
	dst = dst.Unmap()
	if slowMartian(dst) {
		return nil, ReasonMartian
	}
	for bits := dst.BitLen(); bits >= 0; bits-- {
		prefix, err := dst.Prefix(bits)
		if err != nil {
			panic(err)
		}
		var winner *Route
		for i, r := range in.Routes {
			if r.Prefix.Masked() == prefix && (winner == nil || slowWins(in, r, *winner)) {
				winner = &in.Routes[i]
			}
		}
		if winner != nil {
			return slowHops(in, *winner, dst)
		}
	}
	return nil, ReasonNoPrefix
}

func slowMartian(a netip.Addr) bool {
	return a.IsMulticast() || a.IsLoopback() || a.IsUnspecified() ||
		a.Is6() && a.IsLinkLocalUnicast() ||
		a.Is4() && (a.As4()[0] == 0 || a == netip.AddrFrom4([4]byte{255, 255, 255, 255}))
}

func slowWins(in Input, a, b Route) bool {
	ownA, ownB := a.Kind == Local || a.Kind == Broadcast, b.Kind == Local || b.Kind == Broadcast
	if ownA || ownB {
		return ownA && !ownB
	}
	_, whyA := slowHops(in, a, netip.Addr{})
	_, whyB := slowHops(in, b, netip.Addr{})
	if (whyA == ReasonDown) != (whyB == ReasonDown) {
		return whyB == ReasonDown
	}
	return a.Metric < b.Metric
}

func slowHops(in Input, r Route, dst netip.Addr) ([]NextHop, Reason) {
	if r.Kind != Unicast {
		return nil, map[Kind]Reason{Local: ReasonLocal, Broadcast: ReasonBroadcast, Blackhole: ReasonBlackhole,
			Unreachable: ReasonUnreachable, Prohibit: ReasonProhibit, Unsupported: ReasonUnsupported}[r.Kind]
	}
	var all, resolved []NextHop
	down := false
	for _, h := range r.Hops {
		at := slices.IndexFunc(in.Links, func(l Link) bool { return l.Index == h.Link })
		if at < 0 {
			continue
		}
		if !in.Links[at].Up {
			down = true
			continue
		}
		hop := slowHop(in, in.Links[at], h, dst)
		all = append(all, hop)
		if hop.Resolved {
			resolved = append(resolved, hop)
		}
	}
	switch {
	case len(resolved) > 0:
		return resolved, ReasonNone
	case len(all) > 0:
		return all, ReasonNone
	case down:
		return nil, ReasonDown
	case len(r.Hops) > 0:
		return nil, ReasonForeign
	}
	return nil, ReasonUnsupported
}

func slowHop(in Input, l Link, h Hop, dst netip.Addr) NextHop {
	hop := NextHop{Interface: l.Interface, VLAN: l.VLAN, MTU: uint16(min(l.MTU, 65535)), Src: l.MAC, Link: l.Index}
	if h.MTU > 0 && h.MTU < int(hop.MTU) {
		hop.MTU = uint16(h.MTU)
	}
	target := h.Via
	if !target.IsValid() {
		target = dst
	}
	hop.Addr = h.Via
	for _, n := range in.Neighbours { // the last one listed counts
		if n.Addr == target && n.Link == l.Index {
			hop.Addr, hop.Dst, hop.Resolved = n.Addr, n.MAC, true
		}
	}
	return hop
}
