package lab

import (
	"context"
	"errors"
	"fmt"
	"os/signal"
	"sync"
	"syscall"

	"appliance/rss"
)

// A Lab is a running lab. Members are in slices: Nodes[0] is n1, and so on. The
// slices don't change between New and Close.
type Lab struct {
	Router   *Namespace
	Fabric   *Namespace // holds the bridge that is the server plane
	Clients  []*Client
	Nodes    []*Node
	Backends []*Backend
	VIPs     []Addrs // service addresses; the router sends them to the nodes

	config Config // defaults filled in
	plan   plan
	key    rss.Key // RSS key that the nodes share
	claim  *claim
	all    []*Namespace
	close  func() error
}

// A Client is a host that sends traffic.
type Client struct {
	*Namespace
	Addr Addrs
}

// New builds a lab, after removing the leftovers of labs that crashed. All
// backends serve when it returns; no node runs yet. ctx bounds the building
// only; Close ends the lab. A New that fails leaves nothing behind.
//
// It needs the rights of root: CAP_SYS_ADMIN for the namespaces, CAP_NET_ADMIN
// inside them, and write access to /run.
func New(ctx context.Context, cfg Config) (*Lab, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	key, err := rss.RandomKey()
	if err != nil {
		return nil, fmt.Errorf("lab: draw a key: %w", err)
	}
	claim, err := newClaim()
	if err != nil {
		return nil, err
	}
	l := &Lab{config: cfg, plan: plan{ipv6: cfg.IPv6}, key: key, claim: claim}
	l.close = sync.OnceValue(l.tearDown)
	if err := l.build(ctx); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	cfg.Log.Debug("lab built", "lab", claim.id,
		"nodes", cfg.Nodes, "backends", cfg.Backends, "clients", cfg.Clients)
	return l, nil
}

// Run builds a lab, calls fn and closes the lab, whatever fn does: return,
// panic, or notice that its context ended because ctx did or because the
// process was asked to end (SIGINT, SIGTERM).
func Run(ctx context.Context, cfg Config, fn func(ctx context.Context, l *Lab) error) (err error) {
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	l, err := New(ctx, cfg)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.Close()) }()
	return fn(ctx, l)
}

// ID returns the lab's id, four hex digits: its namespaces are lab-ID-*.
func (l *Lab) ID() string { return l.claim.id }

// Close ends the nodes and all other processes in the lab, stops the servers
// and removes every namespace, link and file. Calls after the first do nothing
// and return what the first returned.
func (l *Lab) Close() error { return l.close() }

func (l *Lab) tearDown() error {
	var failed []error
	for _, n := range l.Nodes {
		failed = append(failed, n.abandon())
	}
	for _, b := range l.Backends {
		b.Stop()
		failed = append(failed, b.closeTunnels())
	}
	for _, n := range l.all {
		n.close()
	}
	failed = append(failed, l.claim.release())
	l.config.Log.Debug("lab closed", "lab", l.claim.id)
	return errors.Join(failed...)
}

// build makes every host and link. Each is there before the next begins, so
// that a failure leaves a lab that tearDown understands.
func (l *Lab) build(ctx context.Context) error {
	for i := 1; i <= l.config.VIPs; i++ {
		l.VIPs = append(l.VIPs, l.plan.vip(i))
	}
	steps := []func() error{l.addRouter, l.addFabric}
	for i := 1; i <= l.config.Clients; i++ {
		steps = append(steps, func() error { return l.addClient(i) })
	}
	for i := 1; i <= l.config.Backends; i++ {
		steps = append(steps, func() error { return l.addBackend(i) })
	}
	for i := 1; i <= l.config.Nodes; i++ {
		steps = append(steps, func() error { return l.addNode(i) })
	}
	steps = append(steps, l.routeVIPs)
	for _, step := range steps {
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("lab: build: %w", context.Cause(ctx))
		}
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// addNamespace makes one host and remembers it for Close.
func (l *Lab) addNamespace(host string) (*Namespace, error) {
	n, err := newNamespace(host, l.claim.namespace(host))
	if err != nil {
		return nil, err
	}
	l.all = append(l.all, n)
	return n, n.quiet(l.config.IPv6)
}
