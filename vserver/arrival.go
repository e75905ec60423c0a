package vserver

import (
	"appliance/engine"
	"appliance/engine/packet"
	"appliance/internal/fib"
)

// An arrival is the way that the last packet came: most packets of a batch came
// the same one, and spare themselves the look-up.
type arrival struct {
	way way
	at  *fib.NextHop // of the node's own end; nil: not looked up yet, or the kernel knows no such link
}

// strayed returns why a packet isn't for this node, whatever its addresses say;
// OK if it is. A switch floods what it has no port for, and brings broadcasts to
// everyone: who forwards those (RFC 1812 section 5.3.4 forbids it) may get them
// back, and in dsr no TTL ends that. And what comes in a VLAN that the kernel has
// no interface for is none of the node's business.
func (h *Handler) strayed(s *Services, p *engine.Packet, frame []byte) packet.Reason {
	if w := wayOf(p); h.came.at == nil || h.came.way != w {
		h.came = arrival{w, s.way(w)}
	}
	switch {
	case h.came.at == nil && h.came.way.vlan != 0:
		return packet.UnknownVLAN
	case h.came.at == nil:
		return packet.NotOurs // nothing is: no services are published
	case packet.Ethernet(frame).Dst() != h.came.at.Src:
		return packet.OtherStation
	}
	return packet.OK
}

// wayOf returns the way that a packet came. VLAN 0 is no VLAN (IEEE 802.1Q,
// priority tags).
func wayOf(p *engine.Packet) way {
	w := way{iface: p.In}
	if p.Flags&packet.FlagTagged != 0 {
		w.vlan = p.VLAN
	}
	return w
}

// way returns the node's own end of a way, or nil if the kernel has no such link.
func (s *Services) way(w way) *fib.NextHop {
	if n, ok := s.byWay.find(w.key(), hostTag); ok {
		return &s.ways[n]
	}
	return nil
}

// fromServers reports whether an interface is one behind which backends are:
// from others, nobody may speak for them.
func (s *Services) fromServers(iface uint8) bool {
	return s.config.ServerPlane == 0 || s.config.ServerPlane>>iface&1 != 0
}
