package scenario

import (
	"context"
	"errors"
	"fmt"

	"appliance/bench/replay"
	"appliance/vserver"
)

// vipsSizes are the configurations that the vips scenario compares with the first.
var vipsSizes = []struct {
	name           string
	vips, backends int
}{
	{"1x1", 1, 1}, {"100x1", 100, 1}, {"10kx1", 10_000, 1}, {"1x100", 1, 100}, {"1x1k", 1, 1000}, {"1kx1k", 1000, 1000},
}

// vipsFlows is how many flows there are in each of them: ten for each of the most
// VIPs. Their records are the same memory in all, so what differs is what VIPs and
// backends cost.
const vipsFlows = 100_000

// vips measures what a packet costs when it may be for any of many virtual servers,
// or go to any of many backends, by turns with one of each.
func vips(ctx context.Context, r *run) error {
	p := &pipelineRun{run: r}
	var err error
	for _, mode := range []vserver.Mode{vserver.DSR, vserver.NAT} {
		for _, size := range vipsSizes {
			if err == nil {
				err = p.prepareVIPs(ctx, mode, size.name, size.vips, size.backends)
			}
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

// prepareVIPs makes the contestant of one mode and size.
func (p *pipelineRun) prepareVIPs(ctx context.Context, mode vserver.Mode, size string, vips, backends int) error {
	name := fmt.Sprintf("vips_%v_%s", mode, size)
	p.progress("%s: fill the flow table", name)
	heads := replay.Heads(vipsFlows, replay.Traffic{Client: coreClient, To: coreVIP, Targets: vips})
	c, err := newCore(ctx, coreConfig{
		mode: mode, proto: vserver.UDP, timeout: vserver.MaxTimeout,
		vips: vips, backends: backends, capacity: pipelineCapacity, heads: heads,
	})
	if err != nil {
		return err
	}
	p.closers = append(p.closers, c.close)
	if err := c.fill(ctx, vipsFlows); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	replay.Shuffle(heads)
	if first := fmt.Sprintf("vips_%v_%s", mode, vipsSizes[0].name); name != first {
		p.Ratio(name+"/1x1", name, first)
	}
	p.add(name, p.of(ctx, name, c))
	return nil
}
