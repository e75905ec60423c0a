package scenario

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"appliance/bench/gen"
	"appliance/bench/peers"
	"appliance/bench/rig"
)

// What the forward scenario offers: far more than any peer takes, so that each
// runs at its limit and the receive ring drops the rest.
const (
	forwardFlows   = 10_000
	forwardClients = 1024
)

// forwardRatios are the comparisons that the scenario reports.
var forwardRatios = []struct{ over, under string }{
	{"appliance_dsr", "bare"},
	{"appliance_nat", "bare"},
	{"appliance_nat", "nftables"},
	{"appliance_dsr", "testpmd"},
	{"appliance_dsr", "asavie"},
	{"bare", "testpmd"},
	{"bare", "asavie"},
}

// forward measures how many packets a second go through a node and its peers.
func forward(ctx context.Context, r *run) error {
	b, err := newBench()
	if err != nil {
		return err
	}
	var contestants []contestant
	for _, p := range peers.All() {
		contestants = append(contestants, contestant{p.Name, func() error {
			err := b.measure(ctx, r, p)
			if errors.Is(err, peers.ErrAbsent) {
				r.Absent(p.Name, strings.ReplaceAll(err.Error(), "\n", "; "))
				return nil
			}
			return err
		}})
	}
	for _, q := range forwardRatios {
		r.Ratio(q.over+"/"+q.under, q.over, q.under)
		for _, per := range []func(string) string{perCPU, perEngine} {
			r.Ratio(per(q.over)+"/"+per(q.under), per(q.over), per(q.under))
		}
	}
	err = r.alternate(ctx, contestants)
	r.noise(b.others)
	return errors.Join(err, b.close())
}

// perCPU names a peer's packets for each second of all processors, perEngine for
// each second of its own threads.
func perCPU(peer string) string    { return peer + "_per_cpu_second" }
func perEngine(peer string) string { return peer + "_per_engine_second" }

// A bench is a rig with the generator at one end and the sink at the other.
type bench struct {
	rig    *rig.Rig
	gen    *gen.Generator
	sink   *gen.Sink
	others float64 // most CPUs that anything but a peer and the generator used
}

func newBench() (*bench, error) {
	b := new(bench)
	if err := b.open(); err != nil {
		return nil, errors.Join(err, b.close())
	}
	return b, nil
}

func (b *bench) open() (err error) {
	if err := peers.Processors(); err != nil {
		return err
	}
	if b.rig, err = rig.New(); err != nil {
		return err
	}
	if b.sink, err = gen.NewSink(peers.Port); err != nil {
		return err
	}
	err = b.rig.Server.Do(func() error {
		ifindex, err := rig.Index(rig.SinkIf)
		if err != nil {
			return err
		}
		return b.sink.Attach(ifindex)
	})
	if err != nil {
		return err
	}
	return b.rig.Client.Do(func() error {
		egress, err := rig.Index(rig.GenIf)
		if err != nil {
			return err
		}
		b.gen, err = gen.New(gen.Config{
			Egress: egress, SrcMAC: rig.GenMAC, DstMAC: rig.CliMAC,
			Client: rig.FirstClient, Clients: forwardClients, Flows: forwardFlows,
			Dst: rig.VIP, DstPort: peers.Port, Proto: gen.UDP, Frame: gen.MinFrame,
		})
		return err
	})
}

func (b *bench) close() error {
	var errs []error
	if b.gen != nil {
		errs = append(errs, b.gen.Close())
	}
	if b.sink != nil {
		errs = append(errs, b.sink.Close())
	}
	if b.rig != nil {
		errs = append(errs, b.rig.Close())
	}
	return errors.Join(errs...)
}

// measure runs one peer under full load and adds its figures.
func (b *bench) measure(ctx context.Context, r *run, p *peers.Peer) error {
	before, err := b.account()
	if err != nil {
		return err
	}
	running, err := p.Start(b.rig)
	if err != nil {
		return err
	}
	seen, err := b.load(ctx, running, before, r.Time)
	report, stopped := running.Stop()
	if err := errors.Join(err, stopped); err != nil {
		return err
	}
	after, err := b.account()
	if err != nil {
		return err
	}
	after.Account.Inside = report.Lost()
	b.judge(r, p.Name, after.minus(before))
	b.add(r, p.Name, seen)
	return nil
}

// load generates traffic and watches what arrives in a window of the given
// length that begins when the flows are known and the caches warm. It returns
// when nothing moves any more.
func (b *bench) load(ctx context.Context, running peers.Running, before ledger, window time.Duration) (span, error) {
	ctx, cancel := context.WithTimeout(ctx, warmUp+window+overrun)
	defer cancel()
	g, err := b.generate(ctx)
	if err != nil {
		return span{}, err
	}
	time.Sleep(warmUp)
	from, err := b.look(running, g)
	time.Sleep(window)
	to, err2 := b.look(running, g)
	cancel()
	if err := errors.Join(err, err2, <-g.ended, b.settle(before)); err != nil {
		return span{}, err
	}
	return to.since(from), nil
}

const (
	// warmUp lets each flow send about ten packets before the window begins.
	warmUp = 300 * time.Millisecond
	// overrun is how long after the window the generator ends by itself if nobody
	// gets round to ending it, because it and a peer keep all processors busy.
	overrun = 5 * time.Second
)

// settle waits until every frame sent since before is accounted for, or, with a
// peer that drops some itself, until the sink has counted nothing for a while: a
// second, because on a busy machine a peer may not run for as long.
func (b *bench) settle(before ledger) error {
	const pause, pauses, limit = 20 * time.Millisecond, 50, 500
	last, still := uint64(0), 0
	for range limit {
		now, err := b.account()
		if err != nil {
			return err
		}
		if still++; now.Received != last {
			last, still = now.Received, 0
		}
		if now.minus(before).Missing() == 0 || still == pauses {
			return nil
		}
		time.Sleep(pause)
	}
	return fmt.Errorf("frames still arrive %v after the last was sent", limit*pause)
}
