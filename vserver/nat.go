package vserver

import (
	"encoding/binary"
	"net/netip"

	"appliance/engine"
	"appliance/engine/packet"
	"appliance/internal/fib"
	"appliance/vserver/flows"
)

// toBackend carries a client's packet to its flow's backend: its source becomes
// the flow's SNIP and port, its destination the backend.
func (h *Handler) toBackend(s *Services, p *engine.Packet, frame []byte, svc *service, r *flows.Record) {
	be := &s.backends[r.Backend.Slot()]
	if be.found != fib.Found {
		h.strand(p, be.config.Address, be.next, be.found)
		return
	}
	if !h.fits(s, p, be.mtu) {
		return
	}
	if s.config.ReturnToSender {
		s.note(r, p, frame)
	}
	h.track(svc, be, p, frame, r)
	svc.clamp(frame, &p.Info)
	h.count.packet(r.Service, r.Backend, int(p.End-p.L3))
	if p.Flags&packet.FlagFragment != 0 {
		h.renumber(p, frame, &s.snips[r.SNIP].addr, &be.addr)
	}
	rewrite(frame, &p.Info, &s.snips[r.SNIP].addr, &be.addr, uint32(r.SNIPPort)<<16|uint32(r.BackendPort))
	h.send(p, frame, be.next)
}

// track takes note of a client's packet in its record. What may begin a flow
// doesn't make one last whose backend is down: a client that goes on trying would
// try a dead backend for ever. The backend's answers do. A later fragment tells
// nothing.
func (h *Handler) track(svc *service, be *backend, p *engine.Packet, frame []byte, r *flows.Record) {
	switch {
	case p.Flags&packet.FlagLater != 0:
	case be.up || !begins(p):
		if r.Track(h.tick, &svc.timeouts, flows.Client, frame[p.L4:p.End]) {
			h.count.turned(r)
		}
	case p.Proto == packet.ProtoUDP:
		r.Doubt(h.tick, &svc.timeouts)
	}
}

// back carries a backend's packet to its flow's client: its source becomes the
// VIP and the service's port, its destination the client.
func (h *Handler) back(s *Services, p *engine.Packet) {
	frame := h.arena.Bytes(p.Segment)
	var key flows.ReturnKey
	returnKey(&key, frame, p)
	r := h.table.Return(flows.Hint(p.Scratch[hint]), p.Hash, &key)
	if r == nil {
		drop(p, packet.NoFlow)
		return
	}
	if ttl(frame, &p.Info) <= 1 {
		h.complain(s, p, packet.TTLExceeded, packet.TimeExceeded, 0)
		return
	}
	svc := &s.services[r.Service.Slot()]
	next := h.hops.noted(r)
	if next == nil {
		client := netip.AddrFrom16(r.Client).Unmap()
		var found fib.Result
		if next, found = h.wayBack(s, r, client); found != fib.Found {
			h.strand(p, client, next, found)
			return
		}
	}
	if !h.fits(s, p, next.MTU) {
		return
	}
	if p.Flags&packet.FlagLater == 0 && r.Track(h.tick, &svc.timeouts, flows.Server, frame[p.L4:p.End]) {
		h.count.turned(r)
	}
	svc.clamp(frame, &p.Info)
	h.count.packet(r.Service, r.Backend, int(p.End-p.L3))
	if p.Flags&packet.FlagFragment != 0 {
		h.renumber(p, frame, &svc.vip, &r.Client)
	}
	rewrite(frame, &p.Info, &svc.vip, &r.Client, uint32(r.ServicePort)<<16|uint32(r.ClientPort))
	h.send(p, frame, next)
}

// ttl returns a packet's TTL or hop limit. Above 1, the packet may go one
// further (RFC 1812 section 5.3.1).
func ttl(frame []byte, info *packet.Info) uint8 {
	if info.Flags&packet.FlagIPv6 != 0 {
		return frame[info.L3+7]
	}
	return frame[info.L3+8]
}

// rewrite gives a TCP or UDP packet other addresses and ports (ports: the source
// in the high half), takes one from its TTL, and keeps its checksums right. The
// checksum of a fragmented datagram is in its first fragment, which has the ports
// too; a later one has neither. Addresses are IPv4-mapped if the packet is IPv4.
func rewrite(frame []byte, info *packet.Info, src, dst *[16]byte, ports uint32) {
	var d packet.Delta // of the addresses: what both checksums of IPv4 cover
	if info.Flags&packet.FlagIPv6 != 0 {
		ip := packet.IPv6(frame[info.L3:])
		d = d.Addr(ip.Src(), src).Addr(ip.Dst(), dst)
		ip.SetSrc(src)
		ip.SetDst(dst)
		ip.SetHopLimit(ip.HopLimit() - 1)
	} else {
		ip := packet.IPv4(frame[info.L3:][:packet.IPv4Size])
		addrs := uint64(binary.BigEndian.Uint32(src[12:]))<<32 | uint64(binary.BigEndian.Uint32(dst[12:]))
		d = d.Quad(ip.Addrs(), addrs)
		ip.SetAddrs(addrs)
		left := uint16(ip.TTL()) << 8
		ip.SetTTL(ip.TTL() - 1)
		ip.SetChecksum(d.Word(left, left-1<<8).Apply(ip.Checksum()))
	}
	if info.Flags&packet.FlagLater != 0 {
		return
	}
	l4 := frame[info.L4:]
	d = d.Long(binary.BigEndian.Uint32(l4), ports)
	binary.BigEndian.PutUint32(l4, ports)
	if info.Proto == packet.ProtoTCP {
		h := packet.TCP(l4[:packet.TCPSize])
		h.SetChecksum(d.Apply(h.Checksum()))
	} else {
		h := packet.UDP(l4[:packet.UDPSize])
		h.SetChecksum(d.ApplyUDP(h.Checksum()))
	}
}
