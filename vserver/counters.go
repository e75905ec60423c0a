package vserver

import (
	"appliance/engine/packet"
	"appliance/vserver/flows"
)

// Traffic is what a service or a backend has had to do since it was configured,
// both directions together.
type Traffic struct {
	Packets  uint64
	Bytes    uint64 // of IP packets
	NewFlows uint64
	Flows    uint64 // now
}

// A tally is the Traffic of a slot's occupant.
type tally struct {
	Traffic
	open  uint64 // of Flows, those that are not closed yet
	share *share // that open is part of; nil: nobody asks
	gen   uint8
}

// counters are what one Handler has counted. Its engine's thread alone uses
// them.
type counters struct {
	services []tally // by slot
	backends []tally // by slot
	answers  [packet.Reasons]uint64
	pings    uint64
	errors   uint64
	unlisted uint64
}

// adopt makes room for new slots, and starts those anew that have a new
// occupant.
func (c *counters) adopt(s *Services) {
	c.services = grow(c.services, len(s.services))
	for slot, gen := range s.roster.Services {
		c.services[slot].occupy(gen, s.services[slot].share)
	}
	c.backends = grow(c.backends, len(s.backends))
	for slot := range s.roster.Peers {
		c.backends[slot].occupy(s.roster.Peers[slot].Gen, s.backends[slot].share)
	}
}

// occupy makes the tally that of generation gen. A share that is new to it gets
// the flows that are open already.
func (t *tally) occupy(gen uint8, share *share) {
	if t.gen != gen {
		*t = tally{gen: gen}
	}
	if t.share != share && share != nil {
		share.open.Add(int64(t.open))
	}
	t.share = share
}

// turn counts a flow that opened (by 1) or closed (by -1).
func (t *tally) turn(by int64) {
	t.open += uint64(by)
	if t.share != nil {
		t.share.open.Add(by)
	}
}

// packet counts a packet that went through, of n bytes.
func (c *counters) packet(service, backend flows.Ref, n int) {
	s, b := &c.services[service.Slot()], &c.backends[backend.Slot()]
	s.Packets++
	s.Bytes += uint64(n)
	b.Packets++
	b.Bytes += uint64(n)
}

// began counts a new flow.
func (c *counters) began(r *flows.Record) {
	s, b := &c.services[r.Service.Slot()], &c.backends[r.Backend.Slot()]
	s.NewFlows++
	s.Flows++
	s.turn(1)
	b.NewFlows++
	b.Flows++
	b.turn(1)
}

// turned counts a flow that closed, or opened again.
func (c *counters) turned(r *flows.Record) {
	by := int64(1)
	if r.Closed() {
		by = -1
	}
	c.services[r.Service.Slot()].turn(by)
	c.backends[r.Backend.Slot()].turn(by)
}

// ended counts the end of a flow. Slots whose occupant has changed since have
// forgotten it already.
func (c *counters) ended(r *flows.Record) {
	if s := &c.services[r.Service.Slot()]; s.gen == r.Service.Gen() {
		s.end(r)
	}
	if b := &c.backends[r.Backend.Slot()]; b.gen == r.Backend.Gen() {
		b.end(r)
	}
}

func (t *tally) end(r *flows.Record) {
	t.Flows--
	if !r.Closed() {
		t.turn(-1)
	}
}
