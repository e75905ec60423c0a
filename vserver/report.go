package vserver

import (
	"slices"

	"appliance/engine/packet"
	"appliance/internal/fib"
	"appliance/vserver/flows"
)

// Counters are a copy of what one Handler has counted.
type Counters struct {
	Answers  [packet.Reasons]uint64 // packets that drew a reset or an ICMP error instead of being dropped for this reason
	Pings    uint64                 // echo requests answered
	Errors   uint64                 // ICMP errors about flows passed on
	Unlisted uint64                 // packets in all modes but nat balanced without a record, for want of room or over the limits of new flows
	Flows    flows.Stats

	services, backends []tally
}

// Counters returns a copy of the counters. It runs on the engine's thread (see
// engine.Call).
func (h *Handler) Counters() *Counters {
	return &Counters{
		Answers: h.count.answers, Pings: h.count.pings, Errors: h.count.errors, Unlisted: h.count.unlisted,
		Flows:    h.table.Stats(),
		services: slices.Clone(h.count.services),
		backends: slices.Clone(h.count.backends),
	}
}

// A ServiceReport says how a service is configured and what it has done.
type ServiceReport struct {
	Config   *ServiceConfig // not to be changed
	Traffic  Traffic
	Open     uint64 // flows that are not closed yet: what leastconn and limits go by
	Eligible int    // backends that new flows go to and reach
	Backups  bool   // these are backups
	State    State
	Backends []BackendReport
}

// A State says whether a service has the backends that it should have.
type State string

// The states.
const (
	Up       State = "up"
	Degraded State = "degraded" // it serves, with fewer than MinHealthy
	Down     State = "down"     // no new flow reaches a backend
)

// serving returns how many backends new flows reach.
func (svc *service) serving() int {
	if svc.unroutable {
		return 0
	}
	return len(svc.members)
}

func (svc *service) state() State {
	switch n := svc.serving(); {
	case n == 0:
		return Down
	case n < svc.config.MinHealthy:
		return Degraded
	}
	return Up
}

// A BackendReport says how a backend is configured, how it is, and what it has
// done.
type BackendReport struct {
	Config  *BackendConfig // not to be changed
	Up      bool           // as its health check had it when the Services were built
	Next    fib.Result     // whether it can be reached
	Traffic Traffic
	Open    uint64  // like the service's
	Ramp    float64 // part of its weight that its slow start has come to; 0: not up
}

// Report adds up the counters of all engines, in the order of the
// configuration.
func (s *Services) Report(engines []*Counters) []ServiceReport {
	all := make([]ServiceReport, len(s.list))
	for i, slot := range s.list {
		svc := &s.services[slot]
		r := &all[i]
		r.Config = svc.config
		r.Eligible, r.Backups, r.State = svc.serving(), svc.backups, svc.state()
		for _, e := range engines {
			r.Open += r.Traffic.add(e.services, svc.ref)
		}
		for _, slot := range svc.list {
			be := &s.backends[slot]
			b := BackendReport{Config: be.config, Up: be.up, Next: be.found, Ramp: float64(be.step) / rampSteps}
			for _, e := range engines {
				b.Open += b.Traffic.add(e.backends, be.ref)
			}
			r.Backends = append(r.Backends, b)
		}
	}
	return all
}

// add adds what an engine has counted for ref, and returns how many of its flows
// are open. An engine that hasn't come to know it yet has counted nothing.
func (t *Traffic) add(tallies []tally, ref flows.Ref) (open uint64) {
	if ref.Slot() >= uint32(len(tallies)) || tallies[ref.Slot()].gen != ref.Gen() {
		return 0
	}
	u := &tallies[ref.Slot()].Traffic
	t.Packets += u.Packets
	t.Bytes += u.Bytes
	t.NewFlows += u.NewFlows
	t.Flows += u.Flows
	return tallies[ref.Slot()].open
}
