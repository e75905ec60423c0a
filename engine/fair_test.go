package engine

import "testing"

// saturated is a port that always has as many packets as it is asked for.
type saturated struct {
	*stockPort
	received int
}

func (p *saturated) Receive(out []Segment) int {
	n := p.stockPort.Receive(out)
	p.received += n
	return n
}

// Under more load than a pass takes, every port is read: a flood on one
// interface leaves the other one's packets their share.
func TestNoPortStarvesAnother(t *testing.T) {
	cfg := DefaultConfig()
	cfg.Batch = 8
	g := bareGroup(t, cfg, 256, newEcho)
	e := g.engines[0]
	ports := make([]*saturated, 3)
	for i := range ports {
		ports[i] = &saturated{stockPort: newStockPort(g.arena, udpFrame(7))}
		e.addPort(i%cfg.Interfaces, ports[i])
	}
	for range 300 {
		e.pass()
	}
	for i, p := range ports {
		if p.received < 300*cfg.Batch/len(ports)-3*cfg.Batch {
			t.Errorf("port %d was read %d packets of %d", i, p.received, 300*cfg.Batch)
		}
	}
}

// Nor does an engine that hands over more than its owner can take keep the
// packets of other engines waiting.
func TestNoHandOffStarvesAnother(t *testing.T) {
	cfg := DefaultConfig()
	cfg.Engines = 3
	g := bareGroup(t, cfg, 8192, newEcho)
	owner := g.engines[0]
	fill := func() {
		for _, from := range g.engines[1:] {
			p := Packet{In: uint8(from.id - 1)} // no port: the owner drops and counts it
			for from.out[0].length() < cfg.Handoff {
				from.collect(from.taken[0])
				p.Frame, _ = from.free.Pop()
				from.hand(0, &p)
				from.handOver()
			}
		}
	}
	for range 100 {
		fill()
		owner.pass()
	}
	for _, from := range g.engines[1:] {
		if taken := from.out[0].head.Load(); taken < uint32(owner.counters.TakenOver/4) {
			t.Errorf("of %d packets taken over, %d came from engine %d", owner.counters.TakenOver, taken, from.id)
		}
	}
}
