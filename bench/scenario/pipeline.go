package scenario

import (
	"context"
	"errors"
	"fmt"
	"time"

	"appliance/bench/replay"
	"appliance/vserver"
)

// pipelineLoads are the numbers of flows that the pipeline scenario measures at.
var pipelineLoads = []struct {
	name  string
	flows int
}{{"10k", 10_000}, {"1m", 1_000_000}}

// pipelineModes are the modes that it measures.
var pipelineModes = []struct {
	name string
	mode vserver.Mode
}{{"dsr", vserver.DSR}, {"nat", vserver.NAT}, {"ipip", vserver.IPIP}, {"gue", vserver.GUE}}

const (
	// pipelineCapacity is the flow table's capacity at either load: what a node
	// has unless its configuration says otherwise.
	pipelineCapacity = 1 << 20
	// flowBytes is what a flow of capacity costs its table: a record of one line
	// and two index entries of 8 bytes at half load.
	flowBytes = 96
)

// pipeline measures one engine's whole loop, from received frame to rewritten
// frame, without a kernel.
func pipeline(ctx context.Context, r *run) error {
	p := &pipelineRun{run: r}
	var err error
	for _, load := range pipelineLoads {
		if err = p.prepare(ctx, load.name, load.flows); err != nil {
			break
		}
	}
	if err == nil {
		err = r.alternate(ctx, p.contestants)
	}
	for _, c := range p.closers {
		err = errors.Join(err, c())
	}
	return err
}

// A pipelineRun is what one run of the scenario has set up.
type pipelineRun struct {
	*run
	contestants []contestant
	closers     []func() error
}

// prepare makes the contestants for one number of flows: a core in each mode,
// with all flows known, and the baseline.
func (p *pipelineRun) prepare(ctx context.Context, load string, flows int) error {
	heads := replay.Heads(flows, replay.Traffic{Client: coreClient, To: coreVIP})
	for _, m := range pipelineModes {
		name := fmt.Sprintf("pipeline_%s_%s", m.name, load)
		p.progress("%s: fill the flow table", name)
		c, err := newCore(ctx, coreConfig{
			mode: m.mode, proto: vserver.UDP, timeout: vserver.MaxTimeout,
			capacity: pipelineCapacity, heads: heads,
		})
		if err != nil {
			return err
		}
		p.closers = append(p.closers, c.close)
		if err := c.fill(ctx, flows); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		p.Ratio(name+"/cacheline", name, "cacheline_"+load)
		p.Ratio(name+"/hotline", name, "hotline_"+load)
		p.add(name, p.of(ctx, name, c))
	}
	// In the order of their first packets flows would find their records one
	// behind the other in memory.
	replay.Shuffle(heads)
	return errors.Join(
		p.baseline("cacheline_"+load, heads, pipelineCapacity*flowBytes, true),
		p.baseline("hotline_"+load, heads, flows*flowBytes, true),
		p.baseline("port_"+load, heads, lineBytes, false),
	)
}

// baseline makes a contestant of a loop that reads lines of a table of so many
// bytes, or that reads nothing.
func (p *pipelineRun) baseline(name string, heads []replay.Head, tableBytes int, lookups bool) error {
	c, err := newCacheline(heads, tableBytes)
	if err != nil {
		return err
	}
	p.closers = append(p.closers, c.close)
	p.add(name, func(n int) (time.Duration, error) { return c.play(n, lookups), nil })
	return nil
}

// add adds a contestant whose play deals with n packets. The first leg is short
// and not counted: it tells how many packets fill the time.
func (p *pipelineRun) add(name string, play func(n int) (time.Duration, error)) {
	n, measured := 1<<17, false
	p.contestants = append(p.contestants, contestant{name, func() error {
		for {
			took, err := play(n)
			if err != nil {
				return err
			}
			ns := float64(took.Nanoseconds()) / float64(n)
			if measured {
				p.Add(name, "ns", ns)
				return nil
			}
			n, measured = max(1<<16, int(float64(p.Time.Nanoseconds())/ns)), true
		}
	}})
}

// of returns the play of a core.
func (p *pipelineRun) of(ctx context.Context, name string, c *core) func(n int) (time.Duration, error) {
	return func(n int) (time.Duration, error) { return p.leg(ctx, name, c, n) }
}

// leg plays n packets through a core and looks at what must not happen.
func (p *pipelineRun) leg(ctx context.Context, name string, c *core, n int) (time.Duration, error) {
	l, err := c.play(ctx, n)
	if err != nil {
		return 0, err
	}
	p.Add(name+"_allocs", "allocations", float64(l.allocs))
	if l.lost > 0 {
		p.Fault("%s: %d of %d packets were dropped", name, l.lost, l.packets)
	}
	return l.took, nil
}

// fill has each of so many flows send its first packet.
func (c *core) fill(ctx context.Context, flows int) error {
	l, err := c.play(ctx, flows)
	if err != nil {
		return err
	}
	if l.lost == 0 {
		return nil
	}
	e, err := c.engine.Counters(ctx)
	return errors.Join(err, fmt.Errorf("%d of %d flows were not accepted; dropped by reason: %v", l.lost, flows, e.Dropped))
}
