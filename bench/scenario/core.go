package scenario

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"runtime"
	"time"

	"appliance/bench/replay"
	"appliance/engine"
	"appliance/internal/fib"
	"appliance/rss"
	"appliance/vserver"
)

// A core is one engine of this process with its whole loop and a virtual
// server's Handler, between a port that plays clients' packets and one that
// swallows what is sent to the backends.
type core struct {
	arena   *engine.Arena
	handler *vserver.Handler
	group   *engine.Group
	engine  *engine.Engine
	clients *replay.Port
	out     *replay.Port

	services *vserver.Services
}

// A coreConfig says what a core serves and how large its flow table is.
type coreConfig struct {
	mode     vserver.Mode
	proto    vserver.Protocol
	timeout  time.Duration // of flows that nobody answers; 0: the service's default
	vips     int           // virtual servers, on addresses from coreVIP on; 0: one
	backends int           // of each, the same ones; 0: coreBackends
	capacity int           // of the flow table
	heads    []replay.Head // what clients send

	// wrap, if not nil, puts something between the engine and its Handler.
	wrap func(engine.Handler) engine.Handler
}

// The network around a core. The addresses are of documentation and benchmark
// ranges, so nothing of the machine is meant.
var (
	coreVIP     = netip.MustParseAddrPort("203.0.113.1:9000")
	coreClient  = netip.MustParseAddr("198.18.0.0")
	coreBackend = netip.MustParseAddr("100.64.0.1")  // the first
	coreSNIP    = netip.MustParseAddr("192.0.2.101") // the first
	coreSources = netip.MustParsePrefix("198.51.100.0/24")
)

// With this many SNIPs and backends a bucket has room for about 2,000 flows, of
// which a million flows put 256 into each.
const (
	coreBackends = 16
	coreSNIPs    = 8
)

// Numbers of a core's interfaces.
const (
	clientSide = 0
	serverSide = 1
)

func newCore(ctx context.Context, cfg coreConfig) (*core, error) {
	c := new(core)
	if err := c.open(ctx, cfg); err != nil {
		return nil, errors.Join(err, c.close())
	}
	return c, nil
}

func (c *core) open(ctx context.Context, cfg coreConfig) (err error) {
	ecfg := engine.DefaultConfig()
	if c.arena, err = engine.NewArena(replay.Frames+4*ecfg.Batch, replay.FrameSize); err != nil {
		return err
	}
	c.handler, err = vserver.NewHandler(vserver.HandlerConfig{
		Arena: c.arena, Engines: 1, Capacity: cfg.capacity, Seed: 1,
	})
	if err != nil {
		return err
	}
	var h engine.Handler = c.handler
	if cfg.wrap != nil {
		h = cfg.wrap(h)
	}
	if c.group, err = engine.NewGroup(c.arena, ecfg, []engine.Handler{h}); err != nil {
		return err
	}
	c.engine = c.group.Engines()[0]
	snapshot, services, err := coreSnapshot(cfg)
	if err != nil {
		return err
	}
	c.services = services
	c.group.Publish(snapshot)
	if err := c.group.Start(); err != nil {
		return err
	}
	if c.clients, err = replay.New(c.arena, cfg.heads); err != nil {
		return err
	}
	if err := c.engine.AddPort(ctx, clientSide, c.clients); err != nil {
		return err
	}
	if c.out, err = replay.New(c.arena, nil); err != nil {
		return err
	}
	return c.engine.AddPort(ctx, serverSide, c.out)
}

// coreSnapshot builds what a node's control half would.
func coreSnapshot(cfg coreConfig) (*engine.Snapshot, *vserver.Services, error) {
	key, err := rss.RandomKey()
	if err != nil {
		return nil, nil, err
	}
	hasher := rss.NewHasher(key)
	cores, err := rss.NewCoreTable(1)
	if err != nil {
		return nil, nil, err
	}
	routes, err := fib.Compile(coreNetwork(cfg.numBackends()))
	if err != nil {
		return nil, nil, err
	}
	up := func(service, backend string) bool { return true }
	services, err := vserver.NewBuilder(hasher).Build(coreServices(cfg), up, routes)
	if err != nil {
		return nil, nil, err
	}
	return &engine.Snapshot{Generation: 1, Hasher: hasher, Cores: cores, App: services}, services, nil
}

// numBackends returns how many backends each service has.
func (cfg *coreConfig) numBackends() int {
	if cfg.backends == 0 {
		return coreBackends
	}
	return cfg.backends
}

func coreServices(cfg coreConfig) vserver.Config {
	backends := make([]vserver.BackendConfig, cfg.numBackends())
	for i := range backends {
		backends[i] = vserver.BackendConfig{Name: fmt.Sprintf("b%d", i), Address: nth(coreBackend, i), Weight: 1}
	}
	all := vserver.Config{Encap: vserver.EncapConfig{Sources: []netip.Prefix{coreSources}}}
	for i := range max(cfg.vips, 1) {
		all.Services = append(all.Services, vserver.ServiceConfig{
			Name: fmt.Sprintf("bench%d", i), VIP: nth(coreVIP.Addr(), i), Port: vserver.PortRange(coreVIP.Port()),
			Protocol: cfg.proto, Mode: cfg.mode, Backends: backends,
			Timeouts: vserver.Timeouts{Unreplied: cfg.timeout, Handshake: cfg.timeout},
		})
	}
	for i := range coreSNIPs {
		all.SNIPs = append(all.SNIPs, nth(coreSNIP, i))
	}
	return all
}

// coreNetwork is a client side and a server side whose backends are known
// neighbours.
func coreNetwork(backends int) fib.Input {
	in := fib.Input{
		Links: []fib.Link{
			{Index: 1, Interface: clientSide, MAC: [6]byte{2, 0, 0, 0, 0, 2}, MTU: 1500, Up: true},
			{Index: 2, Interface: serverSide, MAC: [6]byte{2, 0, 0, 0, 0, 3}, MTU: 1500, Up: true},
		},
		Routes: []fib.Route{
			{Prefix: netip.MustParsePrefix("198.18.0.0/15"), Hops: []fib.Hop{{Link: 1}}},
			{Prefix: netip.MustParsePrefix("100.64.0.0/10"), Hops: []fib.Hop{{Link: 2}}},
		},
	}
	for i := range backends {
		in.Neighbours = append(in.Neighbours, fib.Neighbour{
			Addr: nth(coreBackend, i), Link: 2, MAC: [6]byte{2, 0, 0, 1, byte(i >> 8), byte(i)},
		})
	}
	return in
}

// nth returns the address i places after first.
func nth(first netip.Addr, i int) netip.Addr {
	b := first.As4()
	binary.BigEndian.PutUint32(b[:], binary.BigEndian.Uint32(b[:])+uint32(i))
	return netip.AddrFrom4(b)
}

// A leg is what a core did with a number of packets.
type leg struct {
	packets int
	took    time.Duration
	allocs  uint64 // by the whole process meanwhile
	lost    uint64 // packets that were not sent to a backend
}

// play has the clients send n packets and waits until all are dealt with.
func (c *core) play(ctx context.Context, n int) (leg, error) {
	var before, after runtime.MemStats
	sent := c.out.Stats().TxPackets
	err := c.engine.Call(ctx, func() {
		runtime.ReadMemStats(&before)
		c.clients.Play(n)
	})
	if err != nil {
		return leg{}, err
	}
	select {
	case took := <-c.clients.Took():
		runtime.ReadMemStats(&after)
		return leg{
			packets: n, took: took, allocs: after.Mallocs - before.Mallocs,
			lost: uint64(n) - (c.out.Stats().TxPackets - sent),
		}, nil
	case <-ctx.Done():
		return leg{}, ctx.Err()
	}
}

// close stops the engine, which checks that no frame was lost.
func (c *core) close() error {
	var errs []error
	if c.group != nil {
		errs = append(errs, c.group.Close())
	}
	if c.handler != nil {
		errs = append(errs, c.handler.Close())
	}
	if c.arena != nil {
		errs = append(errs, c.arena.Close())
	}
	return errors.Join(errs...)
}
