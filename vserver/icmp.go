package vserver

import (
	"encoding/binary"
	"math/bits"
	"net/netip"

	"appliance/engine"
	"appliance/engine/packet"
	"appliance/internal/fib"
	"appliance/vserver/flows"
)

// An ICMP error is about a packet that its receiver sent, and quotes it. What
// reaches a VIP is about a packet of a backend to a client, what reaches a SNIP
// about a packet of a client to a backend: the quoted packet is the other
// direction of the flow. The error goes on to whoever sent the packet in truth,
// who must see it quoted as it was sent. It leaves no trace: whoever forges one
// neither opens, prolongs nor ends a flow (RFC 5382 REQ-10, RFC 4787 REQ-12). Nor
// does it draw an answer: no error is about an error.

// classifyOther finds out what a packet without ports is: an ICMP error about a
// packet that a service or a SNIP sent belongs to a flow.
func (h *Handler) classifyOther(s *Services, p *engine.Packet, frame []byte) {
	p.Scratch[kind] = other
	if p.Flags&packet.FlagICMPError == 0 {
		return
	}
	h.table.Touch(p.Hash)
	dst := destination(frame, &p.Info)
	if n, ok := s.bySNIP.find(dst, hostTag); ok && !s.fromServers(p.In) {
		p.Scratch[kind], p.Scratch[slot] = stray, uint32(packet.WrongPlane)
	} else if ok {
		p.Scratch[kind], p.Scratch[slot] = serverError, n
	} else if n, ok := s.serviceAt(dst, p.DstPort, p.QuoteProto); ok {
		p.Scratch[kind], p.Scratch[slot] = clientError, n
	}
}

// errorToBackend passes an ICMP error on to the backend of the flow that it is
// about. In nat it comes from the flow's SNIP then, as all that a backend hears
// of: a backend needn't have a route to a router near a client, without which
// its reverse path filter would drop the error. In the other modes it stays as it is,
// and goes the way of the flow's packets, through the same tunnel if there is one.
func (h *Handler) errorToBackend(s *Services, p *engine.Packet, svc *service) {
	frame := h.arena.Bytes(p.Segment)
	var key flows.ForwardKey
	quotedDestination(&key.Client, frame, &p.Info)
	key.ClientPort, key.ServicePort, key.Service = p.SrcPort, p.DstPort, svc.ref
	r := h.table.Forward(flows.Hint(p.Scratch[hint]), p.Hash, &key)
	be := h.concerned(s, svc, r, p.Hash, &key.Client)
	if be == nil {
		drop(p, packet.ICMPNoFlow)
		return
	}
	if !h.forwardable(s, p, frame, svc.mode == NAT) {
		return
	}
	if be.found != fib.Found {
		h.strand(p, be.config.Address, be.next, be.found)
		return
	}
	if svc.mode != NAT {
		h.carryError(p, frame, be)
		return
	}
	readdressError(frame, &p.Info, &s.snips[r.SNIP].addr, &be.addr, uint32(r.SNIPPort)<<16|uint32(r.BackendPort))
	h.sendError(p, frame, be.next)
}

// carryError sends an ICMP error about a flow to a backend that has the VIP too,
// if it fits the way.
func (h *Handler) carryError(p *engine.Packet, frame []byte, be *backend) {
	if p.End-p.L3 > be.mtu {
		drop(p, packet.TooBig)
		return
	}
	h.count.errors++
	if be.tunnel != nil {
		h.encapsulate(p, be)
		return
	}
	h.send(p, frame, be.next)
}

// concerned returns the backend of the flow that an error is about, r being the
// flow's record; nil if there is none. Only in nat must a flow have a record: in the
// other modes its packets find their way without.
func (h *Handler) concerned(s *Services, svc *service, r *flows.Record, hash uint32, client *[16]byte) *backend {
	switch {
	case r != nil && (svc.mode != NAT || s.snips[r.SNIP].inUse):
		return &s.backends[r.Backend.Slot()]
	case svc.mode != NAT && svc.pool != nil:
		return h.stateless(s, svc, hash, client)
	}
	return nil
}

// errorToClient passes an ICMP error on to the client of the flow that it is
// about. It comes from the VIP then: clients know no other address of ours, and
// whose address it had on the servers' side, a backend's or a router's, is none
// of their business (RFC 5508 REQ-5).
func (h *Handler) errorToClient(s *Services, p *engine.Packet) {
	frame := h.arena.Bytes(p.Segment)
	var key flows.ReturnKey
	quotedDestination(&key.Backend, frame, &p.Info)
	key.BackendPort, key.SNIPPort = p.SrcPort, p.DstPort
	key.SNIP, key.Proto = uint16(p.Scratch[slot]), p.QuoteProto
	r := h.table.Return(flows.Hint(p.Scratch[hint]), p.Hash, &key)
	if r == nil {
		drop(p, packet.ICMPNoFlow)
		return
	}
	if !h.forwardable(s, p, frame, true) {
		return
	}
	client := netip.AddrFrom16(r.Client).Unmap()
	next, found := h.wayBack(s, r, client)
	if found != fib.Found {
		h.strand(p, client, next, found)
		return
	}
	svc := &s.services[r.Service.Slot()]
	readdressError(frame, &p.Info, &svc.vip, &r.Client, uint32(r.ServicePort)<<16|uint32(r.ClientPort))
	h.sendError(p, frame, next)
}

// forwardable reports whether an ICMP error about a flow may go on: it has a TTL
// left, if it is routed, and doesn't claim to be from a VIP or a SNIP. If not,
// it is dropped.
func (h *Handler) forwardable(s *Services, p *engine.Packet, frame []byte, routed bool) bool {
	var from [16]byte
	source(&from, frame, &p.Info)
	switch {
	case s.spoofed(&from):
		drop(p, packet.BadSource)
	case routed && ttl(frame, &p.Info) <= 1:
		drop(p, packet.TTLExceeded)
	default:
		return true
	}
	return false
}

// sendError sends an ICMP error about a flow, if it fits the way.
func (h *Handler) sendError(p *engine.Packet, frame []byte, next *fib.NextHop) {
	if p.End-p.L3 > next.MTU {
		drop(p, packet.TooBig)
		return
	}
	h.count.errors++
	h.send(p, frame, next)
}

// quotedDestination fills in where the packet went that an ICMP error quotes,
// IPv4 as IPv4-mapped address.
func quotedDestination(a *[16]byte, frame []byte, info *packet.Info) {
	quoted := frame[info.QuoteL3():]
	if info.Flags&packet.FlagIPv6 != 0 {
		*a = *packet.IPv6(quoted).Dst()
		return
	}
	*a = [16]byte{10: 0xff, 11: 0xff}
	binary.BigEndian.PutUint32(a[12:], packet.IPv4(quoted).Dst())
}

// readdressError makes an ICMP error go from src to dst and be about a packet
// that went from dst to src. ports are those of its own direction, the source's
// in the high half: the quoted ones, swapped. It takes one from the error's TTL,
// not from the quoted one, and keeps all checksums right, by what has changed:
// the error's own, the quoted IP header's, the quoted transport's if the quote
// reaches that far. Addresses are IPv4-mapped if the packet is IPv4.
func readdressError(frame []byte, info *packet.Info, src, dst *[16]byte, ports uint32) {
	outer := readdress(frame[info.L3:], info, src, dst)
	inner := readdress(frame[info.QuoteL3():], info, dst, src)
	covered := inner.all // by the ICMP checksum
	if info.Flags&packet.FlagIPv6 != 0 {
		covered += outer.addrs // in the pseudo-header
		ip := packet.IPv6(frame[info.L3:])
		ip.SetHopLimit(ip.HopLimit() - 1)
	} else {
		packet.IPv4(frame[info.L3:]).DecrementTTL()
	}
	l4 := frame[info.QuoteL4:info.QuoteEnd]
	quoted := bits.RotateLeft32(ports, 16)
	transport := packet.Delta(0).Long(binary.BigEndian.Uint32(l4), quoted)
	binary.BigEndian.PutUint32(l4, quoted)
	covered += transport + updateQuoted(l4, info.QuoteProto, inner.addrs+transport)
	icmp := info.ICMP(frame)
	icmp.SetChecksum(covered.Apply(icmp.Checksum()))
}

// A readdressed says how the words of an IP header changed.
type readdressed struct {
	addrs packet.Delta // the addresses: what transport checksums cover
	all   packet.Delta // with the header checksum that IPv4 has
}

// readdress gives an IP header other addresses, and keeps IPv4's checksum right.
func readdress(header []byte, info *packet.Info, src, dst *[16]byte) (d readdressed) {
	if info.Flags&packet.FlagIPv6 != 0 {
		ip := packet.IPv6(header)
		d.addrs = d.addrs.Addr(ip.Src(), src).Addr(ip.Dst(), dst)
		ip.SetSrc(src)
		ip.SetDst(dst)
		d.all = d.addrs
		return d
	}
	ip := packet.IPv4(header)
	addrs := uint64(binary.BigEndian.Uint32(src[12:]))<<32 | uint64(binary.BigEndian.Uint32(dst[12:]))
	d.addrs = d.addrs.Quad(ip.Addrs(), addrs)
	ip.SetAddrs(addrs)
	old := ip.Checksum()
	ip.SetChecksum(d.addrs.Apply(old))
	d.all = d.addrs.Word(old, ip.Checksum())
	return d
}

// updateQuoted updates the checksum of a quoted TCP or UDP header whose words
// changed by d, if it is in the quote, and returns how the checksum changed.
func updateQuoted(l4 []byte, proto uint8, d packet.Delta) packet.Delta {
	switch {
	case proto == packet.ProtoUDP:
		udp := packet.UDP(l4)
		old := udp.Checksum()
		udp.SetChecksum(d.ApplyUDP(old))
		return packet.Delta(0).Word(old, udp.Checksum())
	case len(l4) >= tcpChecksumEnd:
		tcp := packet.TCP(l4)
		old := tcp.Checksum()
		tcp.SetChecksum(d.Apply(old))
		return packet.Delta(0).Word(old, tcp.Checksum())
	}
	return 0
}

// tcpChecksumEnd is one past TCP's checksum, counted from the header: a quote of
// the eight bytes that RFC 792 asks for ends before it.
const tcpChecksumEnd = 18
