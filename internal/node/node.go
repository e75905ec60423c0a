package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"appliance/engine"
	"appliance/engine/xdp"
	"appliance/engine/xsk"
	"appliance/internal/netstate"
	"appliance/rss"
	"appliance/vserver"
	"appliance/vserver/health"
)

// A Node is a running node. Start makes one; Close ends it. Its methods are
// safe for concurrent use.
type Node struct {
	log     *slog.Logger
	cfg     Config // as it was at the start
	started time.Time

	arena     *engine.Arena
	group     *engine.Group
	handlers  []*vserver.Handler // by engine
	hasher    *rss.Hasher
	cores     *rss.CoreTable
	addresses *xdp.Addresses
	denied    *xdp.Denied
	deny      denyList // what is in denied
	host      *netstate.Watcher
	checker   *health.Checker

	changing sync.Mutex // held while services change: by the control loop or by Reload
	want     Services   // in force
	builder  *vserver.Builder
	narrow   []vserver.Narrow // what was said of the services in force

	mu         sync.Mutex // guards what follows, for moments only: status must not wait for a change
	ifaces     []*iface   // the list never changes
	services   *vserver.Services
	generation uint64
	reload     ReloadStatus
	ready      bool

	steps  *time.Timer   // fires when a slow start comes to its next step
	relink chan struct{} // tells the links goroutine of a change
	asked  chan struct{} // tells that handlers have questions
	stop   context.CancelFunc
	done   sync.WaitGroup
}

// Start brings a node up: all of it, or nothing and an error. ctx bounds the
// start, not the life of the node.
func Start(ctx context.Context, cfg Config) (n *Node, err error) {
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	if err := CheckRights(); err != nil {
		return nil, err
	}
	cfg.Engine.Interfaces = len(cfg.Interfaces)
	n = &Node{log: cfg.Log, cfg: cfg, started: time.Now(), relink: make(chan struct{}, 1), asked: make(chan struct{}, 1), steps: time.NewTimer(idleSteps)}
	defer func() {
		if err != nil {
			err = errors.Join(err, n.Close())
			n = nil
		}
	}()
	links, err := n.watch()
	if err != nil {
		return n, err
	}
	if err := n.makeEngines(links); err != nil {
		return n, err
	}
	if n.addresses, err = xdp.NewAddresses(vserver.MaxServices + vserver.MaxSNIPs); err != nil {
		return n, err
	}
	if n.denied, err = xdp.NewDenied(2 * xdp.MaxDenied); err != nil { // configured and added ones
		return n, err
	}
	n.deny.set = n.denied.Set
	for number, in := range cfg.Interfaces {
		n.ifaces = append(n.ifaces, &iface{Interface: in, number: number, link: links[number], log: n.log.With("interface", in.Name)})
	}
	for _, i := range n.ifaces {
		s, err := n.open(ctx, i, i.link)
		if err != nil {
			return n, err
		}
		i.serving = s
	}
	n.checker = health.New(health.Config{Log: n.log})
	if err := n.apply(cfg.Services); err != nil {
		return n, err
	}
	if err := ctx.Err(); err != nil { // what came before need not have noticed
		return n, fmt.Errorf("node: start: %w", err)
	}
	n.control()
	return n, nil
}

// watch starts the netlink watcher and returns the configured interfaces' links,
// which must all exist.
func (n *Node) watch() ([]netstate.Link, error) {
	list := make([]netstate.Interface, len(n.cfg.Interfaces))
	names := make([]string, len(list))
	for i, in := range n.cfg.Interfaces {
		list[i], names[i] = netstate.Interface{Name: in.Name, Server: in.Server}, in.Name
	}
	var err error
	if n.host, err = netstate.New(netstate.Config{Interfaces: list, Guarded: true, Log: n.log}); err != nil {
		return nil, err
	}
	links := n.host.Current().Links
	for _, l := range links {
		if !l.Exists {
			return nil, fmt.Errorf("interface %s does not exist (`ip link` lists those that do)", l.Name)
		}
	}
	for _, harm := range netstate.SysctlProblems(names) {
		n.log.Warn("kernel setting", "problem", harm)
	}
	return links, nil
}

// makeEngines maps the packet memory and starts the engines, without ports.
func (n *Node) makeEngines(links []netstate.Link) error {
	cfg := &n.cfg
	size, sockets := cfg.FrameSize, 0 // sockets of the engine with the most
	for _, l := range links {
		need, err := frameSize(l)
		if err != nil {
			return err
		}
		if cfg.FrameSize == 0 {
			size = max(size, need)
		}
		sockets += perEngine(l.RxQueues, cfg.Engine.Engines)
	}
	frames := cfg.Frames
	if frames == 0 {
		per := xsk.Config{RxRing: cfg.RxRing, TxRing: cfg.TxRing}.Frames()
		frames = frameCount(sockets, per, cfg.Engine.Engines, cfg.Engine.Batch, cfg.Engine.Handoff)
	}
	var err error
	if n.arena, err = engine.NewArena(frames, size); err != nil {
		return err
	}
	n.hasher = rss.NewHasher(cfg.Key)
	if n.cores, err = rss.NewCoreTable(cfg.Engine.Engines); err != nil {
		return err
	}
	n.builder = vserver.NewBuilder(n.hasher)
	handlers := make([]engine.Handler, cfg.Engine.Engines)
	for i := range handlers {
		h, err := vserver.NewHandler(vserver.HandlerConfig{
			Arena: n.arena, Engine: i, Engines: len(handlers), Capacity: cfg.FlowCapacity, Seed: rand.Uint64(), Asked: n.asked,
			Held: heldCount(frames, len(handlers)),
		})
		if err != nil {
			return err
		}
		handlers[i] = h
		n.handlers = append(n.handlers, h)
	}
	if n.group, err = engine.NewGroup(n.arena, cfg.Engine, handlers); err != nil {
		return err
	}
	return n.group.Start()
}

// apply puts want in force: SNIPs, health checks, denials, neighbours, snapshot,
// and last the addresses whose packets come here. What can refuse comes before
// Build, which ends the flows of services that want leaves out. The caller holds
// changing, or is alone.
func (n *Node) apply(want Services) error {
	if err := want.notOwn(n.host.Current().Addresses); err != nil {
		return err
	}
	if err := want.dedicated(n.host.Current().Addresses); err != nil {
		return err
	}
	err := n.host.SetSNIPs(want.Services.SNIPs)
	wrong := errors.Is(err, netstate.ErrBadSNIP) || errors.Is(err, netstate.ErrNotDedicated)
	if starting := n.services == nil; err != nil && (starting || wrong) {
		return err // else their interface is away, and they get there when it is back
	}
	if err := n.checker.SetTargets(n.want.serving(want.targets())); err != nil {
		return err
	}
	if err := n.deny.configure(want.Denied); err != nil {
		return err
	}
	services, err := n.builder.Build(want.Services, n.up(want.Checks), n.host.Current().FIB)
	if err != nil {
		return err
	}
	n.host.Manage(want.backends())
	n.want = want
	n.publish(services)
	return n.addresses.Set(want.kinds())
}

// up returns the verdict on backends: health checks' where there are any.
func (n *Node) up(checks map[string]health.Check) func(service, backend string) bool {
	return func(service, backend string) bool {
		_, checked := checks[service]
		return !checked || n.checker.Up(service, backend)
	}
}

// finishes reports whether engines finish checksums.
func (n *Node) finishes() bool {
	isVeth := func(l netstate.Link) bool { return l.Kind == "veth" }
	return n.cfg.FinishL4 == FinishAlways ||
		n.cfg.FinishL4 == FinishAuto && slices.ContainsFunc(n.host.Current().Links, isVeth)
}

// publish hands a new snapshot to the engines.
func (n *Node) publish(services *vserver.Services) {
	n.noteNarrow(services.Narrow())
	n.mu.Lock()
	defer n.mu.Unlock()
	n.services = services
	n.steps.Reset(n.untilStep())
	n.generation++
	n.group.Publish(&engine.Snapshot{
		Generation: n.generation, Hasher: n.hasher, Cores: n.cores,
		VerifyL4: n.cfg.VerifyL4, FinishL4: n.finishes(), App: services,
	})
}

// Close ends the node. Its error names what went wrong on the way, lost frames
// among it; the node is down in any case.
func (n *Node) Close() error {
	if n.stop != nil {
		n.stop()
		n.done.Wait()
	}
	if n.checker != nil {
		n.checker.Close()
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	var errs []error
	for _, i := range n.ifaces {
		if s := i.serving; s != nil {
			n.note(i, i.link, nil, nil)
			errs = append(errs, s.close(ctx))
		}
		errs = append(errs, i.drop())
	}
	if n.group != nil {
		errs = append(errs, n.group.Close())
	}
	for _, h := range n.handlers {
		errs = append(errs, h.Close())
	}
	if n.addresses != nil {
		errs = append(errs, n.addresses.Close())
	}
	if n.denied != nil {
		errs = append(errs, n.denied.Close())
	}
	if n.host != nil {
		errs = append(errs, n.host.Close())
	}
	if n.arena != nil {
		errs = append(errs, n.arena.Close())
	}
	return errors.Join(errs...)
}

// Ready returns nil once packets flow: interfaces served and every backend
// checked once.
func (n *Node) Ready() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if !n.ready {
		return errors.New("starting: first health checks are under way")
	}
	return nil
}
