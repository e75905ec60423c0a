package vserver

import (
	"net/netip"

	"appliance/engine"
	"appliance/engine/packet"
	"appliance/internal/fib"
)

// refuse turns a TCP or UDP packet away, as its kind does, or drops it in
// silence.
func (h *Handler) refuse(s *Services, p *engine.Packet, why packet.Reason, how Refusal) {
	switch {
	case how == Silence:
		drop(p, packet.Silent)
	case p.Proto == packet.ProtoTCP:
		h.reset(s, p, why)
	default:
		h.complain(s, p, why, packet.PortUnreachable, 0)
	}
}

// reset answers a segment by a reset, if it may be and the rate allows it.
func (h *Handler) reset(s *Services, p *engine.Packet, why packet.Reason) {
	if !h.limit.open(h.now) {
		drop(p, packet.RateLimited)
		return
	}
	n := packet.TCPReset(h.arena.Bytes(p.Segment), &p.Info)
	h.answer(s, p, n, why)
}

// complain answers a packet by an ICMP error, if it may be and the rate allows
// it. mtu is what a PacketTooBig tells.
func (h *Handler) complain(s *Services, p *engine.Packet, why packet.Reason, problem packet.Problem, mtu uint16) {
	if !h.limit.open(h.now) {
		drop(p, packet.RateLimited)
		return
	}
	whole := h.arena.Bytes(engine.Segment{Frame: p.Frame, Len: p.Off + p.Len})
	grew, n := packet.ICMPError(whole, int(p.Off), &p.Info, problem, mtu)
	p.Off -= uint16(grew)
	h.answer(s, p, n, why)
}

// answer sends an answer of n bytes that stands in the packet's place, and
// counts it by the reason for which the packet would have been dropped; which it
// is if n is 0: there is no answer.
func (h *Handler) answer(s *Services, p *engine.Packet, n int, why packet.Reason) {
	if n == 0 {
		drop(p, why)
		return
	}
	p.Len = uint16(n)
	if h.sendBack(s, p) {
		h.limit.take(h.now)
		h.count.answers[why]++
	}
}

// answerPing handles packets without ports: it answers echo requests.
func (h *Handler) answerPing(s *Services, p *engine.Packet) {
	frame := h.arena.Bytes(p.Segment)
	dst := destination(frame, &p.Info)
	_, vip := s.vips.find(dst, hostTag)
	_, snip := s.bySNIP.find(dst, hostTag)
	if !vip && !snip {
		drop(p, packet.NotOurs)
		return
	}
	n := packet.EchoReply(frame, &p.Info)
	if n == 0 {
		drop(p, packet.ICMPUnhandled)
		return
	}
	p.Len = uint16(n)
	if h.sendBack(s, p) {
		h.count.pings++
	}
}

// sendBack sends an answer that was made of a received packet, the way that
// answers to clients go. It reports whether it could.
func (h *Handler) sendBack(s *Services, p *engine.Packet) bool {
	frame := h.arena.Bytes(p.Segment)
	dst := answerTo(frame, &p.Info)
	next, found := s.routes.Lookup(dst, p.Hash)
	from := s.sender(p, packet.Ethernet(frame).Dst()) // the addresses have been swapped
	if s.config.ReturnToSender {
		if back := h.toSender(s, from); back != nil {
			next, found = back, fib.Found
		}
	}
	if found == fib.NoNeighbour {
		next, found = h.standIn(s, from, dst, next)
	}
	if found != fib.Found {
		h.strand(p, dst, next, found)
		return false
	}
	if p.End-p.L3 > next.MTU {
		drop(p, packet.TooBig)
		return false
	}
	h.send(p, frame, next)
	return true
}

// answerTo returns the destination of an answer.
func answerTo(frame []byte, info *packet.Info) netip.Addr {
	if info.Flags&packet.FlagIPv6 != 0 {
		return netip.AddrFrom16([16]byte(frame[info.L3+24:]))
	}
	return netip.AddrFrom4([4]byte(frame[info.L3+16:]))
}
