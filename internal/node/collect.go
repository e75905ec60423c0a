package node

import (
	"context"
	"net"
	"os"
	"slices"
	"sync"
	"time"

	"appliance/engine"
	"appliance/engine/packet"
	"appliance/engine/xdp"
	"appliance/vserver"
)

// answerTime is how long an engine has to answer before it counts as stuck. A
// pass takes microseconds; a sleep ends at a call.
const answerTime = time.Second

// A reading is what one engine says of itself, taken between two passes.
type reading struct {
	engine   engine.Counters
	services *vserver.Counters
	err      error
}

// Status reads the whole node. An engine that doesn't answer is marked stuck;
// the rest is shown.
func (n *Node) Status(ctx context.Context) (Status, error) {
	readings := n.read(ctx)
	s := Status{
		Version: n.cfg.Version, Node: n.cfg.Name, ID: n.cfg.ID, PID: os.Getpid(), Started: n.started,
		Totals: Totals{Dropped: map[string]uint64{}, Answered: map[string]uint64{}},
		Frames: n.frameStatus(ctx, readings), DeniedPrefixes: len(n.deny.list()),
	}
	for i := range readings {
		s.Engines = append(s.Engines, n.engineStatus(i, &readings[i]))
		s.Totals.add(&s.Engines[i])
	}
	n.mu.Lock()
	s.Generation, s.Reload = n.generation, n.reload
	for _, i := range n.ifaces {
		s.Interfaces = append(s.Interfaces, i.status())
	}
	services := n.services
	n.mu.Unlock()
	s.Services = n.serviceStatus(services, readings)
	return s, ctx.Err()
}

// read asks all engines at once for their counters: one that is stuck takes
// none of the others' time.
func (n *Node) read(ctx context.Context) []reading {
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	readings := make([]reading, len(n.handlers))
	var all sync.WaitGroup
	for i, e := range n.group.Engines() {
		r := &readings[i]
		all.Go(func() {
			if r.engine, r.err = e.Counters(ctx); r.err == nil {
				r.err = e.Call(ctx, func() { r.services = n.handlers[i].Counters() })
			}
		})
	}
	all.Wait()
	return readings
}

func (n *Node) engineStatus(id int, r *reading) EngineStatus {
	if r.err != nil {
		return EngineStatus{ID: id, Stuck: true, Dropped: map[string]uint64{}, Answered: map[string]uint64{}}
	}
	c, v := &r.engine, r.services
	return EngineStatus{
		ID: id, Passes: c.Passes, IdlePasses: c.IdlePasses, Sleeps: c.Sleeps,
		LongestPassUS: float64(c.LongestPass) / float64(time.Microsecond),
		RxPackets:     c.RxPackets, RxBytes: c.RxBytes, TxPackets: c.TxPackets, TxBytes: c.TxBytes,
		OwnedPackets: c.Owned, HandedOff: c.HandedOff, TakenOver: c.TakenOver, Held: c.Held,
		Pings: v.Pings, ICMPErrors: v.Errors,
		Flows: v.Flows.Flows, FlowCapacity: n.cfg.FlowCapacity,
		EvictedFlows: v.Flows.Evicted, UnlistedFlows: v.Unlisted,
		Dropped: byReason(&c.Dropped), Answered: byReason(&v.Answers),
	}
}

// byReason names what was counted.
func byReason(counts *[packet.Reasons]uint64) map[string]uint64 {
	m := map[string]uint64{}
	for why, count := range counts {
		if count > 0 {
			m[packet.Reason(why).String()] = count
		}
	}
	return m
}

func (t *Totals) add(e *EngineStatus) {
	t.RxPackets += e.RxPackets
	t.OwnedPackets += e.OwnedPackets
	t.TxPackets += e.TxPackets
	t.Flows += uint64(e.Flows)
	for why, count := range e.Dropped {
		t.Dropped[why] += count
	}
	for why, count := range e.Answered {
		t.Answered[why] += count
	}
}

func (i *iface) status() InterfaceStatus {
	s := InterfaceStatus{Name: i.Name, Planes: i.planes(), MTU: i.link.MTU, MAC: net.HardwareAddr(i.link.MAC[:]).String()}
	s.State, s.Error = i.state()
	if i.serving == nil {
		return s
	}
	s.XDP = i.serving.mode.String()
	s.RSS, s.RSSWhy = string(i.serving.rss.State), i.serving.rss.Why
	if f, err := i.serving.program.Stats(); err == nil {
		s.Filter = FilterStatus{
			Passed:     f[xdp.PassedOther] + f[xdp.PassedShort] + f[xdp.PassedForeign] + f[xdp.PassedSNIP],
			Redirected: f[xdp.RedirectedVIP] + f[xdp.RedirectedSNIP],
			NoSocket:   f[xdp.DroppedNoSocket],
			Denied:     f[xdp.DroppedDenied],
		}
	}
	for _, p := range i.serving.ports {
		s.Ports = append(s.Ports, p.status())
	}
	return s
}

func (p *queuePort) status() PortStatus {
	c := p.Stats()
	return PortStatus{
		Queue: p.queue, Engine: p.engine.ID(), ZeroCopy: p.zeroCopy,
		RxPackets: c.RxPackets, RxBytes: c.RxBytes, TxPackets: c.TxPackets, TxBytes: c.TxBytes,
		TxErrors: c.TxErrors, TxRetries: c.TxRetries,
		RxDropped: c.RxDropped, RxRingFull: c.RxRingFull, FillEmpty: c.FillEmpty,
		TxInvalid: c.TxInvalid, Bad: c.BadDescriptors, Kicks: c.Kicks,
	}
}

// frameStatus counts the frames. While an engine is stuck it leaves them zero.
func (n *Node) frameStatus(ctx context.Context, readings []reading) FrameStatus {
	s := FrameStatus{Total: n.arena.Frames()}
	if slices.ContainsFunc(readings, func(r reading) bool { return r.err != nil }) {
		return s
	}
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	if l, err := n.group.Ledger(ctx); err == nil {
		s.Free, s.Fill, s.Transmit, s.Handoff, s.Held = l.Free, l.Fill, l.Transmit, l.Handoff, l.Held
	}
	return s
}
