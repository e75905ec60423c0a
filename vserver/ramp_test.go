package vserver

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"appliance/engine/packet"
	pt "appliance/engine/packet/packettest"

	"pgregory.net/rapid"
)

// stop has a node's Builder go by a clock that a test moves.
func (n *testNode) stop() (clock *time.Time) {
	now := time.Now()
	n.builder.ramp.clock = func() time.Time { return now }
	return &now
}

// parts returns which part of its backends' flows each gets by hash, in tenths of
// a percent.
func (svc *service) parts() map[string]int {
	const many = 1 << 16
	parts := map[string]int{}
	for hash := range uint32(many) {
		parts[svc.byName(hash<<16)]++
	}
	for name, n := range parts {
		parts[name] = n * 1000 / many
	}
	return parts
}

func (svc *service) byName(hash uint32) string {
	slot := svc.byHash(hash)
	return svc.config.Backends[slices.Index(svc.list, slot)].Name
}

// A backend that comes back gets a tenth of its weight at once, and all of it
// when the slow start is over; the Builder says when to come again.
func TestSlowStart(t *testing.T) {
	cfg := testConfig(NAT, Maglev, 2)
	cfg.Services[0].SlowStart = 9 * time.Second
	n := newNode(t, cfg)
	clock := n.stop()
	n.load(cfg)
	part := func() int { return n.services().services[0].parts()["b2"] }
	if got := part(); got < 490 || got > 510 {
		t.Errorf("at the start b2 gets %d, want half of 1000", got)
	}
	*clock = clock.Add(time.Minute)
	n.down["tcp4/b2"] = true
	n.load(cfg)
	if at, ok := n.builder.NextStep(); ok || part() != 0 {
		t.Errorf("b2 is down, but gets %d and steps at %v", part(), at)
	}
	n.down["tcp4/b2"] = false
	back := *clock
	for step := 1; step <= rampSteps; step++ {
		n.load(cfg)
		want := 1000 * step / (step + rampSteps)
		if got := part(); got < want-10 || got > want+10 {
			t.Errorf("%v after it is back, b2 gets %d, want %d", clock.Sub(back), got, want)
		}
		r := n.services().Report(nil)[0].Backends
		if r[1].Ramp != float64(step)/rampSteps || r[0].Ramp != 1 {
			t.Errorf("step %d: reported are %v and %v", step, r[0].Ramp, r[1].Ramp)
		}
		at, ok := n.builder.NextStep()
		if ok != (step < rampSteps) || ok && !at.Equal(back.Add(time.Duration(step)*time.Second)) {
			t.Errorf("step %d: the next is %v after it is back, %v", step, at.Sub(back), ok)
		}
		*clock = at
	}
}

// All backends that come up together have their weights at once, as those of a
// service without a slow start have.
func TestSlowStartTogether(t *testing.T) {
	cfg := testConfig(NAT, Maglev, 3)
	n := newNode(t, cfg)
	plain := n.services().services[0].pool
	clock := n.stop()
	cfg.Services[0].SlowStart = time.Minute
	for i := range 3 {
		n.down[fmt.Sprintf("tcp4/b%d", i+1)] = true
	}
	n.load(cfg)
	clear(n.down)
	for range 20 {
		*clock = clock.Add(5 * time.Second)
		n.load(cfg)
		if n.services().services[0].pool != plain {
			t.Fatal("the pool is another one")
		}
	}
}

// Established flows stay while weights rise.
func TestSlowStartKeepsFlows(t *testing.T) {
	for _, method := range []Method{Maglev, RoundRobin, LeastConn} {
		cfg := testConfig(NAT, method, 3)
		cfg.Services[0].SlowStart = 10 * time.Second
		n := newNode(t, cfg)
		clock := n.stop()
		n.down["tcp4/b1"] = true
		n.load(cfg)
		*clock = clock.Add(time.Minute)
		clear(n.down)
		var conns []*conn
		for i := range 30 {
			n.load(cfg)
			conns = append(conns, n.dial(paths[0], i))
			*clock = clock.Add(400 * time.Millisecond)
		}
		first := 0
		for i, c := range conns {
			c.intact()
			if lastByte(c.backend) == 1 && i < 10 {
				first++
			}
		}
		if first > 4 {
			t.Errorf("%v: b1 got %d of the first 10 flows", method, first)
		}
	}
}

// Whatever weights and steps are, everyone has a share that is right within a
// 256th of the heaviest's, none has none, and equal steps change nothing.
func TestRampWeights(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		var backends []*backend
		n := rapid.IntRange(1, 10).Draw(rt, "backends")
		heaviest, equal := 0.0, true
		for range n {
			be := &backend{
				config: &BackendConfig{Weight: rapid.IntRange(1, MaxWeight).Draw(rt, "weight")},
				step:   rapid.IntRange(1, rampSteps).Draw(rt, "step"),
			}
			backends = append(backends, be)
			heaviest = max(heaviest, float64(be.config.Weight))
			equal = equal && be.step == backends[0].step
		}
		got := rampWeights(backends)
		unit := 1.0 // of weight
		if !equal && heaviest*rampSteps <= MaxWeight {
			unit = rampSteps
		}
		for i, be := range backends {
			want := float64(be.config.Weight)
			if !equal {
				want *= float64(be.step) / rampSteps
			}
			if g := float64(got[i]) / unit; g < want-1e-9 || g > want+1 || unit > 1 && g > want+1e-9 || got[i] < 1 || got[i] > MaxWeight {
				rt.Fatalf("weight %d at step %d became %d in units of %v, want %v", be.config.Weight, be.step, got[i], unit, want)
			}
		}
	})
}

// Backups take new flows while no other backend is eligible, and only then.
func TestBackups(t *testing.T) {
	cfg := testConfig(NAT, RoundRobin, 4)
	for j := range cfg.Services[0].Backends {
		cfg.Services[0].Backends[j].Backup = j >= 2
	}
	cfg.Services[0].MinHealthy = 2
	n := newNode(t, cfg)
	next := 0
	serving := func(want string, state State) (conns []*conn) {
		t.Helper()
		n.load(cfg)
		seen := map[byte]bool{}
		for range 8 {
			c := n.dial(paths[0], next)
			next++
			seen[lastByte(c.backend)] = true
			conns = append(conns, c)
		}
		var got []byte
		for b := range seen {
			got = append(got, b)
		}
		if slices.Sort(got); fmt.Sprint(got) != want {
			t.Errorf("flows went to backends %v, want %s", got, want)
		}
		r := n.services().Report(nil)[0]
		if r.State != state || r.Eligible != len(got) || r.Backups != (got[0] > 2) {
			t.Errorf("%s: reported state %s, %d eligible, backups %v", want, r.State, r.Eligible, r.Backups)
		}
		e := n.services().Where(n.snapshot.Hasher, n.snapshot.Cores, tupleOf(paths[0]))
		if strings.Contains(e.Why, "of the backups") != r.Backups {
			t.Errorf("%s: where says %q", want, e.Why)
		}
		return conns
	}
	serving("[1 2]", Up)
	n.down["tcp4/b1"] = true
	serving("[2]", Degraded)
	cfg.Services[0].Backends[1].Weight = 0 // draining is no less than down
	onBackups := serving("[3 4]", Up)
	n.down["tcp4/b4"] = true
	serving("[3]", Degraded)
	clear(n.down)
	serving("[1]", Degraded)
	for _, c := range onBackups {
		c.intact()
	}
	for j := range 4 {
		n.down[fmt.Sprintf("tcp4/b%d", j+1)] = true
	}
	n.load(cfg)
	if r := n.services().Report(nil)[0]; r.State != Down || r.Eligible != 0 || r.Backups {
		t.Errorf("with all down: %+v", r)
	}
	pt.Check(t, n.one(clientSide, paths[0].from(next).open()).sent(t, clientSide).frame, pt.WantFlags("RA"))
}

// A backup doesn't help out full backends.
func TestBackupsDontRelieve(t *testing.T) {
	cfg := testConfig(NAT, Maglev, 2)
	cfg.Services[0].Backends[0].MaxFlows, cfg.Services[0].Backends[1].Backup = 1, true
	n := newNode(t, cfg)
	n.dial(paths[0], 0)
	n.one(clientSide, paths[0].from(1).open()).sent(t, clientSide)
}

func TestValidateSpares(t *testing.T) {
	for _, tc := range []struct {
		says   string // with the path; empty: nothing is wrong
		change func(*ServiceConfig)
	}{
		{"", func(s *ServiceConfig) { s.MinHealthy, s.SlowStart = 3, time.Hour }},
		{"", func(s *ServiceConfig) { s.MinHealthy, s.Backends = 1, nil }},
		{"", func(s *ServiceConfig) { s.MinHealthy, s.Backends[2].Backup = 2, true }},
		{"min_healthy: 4: give 1 to 3, as many as can", func(s *ServiceConfig) { s.MinHealthy = 4 }},
		{"min_healthy: -1: give 1 to 3", func(s *ServiceConfig) { s.MinHealthy = -1 }},
		{"min_healthy: 3: give 1 to 2", func(s *ServiceConfig) { s.MinHealthy, s.Backends[2].Backup = 3, true }},
		{"backend[0].backup: every backend is a backup", func(s *ServiceConfig) {
			for j := range s.Backends {
				s.Backends[j].Backup = true
			}
		}},
		{"slow_start: 1ms: give 1s to 1h0m0s, or 0s", func(s *ServiceConfig) { s.SlowStart = time.Millisecond }},
		{"slow_start: 2h0m0s: give", func(s *ServiceConfig) { s.SlowStart = 2 * time.Hour }},
		{"slow_start: -1s: give", func(s *ServiceConfig) { s.SlowStart = -time.Second }},
		{"max_flows: -1: give 0 to 1073741824", func(s *ServiceConfig) { s.MaxFlows = -1 }},
		{"backend[1].max_flows: -1: give 0 to", func(s *ServiceConfig) { s.Backends[1].MaxFlows = -1 }},
	} {
		cfg := testConfig(NAT, Maglev, 3)
		tc.change(&cfg.Services[0])
		err := cfg.Validate()
		if tc.says == "" && err != nil || tc.says != "" && (err == nil || !strings.HasPrefix(err.Error(), "vserver: config: vserver[0]."+tc.says) || strings.Contains(err.Error(), "\n")) {
			t.Errorf("error %v, want %q", err, tc.says)
		}
	}
}

// A backup that can be reached serves rather than others that can't, and those
// count as missing.
func TestBackupsServeForUnroutableBackends(t *testing.T) {
	cfg := testConfig(NAT, Maglev, 2)
	cfg.Services[0].Backends[0].Address, cfg.Services[0].Backends[1].Backup = addrs("172.16.0.1")[0], true
	n := newNode(t, cfg)
	if c := n.dial(paths[0], 0); lastByte(c.backend) != 2 {
		t.Errorf("the flow went to %v", c.backend)
	}
	n.down["tcp4/b2"] = true
	n.load(cfg)
	n.one(clientSide, paths[0].from(1).open()).dropped(t, packet.NoRoute)
	if r := n.services().Report(nil)[0]; r.State != Down || r.Eligible != 0 || r.Backups {
		t.Errorf("without a backend in reach: %+v", r)
	}
}
