package vserver

import (
	"net/netip"

	"appliance/engine"
	"appliance/engine/packet"
	"appliance/internal/fib"
)

// minFrame is the shortest Ethernet frame without FCS (IEEE 802.3): what lies
// behind a packet up to there is padding.
const minFrame = 60

// strand drops a packet to dst whose look-up found no complete next hop, and
// asks for the neighbour where that may help.
func (h *Handler) strand(p *engine.Packet, dst netip.Addr, next *fib.NextHop, found fib.Result) {
	if found != fib.NoNeighbour {
		drop(p, packet.NoRoute)
		return
	}
	h.ask(dst, next)
	drop(p, packet.NoNeighbour)
}

// ask asks for the link-layer address of the next hop of packets to dst.
func (h *Handler) ask(dst netip.Addr, next *fib.NextHop) {
	n := Neighbour{next.Addr, next.Link}
	if !n.Addr.IsValid() {
		n.Addr = dst
	}
	h.wanted.ask(h.now, n)
}

// fits reports whether the packet is short enough for its path, which takes mtu
// bytes. If not, it tells the sender, whose path MTU discovery needs that (RFC 1191, RFC 8201). The
// sender is told about IPv4 packets that might be fragmented too: the appliance
// doesn't, and silence would be a black hole.
func (h *Handler) fits(s *Services, p *engine.Packet, mtu uint16) bool {
	if p.End-p.L3 <= mtu {
		return true
	}
	h.complain(s, p, packet.TooBig, packet.PacketTooBig, mtu)
	return false
}

// send is the verdict of packets that leave: it gives the frame its link-layer
// addresses and its VLAN tag, or takes the tag off.
func (h *Handler) send(p *engine.Packet, frame []byte, next *fib.NextHop) {
	if next.VLAN != 0 || p.Flags&packet.FlagTagged != 0 {
		frame = h.retag(p, next.VLAN)
	}
	if p.Len > p.End { // padding, or bytes that nobody asked for
		p.Len = max(p.End, min(p.Len, minFrame))
	}
	packet.Ethernet(frame).SetDst(next.Dst)
	packet.Ethernet(frame).SetSrc(next.Src)
	p.Verdict, p.Reason, p.Out = engine.Transmit, packet.OK, next.Interface
}

// retag makes a packet's frame carry the tag vlan, or none if that is 0, and
// returns the frame.
func (h *Handler) retag(p *engine.Packet, vlan uint16) []byte {
	whole := h.arena.Bytes(engine.Segment{Frame: p.Frame, Len: p.Off + p.Len})
	grew := packet.Retag(whole, int(p.Off), &p.Info, vlan)
	p.Off -= uint16(grew)
	p.Len += uint16(grew)
	return h.arena.Bytes(p.Segment)
}
