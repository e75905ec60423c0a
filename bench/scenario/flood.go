package scenario

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"appliance/bench/gen"
	"appliance/internal/lab"
	"appliance/internal/lab/origin"
)

// A siege is a flood of SYNs upon a virtual server in some mode.
type siege struct {
	name, mode string
	rate       float64 // forged SYNs a second
	behind     behind
}

// behind is what forged SYNs meet behind the node.
type behind int

const (
	silence behind = iota // they are dropped
	answers               // they are answered without end; in nat the answers come back through the node
	kernels               // the backends' sockets
)

// sieges are those that the scenario measures: 300,000 forged packets a second
// through the node, answers among them; and as many as backends can bear beside
// it that are kernel sockets on the same machine.
var sieges = []siege{
	{"dsr", "dsr", floodRate, silence},
	{"nat", "nat", floodRate, silence},
	{"nat_answered", "nat", floodRate / 2, answers},
	{"nat_kernel", "nat", floodRate / 6, kernels},
}

const (
	floodRate    = 300_000 // forged packets a second through the node
	floodSources = 1 << 17 // addresses that they come from: all of floodNet
	floodFlows   = floodSources * 4096
	floodMark    = 0x28 // type of service of forged SYNs

	// What honest clients do: far below what the machine can carry beside the
	// flood, so that what is missing under it is the node's fault.
	floodStreams = 200     // established connections
	floodChunk   = 4 << 10 // bytes that one exchange moves each way
	floodChunks  = 1000    // exchanges a second over all of them: 4 MB/s each way
	floodFresh   = 50      // new connections a second

	// floodConnect is how long connecting may take: less than the second after
	// which TCP sends its first SYN again, so that only first ones count.
	floodConnect = 900 * time.Millisecond

	// floodCapacity is small enough for the table to be full within a second.
	floodCapacity = 1 << 18

	// floodRing holds 27 ms of the flood: as long as an engine or the generator may
	// wait for a processor that it shares with all the lab. An engine that has a
	// core of its own needs no more than the default.
	floodRing = 8192
)

// floodNet is where forged SYNs come from.
var floodNet = netip.MustParsePrefix("198.18.0.0/15")

// flood measures what honest clients notice of a flood of SYNs from forged
// sources.
func flood(ctx context.Context, r *run) error {
	binary, err := lab.Build(ctx)
	if err != nil {
		return err
	}
	var contestants []contestant
	for _, s := range sieges {
		r.Ratio(s.name+"_goodput_flood/quiet", s.name+"_goodput_flood", s.name+"_goodput_quiet")
		contestants = append(contestants, contestant{s.name, func() error {
			return lab.Run(ctx, lab.Config{}, func(ctx context.Context, l *lab.Lab) error {
				options := lab.NodeOptions{
					Binary: binary, Services: l.Services(s.mode, "maglev"),
					Engine: map[string]string{"flow_capacity": fmt.Sprint(floodCapacity), "rx_ring": fmt.Sprint(floodRing)},
				}
				return s.lay(ctx, r, l, options)
			})
		}})
	}
	return r.alternate(ctx, contestants)
}

// lay measures a siege in a lab of its own: one window without the flood, another
// with it.
func (s *siege) lay(ctx context.Context, r *run, l *lab.Lab, options lab.NodeOptions) (err error) {
	p, err := l.Nodes[0].Start(ctx, options)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.Stop()) }()
	a, err := newAttacker(ctx, l, p, s)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, a.close()) }()
	h := newHonest(l)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	h.run(ctx)
	if err := h.established(ctx); err != nil {
		return err
	}
	quiet, err := h.watch(ctx, p, a, r.Time, false)
	if err != nil {
		return err
	}
	stormy, err := h.watch(ctx, p, a, r.Time, true)
	if err != nil {
		return err
	}
	cancel()
	h.done.Wait()
	quiet.add(r, s.name, "quiet")
	stormy.add(r, s.name, "flood")
	stormy.counted(r, s.name)
	return nil
}

// An attacker is the source of the flood, at the router's end of the node's link,
// and the ends where it leaves the lab again.
type attacker struct {
	gen      *gen.Generator
	rate     float64
	router   *lab.Namespace
	backends *gen.StandIn // behind the node's server plane; may be nil
	clients  *gen.StandIn // behind its client plane
}

// newAttacker gets the flood ready. Answers to forged SYNs end at the router.
func newAttacker(ctx context.Context, l *lab.Lab, p *lab.Process, siege *siege) (a *attacker, err error) {
	a = &attacker{router: l.Router, rate: siege.rate}
	defer func() {
		if err != nil {
			err = errors.Join(err, a.close())
		}
	}()
	s, err := p.Status(ctx)
	if err != nil {
		return a, err
	}
	link := l.Nodes[0].Host() // the name of the far ends of its links
	if _, err = l.Router.Output(ctx, "ip", "route", "replace", "blackhole", floodNet.String()); err != nil {
		return a, err
	}
	if siege.behind != kernels {
		if a.backends, err = standIn(l.Fabric, link, siege.behind == answers); err != nil {
			return a, err
		}
	}
	if a.clients, err = standIn(l.Router, link, false); err != nil {
		return a, err
	}
	cfg := gen.Config{
		Client: floodNet.Addr(), Clients: floodSources, Flows: floodFlows, TOS: floodMark,
		Dst: l.VIPs[0].V4, DstPort: origin.HTTPPort, Proto: gen.TCP, TCPFlags: gen.SYN, Frame: gen.MinFrame,
	}
	err = l.Router.In(func() (err error) {
		if cfg.Egress, cfg.SrcMAC, err = station(link); err != nil {
			return err
		}
		if cfg.DstMAC, err = clientMAC(s); err != nil {
			return err
		}
		a.gen, err = gen.New(cfg)
		return err
	})
	return a, err
}

// strike floods the node until ctx ends.
func (a *attacker) strike(ctx context.Context) error {
	return a.router.In(func() error { return a.gen.Run(ctx, a.rate) })
}

func (a *attacker) close() error {
	var errs []error
	if a.gen != nil {
		errs = append(errs, a.gen.Close())
	}
	for _, s := range []*gen.StandIn{a.backends, a.clients} {
		if s != nil {
			errs = append(errs, s.Close())
		}
	}
	return errors.Join(errs...)
}

// standIn takes forged segments off a link at a host's end of it.
func standIn(at *lab.Namespace, link string, answers bool) (*gen.StandIn, error) {
	s, err := gen.NewStandIn(floodMark, answers)
	if err != nil {
		return nil, err
	}
	err = at.In(func() error {
		ifindex, _, err := station(link)
		if err != nil {
			return err
		}
		return s.Attach(ifindex)
	})
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}
