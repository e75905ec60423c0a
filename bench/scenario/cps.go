package scenario

import (
	"context"
	"errors"
	"fmt"

	"appliance/bench/replay"
	"appliance/engine"
	"appliance/vserver"
)

// Every packet of the cps scenario opens a connection.
const cpsFlows = 1 << 21 // different ones; each is expired and swept long before its turn comes again

// cpsCapacity is room for what begins until the sweep comes by again, some 0.3 s
// of ours: in dsr that is more than a million flows.
const cpsCapacity = 2 * pipelineCapacity

// cpsSpeed is how much faster time passes for the Handler than for us, so that
// flows expire while we watch: the shortest timeout is 63 ms of ours, a sweep of
// the whole table 250 ms, in slices that still end within Housekeep's bound.
const cpsSpeed = 32

// A fastClock is a Handler for which time passes faster.
type fastClock struct {
	engine.Handler
	speed int64
}

func (f fastClock) Decide(s *engine.Snapshot, now int64, batch []engine.Packet) {
	f.Handler.Decide(s, now*f.speed, batch)
}

func (f fastClock) Housekeep(s *engine.Snapshot, now int64) { f.Handler.Housekeep(s, now*f.speed) }

func withFastClock(h engine.Handler) engine.Handler { return fastClock{h, cpsSpeed} }

// cps measures how many connections a second one engine accepts into its flow
// table and expires again: received SYN, chosen backend, in nat a source port,
// record, rewritten SYN, and later the sweep.
func cps(ctx context.Context, r *run) error {
	heads := replay.Heads(cpsFlows, replay.Traffic{Client: coreClient, To: coreVIP, TCPFlags: "S"})
	var contestants []contestant
	var cores []*core
	var err error
	for _, m := range pipelineModes {
		name := "cps_" + m.name
		r.progress("%s: until as many flows expire as begin", name)
		var c *core
		c, err = newCore(ctx, coreConfig{
			mode: m.mode, proto: vserver.TCP, timeout: vserver.MinTimeout,
			capacity: cpsCapacity, heads: heads, wrap: withFastClock,
		})
		if err != nil {
			break
		}
		cores = append(cores, c)
		if _, err = c.play(ctx, cpsFlows); err != nil {
			break
		}
		contestants = append(contestants, contestant{name, func() error { return c.connect(ctx, r, name) }})
	}
	if err == nil {
		err = r.alternate(ctx, contestants)
	}
	for _, c := range cores {
		err = errors.Join(err, c.close())
	}
	return err
}

// cpsGuess is a rate that is too high: it makes the first leg long enough.
const cpsGuess = 4e6

// connect opens connections for one round.
func (c *core) connect(ctx context.Context, r *run, name string) error {
	before, err := c.traffic(ctx)
	if err != nil {
		return err
	}
	l, err := c.play(ctx, int(cpsGuess*r.Time.Seconds()))
	if err != nil {
		return err
	}
	after, err := c.traffic(ctx)
	if err != nil {
		return err
	}
	accepted := after.accepted - before.accepted
	r.Add(name, "flows/s", float64(accepted)/l.took.Seconds())
	r.Add(name+"_expired", "flows/s", float64(after.ended()-before.ended())/l.took.Seconds())
	r.Add(name+"_present", "flows", float64(after.present))
	r.Add(name+"_allocs", "allocations", float64(l.allocs))
	if evicted := after.evicted - before.evicted; accepted != uint64(l.packets) || evicted > 0 {
		r.Fault("%s: of %d connections %d were accepted and %d gave way before their time", name, l.packets, accepted, evicted)
	}
	return nil
}

// flowCounts is what a core's flow table has seen.
type flowCounts struct {
	accepted, evicted, present uint64
}

// ended returns how many flows have ended.
func (f flowCounts) ended() uint64 { return f.accepted - f.present }

func (c *core) traffic(ctx context.Context) (flowCounts, error) {
	var counters *vserver.Counters
	if err := c.engine.Call(ctx, func() { counters = c.handler.Counters() }); err != nil {
		return flowCounts{}, err
	}
	reports := c.services.Report([]*vserver.Counters{counters})
	if len(reports) != 1 {
		return flowCounts{}, fmt.Errorf("%d services instead of one", len(reports))
	}
	t := reports[0].Traffic
	return flowCounts{accepted: t.NewFlows, evicted: counters.Flows.Evicted, present: t.Flows}, nil
}
