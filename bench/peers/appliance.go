package peers

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	"appliance/bench/rig"
	"appliance/engine"
	"appliance/engine/xsk"
	"appliance/internal/node"
	"appliance/rss"
	"appliance/vserver"
)

// flowCapacity is room for the benchmark's flows, as an operator would give it.
const flowCapacity = 1 << 16

// An appliance is a node as `appliance run` composes it: netlink watcher, XDP
// program, sockets, one engine, one virtual server.
type appliance struct {
	node *node.Node
}

// newAppliance returns what starts a node whose virtual server has this mode.
func newAppliance(mode vserver.Mode) func() (forwarder, error) {
	return func() (forwarder, error) {
		cfg, err := applianceConfig(mode)
		if err != nil {
			return nil, err
		}
		ctx, cancel := context.WithTimeout(context.Background(), startTime)
		defer cancel()
		a := new(appliance)
		if a.node, err = node.Start(ctx, cfg); err != nil {
			return nil, fmt.Errorf("peers: start the appliance: %w", err)
		}
		if err := a.waitReady(ctx); err != nil {
			return nil, errors.Join(err, a.node.Close())
		}
		return a, nil
	}
}

func applianceConfig(mode vserver.Mode) (node.Config, error) {
	key, err := rss.RandomKey()
	if err != nil {
		return node.Config{}, err
	}
	cfg := engine.DefaultConfig()
	cfg.Batch, cfg.CPUs = Batch, []int{NodeCPU}
	return node.Config{
		Name: "bench", Engine: cfg, Driver: node.DriverXSK, ZeroCopy: xsk.ZeroCopyAuto,
		RxRing: Rings, TxRing: Rings, FlowCapacity: flowCapacity, Key: key,
		Interfaces: []node.Interface{{Name: rig.CliIf, Client: true}, {Name: rig.SrvIf, Server: true}},
		Services:   node.Services{Services: applianceServices(mode)},
		Log:        slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn})),
	}, nil
}

// applianceServices is one virtual server over all of the rig's backends.
func applianceServices(mode vserver.Mode) vserver.Config {
	s := vserver.ServiceConfig{Name: "bench", VIP: rig.VIP, Port: Port, Protocol: vserver.UDP, Mode: mode}
	for i := range rig.Backends {
		s.Backends = append(s.Backends, vserver.BackendConfig{
			Name: fmt.Sprintf("b%d", i), Address: rig.Backend(i), Weight: vserver.DefaultWeight,
		})
	}
	all := vserver.Config{Services: []vserver.ServiceConfig{s}}
	for i := range rig.SNIPs {
		all.SNIPs = append(all.SNIPs, rig.SNIP(i))
	}
	return all
}

func (a *appliance) waitReady(ctx context.Context) error {
	for {
		err := a.node.Ready()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("peers: the appliance is not ready: %w", err)
		case <-time.After(time.Millisecond):
		}
	}
}

// stop reads the node's own account before it ends it.
func (a *appliance) stop() (Report, error) {
	ctx, cancel := context.WithTimeout(context.Background(), stopTime)
	defer cancel()
	status, err := a.node.Status(ctx)
	if err != nil {
		return Report{}, errors.Join(err, a.node.Close())
	}
	r := Report{Received: status.Totals.RxPackets, Sent: status.Totals.TxPackets, Dropped: status.Totals.Dropped}
	if r.Dropped == nil {
		r.Dropped = map[string]uint64{}
	}
	for _, i := range status.Interfaces {
		for _, p := range i.Ports {
			r.Dropped["tx_errors"] += p.TxErrors
		}
	}
	return r, a.node.Close()
}
