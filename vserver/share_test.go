package vserver

import (
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"appliance/engine"
	"appliance/engine/packet"
	pt "appliance/engine/packet/packettest"

	"pgregory.net/rapid"
)

// peer returns another engine's node under the same Services.
func (n *testNode) peer() *testNode {
	other := newNode(n.t, *n.services().Config())
	other.snapshot.App = n.snapshot.App
	other.handler.cfg.Engine, other.handler.cfg.Engines = 1, 2
	return other
}

// reset has the flow's backend end it.
func (c *conn) reset() {
	c.n.t.Helper()
	c.n.one(serverSide, c.answer(pt.Flags("R"), pt.SeqAck(102, 0))).sent(c.n.t, clientSide)
}

// open returns the flows that all engines of a service, or a backend of it, have
// open.
func (n *testNode) open(service, backend string, engines ...*testNode) uint64 {
	all := []*Counters{n.handler.Counters()}
	for _, e := range engines {
		all = append(all, e.handler.Counters())
	}
	for _, r := range n.services().Report(all) {
		if r.Config.Name != service {
			continue
		}
		if backend == "" {
			return r.Open
		}
		for _, b := range r.Backends {
			if b.Config.Name == backend {
				return b.Open
			}
		}
	}
	n.t.Fatalf("no service %s with a backend %s", service, backend)
	return 0
}

// Whatever flows two engines open and close, a new one goes to a backend that
// has the fewest for its weight.
func TestLeastConnAgainstModel(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		cfg := testConfig(NAT, LeastConn, rapid.IntRange(1, 5).Draw(rt, "backends"))
		weights := map[byte]int{}
		for j := range cfg.Services[0].Backends {
			w := rapid.IntRange(0, 3).Draw(rt, "weight")
			if j == 0 {
				w++ // or nobody takes anything
			}
			cfg.Services[0].Backends[j].Weight = w
			weights[byte(j+1)] = w
		}
		n := newNode(t, cfg)
		engines := []*testNode{n, n.peer()}
		has := map[byte]int{}
		var conns []*conn
		for i := range rapid.IntRange(1, 60).Draw(rt, "steps") {
			if len(conns) > 0 && rapid.IntRange(0, 2).Draw(rt, "close") == 0 {
				at := rapid.IntRange(0, len(conns)-1).Draw(rt, "which")
				conns[at].reset()
				has[lastByte(conns[at].backend)]--
				conns = append(conns[:at], conns[at+1:]...)
				continue
			}
			c := engines[rapid.IntRange(0, 1).Draw(rt, "engine")].dial(paths[0], i)
			got := lastByte(c.backend)
			for b, w := range weights {
				if w > 0 && (has[b]+1)*weights[got] < (has[got]+1)*w || weights[got] == 0 {
					rt.Fatalf("flow %d went to %d; flows %v, weights %v", i, got, has, weights)
				}
			}
			has[got]++
			conns = append(conns, c)
		}
		for b := range weights {
			if got := n.open("tcp4", fmt.Sprintf("b%d", b), engines[1]); got != uint64(has[b]) {
				rt.Fatalf("backend %d has %d open flows, want %d", b, got, has[b])
			}
		}
	})
}

// Idle backends get flows by turns of the hash, not all the same one.
func TestLeastConnBreaksTies(t *testing.T) {
	first := map[byte]bool{}
	for i := range 64 {
		n := newNode(t, testConfig(NAT, LeastConn, 4))
		first[lastByte(n.dial(paths[0], i).backend)] = true
	}
	if len(first) != 4 {
		t.Errorf("the first flow of 64 nodes went to %d of 4 backends", len(first))
	}
}

// A flow is open from its first packet until both have closed it, or one has
// reset it, also when that is taken back; dsr sees the client alone.
func TestOpenFlows(t *testing.T) {
	type step struct {
		server bool
		flags  string
		seq    uint32
		open   uint64
	}
	for name, tc := range map[string]struct {
		mode  Mode
		steps []step
	}{
		"both close":             {NAT, []step{{false, "S", 0, 1}, {true, "SA", 100, 1}, {false, "A", 1, 1}, {false, "FA", 1, 1}, {true, "FA", 101, 0}, {false, "A", 2, 0}}},
		"reset, taken back":      {NAT, []step{{false, "S", 0, 1}, {true, "SA", 100, 1}, {false, "A", 1, 1}, {true, "R", 101, 0}, {true, "A", 102, 1}, {true, "R", 102, 0}}},
		"reset and opened again": {NAT, []step{{false, "S", 0, 1}, {true, "SA", 100, 1}, {false, "A", 1, 1}, {true, "R", 101, 0}, {false, "S", 500, 1}}},
		"half open":              {NAT, []step{{false, "S", 0, 1}, {false, "S", 0, 1}, {true, "SA", 100, 1}}},
		"dsr":                    {DSR, []step{{false, "S", 0, 1}, {false, "A", 1, 1}, {false, "FA", 1, 0}, {false, "A", 2, 0}, {false, "S", 900, 1}, {false, "A", 901, 1}, {false, "R", 901, 0}}},
	} {
		n := newNode(t, testConfig(tc.mode, LeastConn, 1))
		c := &conn{n: n, p: paths[0]}
		for i, s := range tc.steps {
			if s.server {
				n.one(serverSide, c.answer(pt.Flags(s.flags), pt.SeqAck(s.seq, 1))).sent(t, clientSide)
			} else {
				out := n.one(clientSide, c.p.open(pt.Flags(s.flags), pt.SeqAck(s.seq, 101))).sent(t, serverSide)
				c.snip, c.backend = ends(t, out.frame)
			}
			if got := n.open("tcp4", "b1"); got != s.open {
				t.Errorf("%s: after step %d, %s, %d flows are open, want %d", name, i, s.flags, got, s.open)
			}
			if got := n.services().services[0].rivals[0].share.open.Load(); got != int64(s.open) {
				t.Errorf("%s: after step %d, engines share %d flows, want %d", name, i, got, s.open)
			}
		}
		n.pass(10 * time.Minute)
		if got := n.services().services[0].rivals[0].share.open.Load(); got != 0 || n.open("tcp4", "") != 0 {
			t.Errorf("%s: when all is over, %d flows are shared and %d open", name, got, n.open("tcp4", ""))
		}
	}
}

// Whatever reloads, health and time do, what engines share is the sum of what
// each has open, and no gauge is below 0.
func TestSharesProperty(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		config := func() Config {
			cfg := testConfig(rapid.SampledFrom([]Mode{NAT, DSR}).Draw(rt, "mode"), Maglev, rapid.IntRange(1, 3).Draw(rt, "backends"))
			for i := range cfg.Services {
				s := &cfg.Services[i]
				s.Method = rapid.SampledFrom([]Method{Maglev, RoundRobin, LeastConn}).Draw(rt, "method")
				s.MaxFlows = rapid.IntRange(0, 30).Draw(rt, "limit")
				s.Backends[0].MaxFlows = rapid.IntRange(0, 10).Draw(rt, "backend's limit")
			}
			return cfg
		}
		n := newNode(t, config())
		engines := []*testNode{n, n.peer()}
		for range rapid.IntRange(1, 10).Draw(rt, "steps") {
			switch rapid.SampledFrom([]string{"packets", "reload", "time"}).Draw(rt, "step") {
			case "packets":
				first := rapid.IntRange(0, 100).Draw(rt, "first")
				flags := rapid.SampledFrom([]string{"S", "A", "FA", "R"}).Draw(rt, "flags")
				e := engines[rapid.IntRange(0, 1).Draw(rt, "engine")]
				for i := range 30 {
					e.one(clientSide, paths[i%len(paths)].from(first+i).open(pt.Flags(flags)))
				}
			case "reload":
				n.load(config())
				engines[1].snapshot.App = n.snapshot.App
			case "time":
				d := time.Duration(rapid.IntRange(0, 200).Draw(rt, "seconds")) * time.Second
				n.pass(d)
				engines[1].pass(d)
			}
			n.pass(time.Nanosecond)
			engines[1].pass(time.Nanosecond)
			checkShares(rt, n, engines[1])
		}
	})
}

func checkShares(rt *rapid.T, n, other *testNode) {
	s := n.services()
	for _, slot := range s.list {
		svc := &s.services[slot]
		if open := n.open(svc.config.Name, "", other); svc.share != nil && svc.share.open.Load() != int64(open) || open > 1000 {
			rt.Fatalf("service %s: shared %+v, engines have %d open", svc.config.Name, svc.share, open)
		}
		for _, slot := range svc.list {
			be := &s.backends[slot]
			if open := n.open(svc.config.Name, be.config.Name, other); be.share != nil && be.share.open.Load() != int64(open) || open > 1000 {
				rt.Fatalf("backend %s: shared %+v, engines have %d open", be.config.Name, be.share, open)
			}
		}
	}
}

// A method or limit that a reload asks for knows the flows that are there.
func TestReloadCountsFlowsThatAreThere(t *testing.T) {
	cfg := testConfig(NAT, Maglev, 2)
	n := newNode(t, cfg)
	for i := range 20 {
		n.dial(paths[0], i)
	}
	was := n.open("tcp4", "b1")
	cfg.Services[0].Method = LeastConn
	n.load(cfg)
	for i := range 20 {
		n.dial(paths[0], 20+i)
	}
	if a, b := n.open("tcp4", "b1"), n.open("tcp4", "b2"); a != 20 || b != 20 {
		t.Errorf("%d and %d flows, want 20 each; before it was leastconn, the first had %d", a, b, was)
	}
}

// A full backend's flows go to others, whatever the method, until one of its
// flows closes; when all are full, clients are refused.
func TestBackendLimits(t *testing.T) {
	for _, mode := range []Mode{NAT, DSR} {
		for _, method := range []Method{Maglev, RoundRobin, LeastConn} {
			cfg := testConfig(mode, method, 3)
			for j := range cfg.Services[0].Backends {
				cfg.Services[0].Backends[j].MaxFlows = 4 * (j + 1)
			}
			n := newNode(t, cfg)
			engines := []*testNode{n, n.peer()}
			var first path
			for i := range 24 {
				p := paths[0].from(i)
				out := engines[i%2].one(clientSide, p.open()).sent(t, serverSide)
				if mac := [6]byte(out.frame[:6]); first.build == nil && mac == backendMAC(1) {
					first = p.from(0)
					first.name = fmt.Sprint(i % 2)
				}
			}
			for j := range 3 {
				if got := n.open("tcp4", fmt.Sprintf("b%d", j+1), engines[1]); got != uint64(4*(j+1)) {
					t.Errorf("%v, %v: backend %d has %d flows", mode, method, j+1, got)
				}
			}
			n.one(clientSide, paths[0].from(100).open()).sent(t, clientSide)
			if got := n.handler.Counters().Answers[packet.BackendsFull]; got != 1 {
				t.Errorf("%v, %v: %d refused", mode, method, got)
			}
			e := n.services().Where(n.snapshot.Hasher, n.snapshot.Cores, tupleOf(paths[0].from(100)))
			if e.Backend != nil || !strings.Contains(e.Why, "every backend that is up has as many open flows") {
				t.Errorf("%v, %v: where says %+v", mode, method, e)
			}
			if mode == DSR { // where a FIN of the client ends the flow
				owner := engines[int(first.name[0]-'0')]
				owner.one(clientSide, first.open(pt.Flags("A"))).sent(t, serverSide)
				owner.one(clientSide, first.open(pt.Flags("FA"))).sent(t, serverSide)
				out := n.one(clientSide, paths[0].from(101).open()).sent(t, serverSide)
				pt.Check(t, out.frame, pt.WantMACs(nodeMAC1, backendMAC(1)))
			}
		}
	}
}

func tupleOf(p path) Tuple {
	return Tuple{netip.MustParseAddrPort(p.client), netip.MustParseAddrPort(p.vip), TCP}
}

// In the middle of a connection that is not known, a limit says nothing: dsr
// goes by hash.
func TestLimitsLeaveEstablishedFlowsAlone(t *testing.T) {
	cfg := testConfig(DSR, Maglev, 2)
	cfg.Services[0].MaxFlows, cfg.Services[0].Backends[0].MaxFlows = 1, 1
	n := newNode(t, cfg)
	for i := range 10 {
		n.one(clientSide, paths[0].from(i).open(pt.Flags("A"))).sent(t, serverSide)
	}
	n.one(clientSide, paths[0].from(10).open()).sent(t, clientSide)
}

func TestServiceLimit(t *testing.T) {
	for _, how := range []Refusal{Reject, Silence} {
		cfg := testConfig(NAT, Maglev, 3)
		cfg.Services[0].MaxFlows, cfg.Services[0].OnNoBackend = 5, how
		n := newNode(t, cfg)
		other := n.peer()
		var conns []*conn
		for i := range 5 {
			conns = append(conns, []*testNode{n, other}[i%2].dial(paths[0], i))
		}
		late := paths[0].from(9).open()
		if out := n.one(clientSide, late); how == Silence {
			out.dropped(t, packet.Silent)
		} else {
			pt.Check(t, out.sent(t, clientSide).frame, pt.WantFlags("RA"))
			if got := n.handler.Counters().Answers[packet.ServiceFull]; got != 1 {
				t.Errorf("%d refused", got)
			}
		}
		e := n.services().Where(n.snapshot.Hasher, n.snapshot.Cores, tupleOf(paths[0].from(9)))
		if e.Backend != nil || e.Why != "the virtual server has 5 open flows, as many as it may" {
			t.Errorf("where says %+v", e)
		}
		for _, c := range conns {
			c.intact()
		}
		n.dial(paths[1], 0) // another service
		conns[1].reset()    // on the other engine
		n.one(clientSide, late).sent(t, serverSide)
	}
}

// Engines that open flows at once exceed a limit by one each at most, and none
// gets lost.
func TestLimitUnderContention(t *testing.T) {
	const limit, engines = 200, 4
	cfg := testConfig(NAT, LeastConn, 3)
	cfg.Services[0].MaxFlows = limit
	first := newNode(t, cfg)
	all := []*testNode{first}
	for range engines - 1 {
		all = append(all, first.peer())
	}
	var wg sync.WaitGroup
	for i, n := range all {
		wg.Go(func() {
			for j := range limit {
				n.one(clientSide, paths[0].from(limit*i+j).open())
			}
		})
	}
	wg.Wait()
	open := first.open("tcp4", "", all[1:]...)
	if open < limit || open >= limit+engines {
		t.Errorf("%d flows are open, the limit is %d and there are %d engines", open, limit, engines)
	}
	if shared := first.services().services[0].share.open.Load(); shared != int64(open) {
		t.Errorf("engines share %d flows, they have %d", shared, open)
	}
}

// Neither the search for the idlest backend, nor for one that isn't full, nor
// persistence allocates.
func TestNoAllocationsForLimits(t *testing.T) {
	for _, method := range []Method{Maglev, RoundRobin, LeastConn} {
		cfg := testConfig(DSR, method, 8)
		for i := range cfg.Services {
			for j := range cfg.Services[i].Backends {
				cfg.Services[i].Backends[j].MaxFlows = 2
			}
			if method == Maglev {
				cfg.Services[i].Persistence.By = BySource
			}
		}
		n := newSizedNode(t, cfg, testCapacity, 128)
		var batch, ready []engine.Packet
		for i := range 128 { // half of them find no room
			ready = append(ready, n.place(uint32(i), clientSide, paths[i%len(paths)].from(i).open()))
		}
		batch = append(batch, ready...)
		if got := testing.AllocsPerRun(10, func() {
			copy(batch, ready)
			n.handler.Decide(&n.snapshot, n.now, batch)
		}); got != 0 {
			t.Errorf("%v: %v allocations", method, got)
		}
	}
}

func TestWhereLeastConn(t *testing.T) {
	n := newNode(t, testConfig(NAT, LeastConn, 2))
	c := n.dial(paths[0], 0)
	e := n.services().Where(n.snapshot.Hasher, n.snapshot.Cores, tupleOf(paths[0].from(1)))
	if e.Backend == nil || e.Backend.Address == c.backend.Addr() || !strings.Contains(e.Why, "fewest open flows") {
		t.Errorf("%+v, but %v has a flow", e, c.backend)
	}
}

// Flows that a full backend may not have go to the others by weight.
func TestVacantSpreads(t *testing.T) {
	cfg := testConfig(NAT, Maglev, 4)
	cfg.Services[0].Backends[0].MaxFlows = 1
	cfg.Services[0].Backends[1].Weight = 3
	svc := &newNode(t, cfg).services().services[0]
	svc.rivals[0].share.open.Store(1)
	got := make([]int, 4)
	for hash := range uint32(60_000) {
		if first := svc.pool.table.Lookup(hash << 12); first == 0 {
			got[svc.vacant(first, hash<<12)]++
		}
	}
	sum := got[1] + got[2] + got[3]
	if got[0] > 0 || got[1] < sum/2 || got[1] > sum*7/10 || got[2] < sum*15/100 || got[3] < sum*15/100 {
		t.Errorf("the first backend's flows went to %v, want shares of 0, 3, 1, 1", got)
	}
}
