package vserver

import (
	"appliance/engine"
	"appliance/engine/packet"
	"appliance/vserver/flows"
)

// sever ends a flow whose backend is down, where that is what the service does.
// A datagram or a SYN goes on as the first of a new flow; any other segment draws
// a reset, and the verdict is given: sever returns true. While answers are over
// their rate the flow stays, so that its next segment draws one.
func (h *Handler) sever(s *Services, p *engine.Packet, r *flows.Record) (done bool) {
	if begins(p) {
		h.table.Retire(r)
		return false
	}
	if h.limit.open(h.now) {
		h.table.Remove(r)
	}
	h.reset(s, p, packet.BackendDown)
	return true
}

// severed reports whether a flow, if there is one, ends because its backend is
// down. Until a packet of its client comes by, nobody notices. What is closed
// already may finish.
func (s *Services) severed(r *flows.Record, svc *service) bool {
	return svc.onBackendDown == Sever && r != nil && !s.backends[r.Backend.Slot()].up && !r.Closed()
}
