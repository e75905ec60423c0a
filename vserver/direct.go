package vserver

import (
	"appliance/engine"
	"appliance/engine/packet"
	"appliance/internal/fib"
	"appliance/vserver/flows"
)

// direct carries a client's packet to its flow's backend in the modes in which
// that answers the client by itself. The packet stays as it is, even the TTL: in
// dsr the link-layer addresses change, in ipip and gue headers go in front of
// it. r is nil for a new flow.
func (h *Handler) direct(s *Services, p *engine.Packet, frame []byte, svc *service, r *flows.Record, key *flows.ForwardKey) {
	if r == nil && svc.pool == nil {
		h.refuse(s, p, packet.NoBackend, svc.onNoBackend)
		return
	}
	var be *backend
	if r == nil {
		if r, be = h.list(s, p, svc, key); be == nil {
			return
		}
	} else {
		be = &s.backends[r.Backend.Slot()]
	}
	if be.found != fib.Found {
		h.strand(p, be.config.Address, be.next, be.found)
		return
	}
	if !h.fits(s, p, be.mtu) {
		return
	}
	if r != nil {
		h.track(svc, be, p, frame, r)
	}
	svc.clamp(frame, &p.Info)
	h.count.packet(svc.ref, be.ref, int(p.End-p.L3))
	if be.tunnel != nil {
		h.encapsulate(p, be)
		return
	}
	h.send(p, frame, be.next)
}

// list makes the record of a packet that has none, and returns it with the
// backend. A packet in the middle of a connection goes where the hash says,
// whatever the method: that is where it has been going if its record was lost
// or is another node's. When there is no room for a record, or the limit of new
// flows is reached, the hash has to do without one.
//
// Where no backend takes the flow, or it would begin over its source's limit, list
// gives the packet its verdict and returns nothing. A packet in the middle of a
// connection is not held to that limit: without a record, each one comes by here.
func (h *Handler) list(s *Services, p *engine.Packet, svc *service, key *flows.ForwardKey) (*flows.Record, *backend) {
	byHash := h.stateless(s, svc, p.Hash, &key.Client)
	if p.TCPFlags&packet.TCPRst != 0 {
		return nil, byHash // nothing follows it
	}
	why := h.gate.admit(h.now, &key.Client)
	if why == packet.SourceLimit && begins(p) {
		drop(p, why)
		return nil, nil
	}
	if why != packet.OK {
		h.count.unlisted++
		return nil, byHash
	}
	be := byHash
	if begins(p) {
		var why packet.Reason
		if be, why = h.choose(s, svc, p.Hash, &key.Client); be == nil {
			h.refuse(s, p, why, svc.onNoBackend)
			return nil, nil
		}
	}
	r, err := h.table.Insert(&flows.Record{
		ForwardKey: *key, Proto: p.Proto,
		Backend: be.ref, BackendPort: be.portFor(p.DstPort),
		Hash: p.Hash,
	})
	if err != nil {
		h.count.unlisted++
		return nil, byHash
	}
	h.count.began(r)
	return r, be
}
