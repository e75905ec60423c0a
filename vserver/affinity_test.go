package vserver

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"
	"time"

	"appliance/engine/packet"
	pt "appliance/engine/packet/packettest"

	"pgregory.net/rapid"
)

// sourceConfig keeps the clients of networks of so many bits at one backend.
func sourceConfig(mode Mode, n, prefix4, prefix6 int) Config {
	cfg := testConfig(mode, Maglev, n)
	for i := range cfg.Services {
		cfg.Services[i].Persistence = Persistence{By: BySource, Prefix4: prefix4, Prefix6: prefix6}
	}
	return cfg
}

// A network is what netip calls one.
func TestNetworkAgainstNetip(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		c := ServiceConfig{VIP: netip.MustParseAddr("198.51.100.10"), Persistence: Persistence{By: BySource}}
		var client netip.Addr
		var bits int
		if rapid.Bool().Draw(rt, "IPv6") {
			c.VIP = netip.MustParseAddr("2001:db8:1::10")
			bits = rapid.IntRange(1, 128).Draw(rt, "bits")
			client = netip.AddrFrom16([16]byte(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(rt, "client")))
			c.Persistence.Prefix6 = bits
		} else {
			bits = rapid.IntRange(1, 32).Draw(rt, "bits")
			client = netip.AddrFrom4([4]byte(rapid.SliceOfN(rapid.Byte(), 4, 4).Draw(rt, "client")))
			c.Persistence.Prefix4 = bits
		}
		want, err := client.Prefix(bits)
		if err != nil {
			rt.Fatal(err)
		}
		a, b := newAffinity(nil, &c), client.As16()
		if got := a.network(&b); got != addressOf(want.Addr()) {
			rt.Fatalf("network of %v with %d bits is %x, want %v", client, bits, got, want)
		}
		if got := a.prefix(client, &c.Persistence); got != want {
			rt.Fatalf("shown as %v, want %v", got, want)
		}
	})
}

// The flows of one network go to one backend, from all addresses and ports of it
// and to all services of the VIP with the same backends, in the middle of
// connections too; those of other networks go to others.
func TestPersistenceBySource(t *testing.T) {
	for _, mode := range []Mode{NAT, DSR} {
		cfg := sourceConfig(mode, 4, 24, 56)
		n := newNode(t, cfg)
		at := map[string]map[byte]bool{}
		for i := range 400 {
			p := paths[i%len(paths)]
			net, host := i%20, i/20
			p.client = fmt.Sprintf("192.0.%d.%d:%d", net, 1+host, 1024+i)
			if p.name[3:] == "6" {
				p.client = fmt.Sprintf("[2001:db8:c:%x%02x::%x]:%d", net, host, 1+host, 1024+i)
			}
			flags := "S"
			if mode == DSR && i%3 == 0 {
				flags = "A"
			}
			out := n.one(clientSide, p.open(pt.Flags(flags))).sent(t, serverSide)
			key := fmt.Sprint(p.name[3:], net)
			if at[key] == nil {
				at[key] = map[byte]bool{}
			}
			at[key][out.frame[5]] = true
		}
		all := map[byte]bool{}
		for key, backends := range at {
			if len(backends) != 1 {
				t.Errorf("%v: the flows of network %s went to %d backends", mode, key, len(backends))
			}
			for b := range backends {
				all[b] = true
			}
		}
		if len(all) != 4 {
			t.Errorf("%v: all networks together use %d of 4 backends", mode, len(all))
		}
	}
}

// Nothing is remembered: another engine, and a node that starts anew, choose
// alike; where says the same.
func TestPersistenceNeedsNoState(t *testing.T) {
	cfg := sourceConfig(NAT, 8, 32, 64)
	first, second := newNode(t, cfg), newNode(t, cfg)
	second.dialMany(20)
	for i := range 100 {
		p := paths[i%2*2]
		p.client = fmt.Sprintf("192.0.2.%d:%d", 1+i, 2000+i)
		if i%2 == 1 {
			p.client = fmt.Sprintf("[2001:db8:c:%x::1]:%d", i, 2000+i)
		}
		_, a := ends(t, first.one(clientSide, p.open()).sent(t, serverSide).frame)
		_, b := ends(t, second.one(clientSide, p.from(7).open()).sent(t, serverSide).frame)
		e := first.services().Where(first.snapshot.Hasher, first.snapshot.Cores, tupleOf(p))
		if a != b || e.Backend == nil || e.Backend.Address != a.Addr() || !strings.Contains(e.Why, ", that of the client's network ") {
			t.Errorf("client %s: %v on one node, %v on the other, where says %+v", p.client, a, b, e)
		}
	}
}

// Losing a backend moves its clients, and hardly another.
func TestPersistenceWhenABackendGoes(t *testing.T) {
	cfg := sourceConfig(NAT, 8, 32, 64)
	n := newNode(t, cfg)
	where := func() (backends []byte) {
		svc := &n.services().services[0]
		for i := range 4000 {
			client := netip.AddrFrom4([4]byte{10, 77, byte(i >> 8), byte(i)}).As16()
			backends = append(backends, byte(svc.byHash(svc.choiceHash(rand.Uint32(), &client))))
		}
		return backends
	}
	before := where()
	n.down["tcp4/b3"] = true
	n.load(cfg)
	moved := 0
	for i, b := range where() {
		if before[i] != 2 && b != before[i] {
			moved++
		}
		if b == 2 {
			t.Fatal("a client is at the dead backend")
		}
	}
	if moved > 60 {
		t.Errorf("%d of 4000 clients of other backends moved", moved)
	}
	n.down["tcp4/b3"] = false
	n.load(cfg)
	if after := where(); string(after) != string(before) {
		t.Error("with the backend back, not all clients are where they were")
	}
}

// The clients of a network spread evenly over backends: adjacent addresses are
// no less mixed than random ones.
func TestPersistenceSpreads(t *testing.T) {
	svc := &newNode(t, sourceConfig(NAT, 5, 32, 64)).services().services[0]
	got := make([]int, 5)
	const clients = 1 << 14
	for i := range clients {
		client := netip.AddrFrom4([4]byte{100, 64, byte(i >> 8), byte(i)}).As16()
		got[svc.byHash(svc.choiceHash(0, &client))]++
	}
	for b, n := range got {
		if n < clients/5*9/10 || n > clients/5*11/10 {
			t.Errorf("backend %d has %d of %d clients", b, n, clients)
		}
	}
}

// A full backend's clients go elsewhere, all flows of one to the same.
func TestPersistenceAndLimits(t *testing.T) {
	cfg := sourceConfig(NAT, 4, 32, 64)
	for j := range cfg.Services[0].Backends {
		cfg.Services[0].Backends[j].MaxFlows = 10
	}
	n := newNode(t, cfg)
	seen := map[byte]int{}
	for i := range 40 {
		c := n.dial(paths[0], i)
		seen[lastByte(c.backend)]++
		if len(seen) > 1+i/10 {
			t.Fatalf("flow %d of one client: they are at %v", i, seen)
		}
	}
	n.one(clientSide, paths[0].from(40).open()).sent(t, clientSide)
	if got := n.handler.Counters().Answers[packet.BackendsFull]; got != 1 {
		t.Errorf("%d refused", got)
	}
}

func TestValidatePersistence(t *testing.T) {
	for _, tc := range []struct {
		p      Persistence
		method Method
		says   string // with the path; empty: nothing is wrong
	}{
		{Persistence{}, LeastConn, ""},
		{Persistence{By: BySource, Prefix4: 1, Prefix6: 1}, Maglev, ""},
		{Persistence{By: BySource, Prefix4: 32, Prefix6: 128}, Maglev, ""},
		{Persistence{By: BySource, Prefix4: 0, Prefix6: 0}, LeastConn, "by: source, but method is leastconn: persistence chooses by hash, so give method maglev"},
		{Persistence{By: BySource, Prefix4: 0, Prefix6: 0}, RoundRobin, "by: source, but method is roundrobin"},
		{Persistence{By: BySource, Prefix4: 33, Prefix6: 0}, Maglev, "prefix4: 33: give 1 to 32"},
		{Persistence{By: BySource, Prefix4: 0, Prefix6: 129}, Maglev, "prefix6: 129: give 1 to 128"},
		{Persistence{By: None, Prefix4: -1, Prefix6: 0}, Maglev, "prefix4: -1: give 1 to 32"},
		{Persistence{By: BySource, Timeout: 24 * time.Hour}, Maglev, ""},
		{Persistence{By: BySource, Timeout: time.Second}, Maglev, "timeout: 1s: give 10s to 24h0m0s, or 0s for none"},
		{Persistence{By: BySource, Timeout: -time.Second}, Maglev, "timeout: -1s: give"},
		{Persistence{By: 9}, Maglev, "by: unknown persistence 9"},
	} {
		cfg := testConfig(NAT, tc.method, 1)
		cfg.Services[0].Persistence = tc.p
		err := cfg.Validate()
		if tc.says == "" && err != nil || tc.says != "" && (err == nil || !strings.HasPrefix(err.Error(), "vserver: config: vserver[0].persistence."+tc.says)) {
			t.Errorf("%+v: error %v, want %q", tc.p, err, tc.says)
		}
	}
}
