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
	gen uint8
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
func (c *counters) adopt(roster *flows.Roster) {
	c.services = grow(c.services, len(roster.Services))
	for slot, gen := range roster.Services {
		c.services[slot].occupy(gen)
	}
	c.backends = grow(c.backends, len(roster.Peers))
	for slot := range roster.Peers {
		c.backends[slot].occupy(roster.Peers[slot].Gen)
	}
}

func (t *tally) occupy(gen uint8) {
	if t.gen != gen {
		*t = tally{gen: gen}
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
	b.NewFlows++
	b.Flows++
}

// ended counts the end of a flow. Slots whose occupant has changed since have
// forgotten it already.
func (c *counters) ended(r *flows.Record) {
	if s := &c.services[r.Service.Slot()]; s.gen == r.Service.Gen() {
		s.Flows--
	}
	if b := &c.backends[r.Backend.Slot()]; b.gen == r.Backend.Gen() {
		b.Flows--
	}
}
