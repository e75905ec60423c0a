package vserver

import "appliance/engine/packet"

// choose returns the backend that a new flow goes to, or why it goes to none.
func (h *Handler) choose(s *Services, svc *service, hash uint32) (*backend, packet.Reason) {
	if svc.pool == nil {
		return nil, packet.NoBackend
	}
	if svc.full() {
		return nil, packet.ServiceFull
	}
	n := h.pick(svc, hash)
	if n < 0 {
		return nil, packet.BackendsFull
	}
	return &s.backends[svc.members[n]], packet.OK
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
