package vserver

import (
	"fmt"
	"math"
	"net/netip"
	"slices"
	"time"

	"appliance/internal/fib"
	"appliance/rss"
	"appliance/vserver/flows"
)

// A Builder makes Services of configurations, one after another: it remembers
// which slot each service and backend has, so that flows and counters survive a
// reload that doesn't concern them. It belongs to the control half; one
// goroutine at a time.
type Builder struct {
	hasher   *rss.Hasher
	ports    *flows.Ports
	buckets  int // that ports is for
	services registry[serviceKey]
	backends registry[backendKey]
	total    shares // of services
	each     shares // of backends
	ramp     ramp
	memory   *sticky // made when a service asks for it, kept from then on
	snips    map[netip.Addr]uint16
	ways     map[way]uint16
	pools    map[string]*pool
}

// NewBuilder returns a Builder for a cluster with this key.
func NewBuilder(hasher *rss.Hasher) *Builder {
	return &Builder{
		hasher: hasher, snips: map[netip.Addr]uint16{}, ways: map[way]uint16{},
		ramp: ramp{clock: time.Now},
	}
}

// Build returns the Services that cfg describes, with next hops as routes has
// them and backends as healthy as up says, by the names of service and backend.
// It keeps no reference to cfg. Build it anew whenever one of the three changes.
//
// The error is Validate's, or says that the key is degenerate for so many
// buckets or that SNIPs have changed too often. Services built before stay valid.
func (b *Builder) Build(cfg Config, up func(service, backend string) bool, routes *fib.Table) (*Services, error) {
	cfg = clone(cfg)
	cfg.SetDefaults()
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if err := b.solvePorts(cfg.Buckets); err != nil {
		return nil, fmt.Errorf("vserver: build: %w", err)
	}
	s := &Services{config: cfg, ports: b.ports, routes: routes}
	if err := b.placeSNIPs(s); err != nil {
		return nil, fmt.Errorf("vserver: build: %w", err)
	}
	b.total.begin()
	b.each.begin()
	b.ramp.begin()
	b.placeWays(s)
	b.placeServices(s)
	b.remember(s)
	b.placeBackends(s, up)
	if err := b.fillPools(s); err != nil {
		return nil, fmt.Errorf("vserver: build: %w", err)
	}
	return s, nil
}

// clone copies what SetDefaults may write and callers may change.
func clone(cfg Config) Config {
	cfg.SNIPs = slices.Clone(cfg.SNIPs)
	cfg.Encap.Sources = slices.Clone(cfg.Encap.Sources)
	cfg.Services = slices.Clone(cfg.Services)
	for i := range cfg.Services {
		cfg.Services[i].Backends = slices.Clone(cfg.Services[i].Backends)
	}
	return cfg
}

func (b *Builder) solvePorts(buckets int) error {
	if b.ports != nil && b.buckets == buckets {
		return nil
	}
	ports, err := flows.NewPorts(b.hasher, buckets)
	if err != nil {
		return err
	}
	b.ports, b.buckets = ports, buckets
	return nil
}

// placeSNIPs numbers the SNIPs; known ones keep their numbers.
func (b *Builder) placeSNIPs(s *Services) error {
	for _, a := range s.config.SNIPs {
		if _, ok := b.snips[a]; ok {
			continue
		}
		if len(b.snips) > math.MaxUint16 {
			return fmt.Errorf("more than %d different SNIPs since the start: restart the process", math.MaxUint16)
		}
		b.snips[a] = uint16(len(b.snips))
	}
	s.snips = make([]snip, len(b.snips))
	s.bySNIP = newIndex(8 * len(s.config.SNIPs)) // sparse: each packet of a client looks here in vain
	for _, a := range s.config.SNIPs {
		n := b.snips[a]
		s.snips[n] = snip{addr: a.As16(), inUse: true}
		s.bySNIP.add(addressOf(a), hostTag, uint32(n))
		if a.Is4() {
			s.snips4 = append(s.snips4, n)
		} else {
			s.snips6 = append(s.snips6, n)
		}
	}
	return nil
}

// placeServices gives each service its slot and enters it under its VIP.
func (b *Builder) placeServices(s *Services) {
	keys := make([]serviceKey, len(s.config.Services))
	for i := range s.config.Services {
		c := &s.config.Services[i]
		keys[i] = serviceKey{c.VIP, c.Port, c.Protocol, c.Mode}
	}
	refs := b.services.assign(keys)
	s.roster.Services = slices.Clone(b.services.gens)
	s.services = make([]service, len(s.roster.Services))
	s.byPort, s.vips = newIndex(len(keys)), newIndex(len(keys))
	for i, ref := range refs {
		c := &s.config.Services[i]
		s.services[ref.Slot()] = service{
			ref: ref, mode: c.Mode, vip: c.VIP.As16(),
			timeouts: c.Timeouts.ticks(), mss: c.MSSClamp,
			onNoBackend: c.OnNoBackend, onNoFlow: c.OnNoFlow, onBackendDown: c.OnBackendDown,
			share: b.total.of(ref, c.MaxFlows > 0), most: limitOf(c.MaxFlows),
			affinity: newAffinity(b.hasher, c),
			config:   c,
		}
		s.vips.add(addressOf(c.VIP), hostTag, 0)
		if port, ok := c.Port.One(); ok {
			s.byPort.add(addressOf(c.VIP), portTag(port, uint8(c.Protocol)), ref.Slot())
		} else {
			s.spread(addressOf(c.VIP), c.Port, c.Protocol, ref.Slot())
		}
		s.list = append(s.list, ref.Slot())
	}
}

// remember gives the services a memory of clients, if one of them wants it.
func (b *Builder) remember(s *Services) {
	wants := func(c ServiceConfig) bool { return c.Persistence.By == BySource && c.Persistence.Timeout > 0 }
	if !slices.ContainsFunc(s.config.Services, wants) {
		return
	}
	if b.memory == nil {
		b.memory = newSticky()
	}
	s.memory = b.memory
}

// placeBackends gives each backend its slot and its next hop.
func (b *Builder) placeBackends(s *Services, up func(service, backend string) bool) {
	var keys []backendKey
	var all []backend
	for _, slot := range s.list {
		svc := &s.services[slot]
		for j := range svc.config.Backends {
			c := &svc.config.Backends[j]
			keys = append(keys, backendKey{svc.ref, netip.AddrPortFrom(c.Address, c.Port)})
			all = append(all, newBackend(s, svc, c, up))
		}
	}
	refs := b.backends.assign(keys)
	s.backends = make([]backend, len(b.backends.gens))
	s.roster.Peers = make([]flows.Peer, len(b.backends.gens))
	for slot, gen := range b.backends.gens {
		s.roster.Peers[slot].Gen = gen // of a vacant slot: nobody's
	}
	for i, ref := range refs {
		be := &all[i]
		be.ref = ref
		if be.up {
			be.step = b.ramp.step(ref, s.services[be.service].config.SlowStart)
		}
		be.share = b.each.of(ref, s.services[be.service].contended())
		s.backends[ref.Slot()] = *be
		s.roster.Peers[ref.Slot()] = flows.Peer{Addr: be.addr, Gen: ref.Gen()}
		svc := &s.services[be.service]
		svc.list = append(svc.list, ref.Slot())
	}
}

func newBackend(s *Services, svc *service, c *BackendConfig, up func(service, backend string) bool) backend {
	be := backend{
		addr: c.Address.As16(), port: c.Port, up: up(svc.config.Name, c.Name),
		config: c, service: svc.ref.Slot(),
	}
	// All flows to a backend take one of several equal paths: other backends
	// take the others.
	be.next, be.found = s.routes.Lookup(c.Address, uint32(addressOf(c.Address).lo))
	if be.found != fib.NoRoute && !s.fromServers(be.next.Interface) {
		be.next, be.found = nil, fib.NoRoute // the clients' side is no way to a server
	}
	if svc.mode == DSR && be.found != fib.NoRoute && be.next.Addr.IsValid() && be.next.Addr != c.Address {
		// Behind a gateway, which would route packets to the VIP straight back.
		be.next, be.found = nil, fib.NoRoute
	}
	if be.found != fib.NoRoute {
		be.mtu = be.next.MTU
	}
	if svc.mode.tunnels() {
		be.dig(&s.config.Encap, svc.config)
	}
	return be
}

// fillPools gives each service the pool of its eligible backends. Pools that
// nobody uses any more are forgotten.
func (b *Builder) fillPools(s *Services) error {
	used := map[string]*pool{}
	for _, slot := range s.list {
		svc := &s.services[slot]
		backends := s.eligible(svc)
		if len(backends) == 0 {
			continue
		}
		weights := rampWeights(backends)
		members := make([]member, len(backends))
		for i, be := range backends {
			svc.join(be, weights[i])
			members[i] = memberOf(svc.config, be.config, weights[i])
		}
		size := tableSize(len(svc.list))
		key := poolKey(svc.config.Method, size, members)
		p, ok := used[key]
		if !ok {
			p, ok = b.pools[key]
		}
		if !ok {
			var err error
			if p, err = newPool(svc.config.Method, size, members); err != nil {
				return fmt.Errorf("service %q: %w", svc.config.Name, err)
			}
		}
		used[key], svc.pool = p, p
	}
	b.pools = used
	return nil
}

// eligible returns the backends that take a service's new flows: those of the
// best kind that there are. Backups come behind all others. Those to which no
// route leads come last: then packets are dropped for that reason, as long as it
// lasts, and no client is told that the service is gone.
func (s *Services) eligible(svc *service) []*backend {
	const backup, unroutable = 1, 2
	var kinds [4][]*backend
	for _, slot := range svc.list {
		be, kind := &s.backends[slot], 0
		if !be.eligible() {
			continue
		}
		if be.config.Backup {
			kind += backup
		}
		if be.found == fib.NoRoute {
			kind += unroutable
		}
		kinds[kind] = append(kinds[kind], be)
	}
	for kind, list := range kinds {
		if len(list) > 0 {
			svc.backups, svc.unroutable = kind&backup != 0, kind&unroutable != 0
			return list
		}
	}
	return nil
}

// ticks returns the timeouts as flow tables take them.
func (t *Timeouts) ticks() flows.Timeouts {
	return flows.Timeouts{
		Handshake:   flows.Ticks(t.Handshake),
		Established: flows.Ticks(t.Established),
		HalfClosed:  flows.Ticks(t.HalfClosed),
		Unreplied:   flows.Ticks(t.Unreplied),
		Replied:     flows.Ticks(t.Replied),
	}
}
