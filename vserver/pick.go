package vserver

import (
	"encoding/binary"

	"appliance/engine"
	"appliance/engine/packet"
	"appliance/internal/fib"
	"appliance/vserver/flows"
)

// serve handles a client's packet to a service.
func (h *Handler) serve(s *Services, p *engine.Packet, svc *service) {
	frame := h.arena.Bytes(p.Segment)
	var key flows.ForwardKey
	forwardKey(&key, frame, p, svc.ref)
	r := h.table.Forward(flows.Hint(p.Scratch[hint]), p.Hash, &key)
	if r != nil && begins(p) && (r.Reopens(p.TCPFlags) || h.forsaken(s, r, svc)) {
		h.table.Retire(r)
		r = nil
	}
	if s.severed(r, svc) {
		if h.sever(s, p, r) {
			return
		}
		r = nil
	}
	if r == nil && s.spoofed(&key.Client) {
		drop(p, packet.BadSource)
		return
	}
	if svc.mode != NAT {
		h.direct(s, p, frame, svc, r, &key)
		return
	}
	if ttl(frame, &p.Info) <= 1 {
		h.complain(s, p, packet.TTLExceeded, packet.TimeExceeded, 0)
		return
	}
	if r != nil && !s.snips[r.SNIP].inUse {
		h.table.Remove(r)
		r = nil
	}
	if r == nil {
		r = h.open(s, p, svc, &key)
	}
	if r != nil {
		h.toBackend(s, p, frame, svc, r)
	}
}

// patience is how long a backend that its health check calls down may be silent
// before a flow gives it up: longer than a round trip and a retransmission.
const patience = 3 * flows.TicksPerSecond

// forsaken reports whether a flow waits in vain: its backend is down, and others
// are up.
func (h *Handler) forsaken(s *Services, r *flows.Record, svc *service) bool {
	return svc.pool != nil && !s.backends[r.Backend.Slot()].up && r.Forsaken(h.tick, &svc.timeouts, patience)
}

// begins reports whether a client's packet may begin a flow.
func begins(p *engine.Packet) bool {
	return p.Proto == packet.ProtoUDP || p.TCPFlags&(packet.TCPSyn|packet.TCPAck) == packet.TCPSyn
}

// spoofed reports whether a client's packet comes from a VIP or a SNIP. No such
// client exists, and its answers would come straight back: a flow of those could
// go round for ever.
func (s *Services) spoofed(client *[16]byte) bool {
	a := address{binary.BigEndian.Uint64(client[:8]), binary.BigEndian.Uint64(client[8:])}
	_, vip := s.vips.find(a, hostTag)
	_, snip := s.bySNIP.find(a, hostTag)
	return vip || snip
}

// open makes the record of a new flow in nat. If it can't, it gives the packet
// its verdict and returns nil.
func (h *Handler) open(s *Services, p *engine.Packet, svc *service, key *flows.ForwardKey) *flows.Record {
	if !begins(p) {
		h.refuse(s, p, packet.NoFlow, svc.onNoFlow)
		return nil
	}
	if svc.pool != nil { // else nothing is opened
		if why := h.gate.admit(h.now, &key.Client); why != packet.OK {
			drop(p, why)
			return nil
		}
	}
	be, why := h.choose(s, svc, p.Hash, &key.Client)
	if be == nil {
		h.refuse(s, p, why, svc.onNoBackend)
		return nil
	}
	if be.found != fib.Found {
		h.strand(p, be.config.Address, be.next, be.found)
		return nil
	}
	flow := flows.Record{
		ForwardKey: *key, Proto: p.Proto,
		Backend: be.ref, BackendPort: be.portFor(p.DstPort),
		Hash: p.Hash,
	}
	if !h.pickPort(s, be, &flow) {
		drop(p, packet.NoSourcePort)
		return nil
	}
	r, err := h.table.Insert(&flow)
	if err != nil {
		drop(p, packet.FlowTableFull)
		return nil
	}
	h.count.began(r)
	s.note(r, p, h.arena.Bytes(p.Segment))
	return r
}

// byHash returns the slot of the backend that the hash alone says. The service
// has a pool.
func (svc *service) byHash(hash uint32) uint32 { return svc.members[svc.pool.table.Lookup(hash)] }

// How many SNIPs are searched for a free source port, and then for one to reclaim.
// A search of one costs up to a microsecond, which a flood of new flows would
// have multiplied by up to MaxSNIPs; and where the buckets of 16 SNIPs are full,
// those of the others are close to it.
const (
	freeTries    = 16
	reclaimTries = 4
)

// pickPort gives a flow its SNIP and source port: of the SNIP that its hash
// says, or of one of the next that has a port left. Only when none has, a flow
// that is over or that nobody has answered gives its port away. It reports whether
// there was one.
func (h *Handler) pickPort(s *Services, be *backend, flow *flows.Record) bool {
	snips := s.snips6
	if be.config.Address.Is4() {
		snips = s.snips4
	}
	first := int(uint64(flow.Hash*0x9e3779b1) * uint64(len(snips)) >> 32)
	free := min(freeTries, len(snips))
	if len(snips) == 1 {
		free = 0 // there is no other to ask first: a search to reclaim prefers a free port, too
	}
	for i := range free + min(reclaimTries, len(snips)) {
		reclaim := i >= free
		if reclaim {
			i -= free
		}
		n := snips[(first+i)%len(snips)]
		path := flows.Path{
			Backend: be.addr, Address: s.snips[n].addr,
			BackendPort: flow.BackendPort, SNIP: n, Proto: flow.Proto,
		}
		port, hash, err := h.table.PickPort(s.ports, &path, flow.Hash, reclaim)
		if err == nil {
			flow.SNIP, flow.SNIPPort, flow.ReturnHash = n, port, hash
			return true
		}
	}
	return false
}
