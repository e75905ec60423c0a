package vserver

import (
	"encoding/binary"
	"math"
	"net/netip"

	"appliance/engine"
	"appliance/engine/packet"
	"appliance/internal/fib"
	"appliance/vserver/flows"
)

// A sender is where a client's packet came from: the neighbour that put it on
// the link. With Config.ReturnToSender, a flow's record notes it, and answers go
// there. Zero is unknown.
//
//	63                                       16 15                0
//	+------------------------------------------+------------------+
//	| MAC address                              | number of a way  |
//	+------------------------------------------+------------------+
type sender uint64

// A way is a link on which packets come and go: an interface and a VLAN. Its
// number, from 1, is never given to another, so that flow records may hold it.
type way struct {
	iface uint8
	vlan  uint16
}

// key is what an index finds a way by.
func (w way) key() address { return address{uint64(w.iface), uint64(w.vlan)} }

// placeWays numbers the links; known ones keep their numbers. What is Resolved is
// up.
func (b *Builder) placeWays(s *Services) {
	links := s.routes.Links()
	s.byWay = newIndex(len(links))
	for _, l := range links {
		w := way{l.Interface, l.VLAN}
		n, ok := b.ways[w]
		if !ok {
			n = uint16(len(b.ways) + 1)
			b.ways[w] = n
		}
		s.ways = grow(s.ways, int(n)+1)
		s.ways[n] = fib.NextHop{
			Interface: l.Interface, VLAN: l.VLAN, Src: l.MAC, Link: l.Index, Resolved: l.Up,
			MTU: uint16(min(l.MTU, math.MaxUint16)),
		}
		s.byWay.add(w.key(), hostTag, uint32(n))
	}
}

// sender returns the sender of a packet, whose MAC address is given; 0 if the
// kernel knows no such link.
func (s *Services) sender(p *engine.Packet, mac [6]byte) sender {
	n, ok := s.byWay.find(wayOf(p).key(), hostTag)
	if !ok || mac[0]&1 != 0 { // a group address is nobody's
		return 0
	}
	high, low := binary.BigEndian.Uint32(mac[:]), binary.BigEndian.Uint16(mac[4:])
	return sender(high)<<32 | sender(low)<<16 | sender(n)
}

// note keeps a record's sender up to date. Most packets leave it as it is, and
// its cache line clean.
func (s *Services) note(r *flows.Record, p *engine.Packet, frame []byte) {
	if from := s.sender(p, packet.Ethernet(frame).Src()); from != 0 && r.Note != uint64(from) {
		r.Note = uint64(from)
	}
}

// wayBack returns the next hop of packets to a flow's client: their sender if
// that is wanted and known, else what the routing table says.
func (h *Handler) wayBack(s *Services, r *flows.Record, client netip.Addr) (*fib.NextHop, fib.Result) {
	if !s.config.ReturnToSender {
		next, found := h.hops.lookup(r, client)
		if found == fib.NoNeighbour {
			return h.standIn(s, sender(r.Note), client, next)
		}
		return next, found
	}
	if next := h.toSender(s, sender(r.Note)); next != nil {
		return next, fib.Found
	}
	return s.routes.Lookup(client, r.Hash)
}

// standIn returns what to do about a next hop that is not resolved yet, as that
// of a client on the link is not when its first packet comes: the answer goes to
// whoever sent that packet, if it was on the same link, and the kernel is asked
// meanwhile. Dropping the answer would cost the client a second.
func (h *Handler) standIn(s *Services, from sender, client netip.Addr, next *fib.NextHop) (*fib.NextHop, fib.Result) {
	back := h.toSender(s, from)
	if back == nil || back.Link != next.Link {
		return next, fib.NoNeighbour
	}
	h.ask(client, next)
	return back, fib.Found
}

// toSender returns the next hop that a sender is, valid until the next call, or
// nil if it is unknown or its link is down.
func (h *Handler) toSender(s *Services, from sender) *fib.NextHop {
	n := int(uint16(from))
	if from&hopNote != 0 || n >= len(s.ways) || !s.ways[n].Resolved {
		return nil
	}
	h.hop = s.ways[n]
	binary.BigEndian.PutUint32(h.hop.Dst[:], uint32(from>>32))
	binary.BigEndian.PutUint16(h.hop.Dst[4:], uint16(from>>16))
	return &h.hop
}
