package vserver

import (
	"time"

	"appliance/engine/packet"
)

// choose returns the backend that a new flow goes to, or why it goes to none.
func (h *Handler) choose(s *Services, svc *service, hash uint32, client *[16]byte) (*backend, packet.Reason) {
	if svc.pool == nil {
		return nil, packet.NoBackend
	}
	if svc.full() {
		return nil, packet.ServiceFull
	}
	be := s.stays(svc, client, h.second())
	if be == nil {
		n := h.pick(svc, svc.choiceHash(hash, client))
		if n < 0 {
			return nil, packet.BackendsFull
		}
		be = &s.backends[svc.members[n]]
	}
	s.stay(svc, client, be, h.second())
	return be, packet.OK
}

// second returns the time of the pass, in seconds.
func (h *Handler) second() uint32 { return uint32(h.now / int64(time.Second)) }

// stateless returns the backend of a packet whatever the flow table says: where
// its client's network stays, else where the hash says. The service has a pool.
func (h *Handler) stateless(s *Services, svc *service, hash uint32, client *[16]byte) *backend {
	if be := s.stays(svc, client, h.second()); be != nil {
		return be
	}
	return &s.backends[svc.byHash(svc.choiceHash(hash, client))]
}

// pick returns which member a new flow goes to, by its index in the pool; -1 if
// none may have it.
func (h *Handler) pick(svc *service, hash uint32) int {
	if svc.config.Method == LeastConn {
		return svc.idlest(hash)
	}
	var n int
	if svc.pool.turns != nil {
		n = h.turn(svc)
	} else {
		n = svc.pool.table.Lookup(hash)
	}
	if svc.rivals == nil {
		return n
	}
	return svc.vacant(n, hash)
}

// turn returns the member whose turn it is.
func (h *Handler) turn(svc *service) int {
	sequence := svc.pool.turns
	turn := &h.turns[svc.ref.Slot()]
	if *turn >= uint32(len(sequence)) {
		*turn = 0
	}
	member := sequence[*turn]
	*turn++
	return int(member)
}
