package vserver

import (
	"fmt"
	"math"
	"net/netip"
	"testing"

	"appliance/internal/fib"
	"appliance/rss"
	"appliance/vserver/flows"

	"pgregory.net/rapid"
)

// An index must answer as a map does.
func TestIndexAgainstMap(t *testing.T) {
	type key struct {
		address
		tag uint32
	}
	keys := rapid.Custom(func(rt *rapid.T) key {
		return key{
			address{uint64(rapid.IntRange(0, 3).Draw(rt, "hi")), v4Mapped | uint64(rapid.IntRange(0, 300).Draw(rt, "lo"))},
			rapid.SampledFrom([]uint32{hostTag, portTag(80, 6), portTag(80, 17), portTag(0x5011, 6)}).Draw(rt, "tag"),
		}
	})
	rapid.Check(t, func(rt *rapid.T) {
		list := rapid.SliceOfN(keys, 0, 500).Draw(rt, "keys")
		x, model := newIndex(len(list)), map[key]uint32{}
		for i, k := range list {
			x.add(k.address, k.tag, uint32(i))
			if _, ok := model[k]; !ok {
				model[k] = uint32(i)
			}
		}
		for _, k := range append(list, keys.Draw(rt, "other")) {
			got, ok := x.find(k.address, k.tag)
			if want, there := model[k]; ok != there || got != want {
				rt.Fatalf("%v: %d, %v; want %d, %v", k, got, ok, want, there)
			}
		}
	})
	empty := newIndex(0)
	if _, ok := empty.find(address{}, hostTag); ok {
		t.Error("an empty index holds something")
	}
}

// 10,000 VIPs must cost no more than one: one cache line, mostly.
func TestIndexProbesLittle(t *testing.T) {
	const vips = 10_000
	x := newIndex(vips)
	a := netip.MustParseAddr("198.18.0.0")
	var all []netip.Addr
	for i := range vips {
		all = append(all, a)
		x.add(addressOf(a), portTag(443, 6), uint32(i))
		a = a.Next()
	}
	lines := 0
	for _, a := range all {
		at := x.home(addressOf(a), portTag(443, 6))
		first := at / 2 // cells of 32 bytes
		for x.cells[at].address != addressOf(a) {
			at = (at + 1) % uint64(len(x.cells))
		}
		lines += int(at/2 - first)
	}
	if extra := float64(lines) / vips; extra > 0.2 {
		t.Errorf("a look-up reads %.2f more lines than one", extra)
	}
}

func TestTurnsAreSmooth(t *testing.T) {
	for _, tc := range []struct {
		weights []int
		want    string
	}{
		{[]int{1}, "[0]"},
		{[]int{5, 5}, "[0 1]"},
		{[]int{1, 2}, "[1 0 1]"},
		{[]int{2, 4, 2}, "[1 0 2 1]"},
		{[]int{5, 1, 1}, "[0 0 1 0 2 0 0]"},
	} {
		var members []member
		for _, w := range tc.weights {
			members = append(members, member{weight: w})
		}
		if got := fmt.Sprint(turns(members)); got != tc.want {
			t.Errorf("weights %v: %s, want %s", tc.weights, got, tc.want)
		}
	}
}

// At any point of the sequence, each member has had its share so far, give or
// take a turn and a half.
func TestTurnsProperty(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		weights := rapid.SliceOfN(rapid.IntRange(1, MaxWeight), 1, 12).Draw(rt, "weights")
		members, sum := []member{}, 0
		for _, w := range weights {
			members, sum = append(members, member{weight: w}), sum+w
		}
		sequence := turns(members)
		had := make([]int, len(weights))
		for i, m := range sequence {
			had[m]++
			due := float64((i+1)*weights[m]) / float64(sum)
			if d := float64(had[m]) - due; d > 1.5 || d < -1.5 {
				rt.Fatalf("after %d turns member %d had %d, %.1f were due", i+1, m, had[m], due)
			}
		}
		for m, w := range weights {
			if had[m]*sum != w*len(sequence) {
				rt.Fatalf("member %d of weight %d has %d of %d turns", m, w, had[m], len(sequence))
			}
		}
	})
}

func TestEqualPoolsAreShared(t *testing.T) {
	n := newNode(t, testConfig(NAT, Maglev, 3))
	s := n.services().services
	if s[0].pool != s[1].pool || s[2].pool != s[3].pool {
		t.Error("the services of two protocols on the same machines don't share a pool")
	}
	if s[0].pool == s[2].pool {
		t.Error("services of different machines share a pool")
	}
	n.down["tcp4/b1"] = true
	n.load(testConfig(NAT, Maglev, 3))
	if s := n.services().services; s[0].pool == s[1].pool {
		t.Error("services share a pool whose members differ")
	}
}

// Beyond 128 backends, tables are larger; every backend still has its share.
func TestManyBackends(t *testing.T) {
	cfg := testConfig(NAT, Maglev, 0)
	cfg.Services[0].Backends = manyBackends(MaxBackends)
	cfg.Services[0].Backends[1].Address = cfg.Services[0].Backends[0].Address // on another port
	cfg.Services[0].Backends[1].Port = 81
	svc := &newNode(t, cfg).services().services[0]
	got := make([]int, MaxBackends)
	for hash := range uint32(1 << 20) {
		got[svc.byHash(hash<<12)]++
	}
	for slot, count := range got {
		if want := 1 << 20 / MaxBackends; count < want*8/10 || count > want*12/10 {
			t.Errorf("backend %d gets %d of a million flows, want %d", slot, count, want)
		}
	}
}

// A generation comes back after 255 occupants, and is never 0.
func TestGenerationsWrap(t *testing.T) {
	var r registry[int]
	first := r.assign([]int{0})[0]
	for i := range 255 {
		ref := r.assign([]int{i + 1})[0]
		if ref.Slot() != 0 || ref.Gen() == 0 || ref == first != (i == 254) {
			t.Fatalf("occupant %d is %#x, the first was %#x", i+1, ref, first)
		}
	}
}

func TestNewHandlerErrors(t *testing.T) {
	for _, cfg := range []HandlerConfig{
		{Engine: 0, Engines: 0, Capacity: 1}, {Engine: 2, Engines: 2, Capacity: 1},
		{Engine: -1, Engines: 1, Capacity: 1}, {Engines: 1}, {Engines: 1, Capacity: flows.MaxCapacity + 1},
	} {
		if _, err := NewHandler(cfg); err == nil {
			t.Errorf("%+v: accepted", cfg)
		}
	}
}

// A registry must never give two occupants of a slot the same ref, unless 255
// others have been in between.
func TestRegistry(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		var r registry[int]
		named := map[flows.Ref]int{}
		current := map[int]flows.Ref{}
		for range rapid.IntRange(1, 30).Draw(rt, "rounds") {
			keys := rapid.SliceOfNDistinct(rapid.IntRange(0, 20), 0, 10, rapid.ID[int]).Draw(rt, "keys")
			refs := r.assign(keys)
			next := map[int]flows.Ref{}
			for i, k := range keys {
				if was, ok := current[k]; ok && was != refs[i] {
					rt.Fatalf("key %d moved from %#x to %#x", k, was, refs[i])
				}
				_, stayed := current[k]
				if owner, ok := named[refs[i]]; ok && !stayed {
					rt.Fatalf("ref %#x named key %d, now %d", refs[i], owner, k)
				}
				if refs[i].Gen() == 0 {
					rt.Fatalf("key %d has generation 0", k)
				}
				named[refs[i]], next[k] = k, refs[i]
			}
			current = next
		}
		if len(r.gens) > 10 {
			rt.Fatalf("%d slots for 10 keys", len(r.gens))
		}
	})
}

// Numbers of SNIPs are never used again, so they may run out.
func TestSNIPsRunOut(t *testing.T) {
	table := compile(t, testNetwork())
	b := NewBuilder(rss.NewHasher(rss.MicrosoftKey))
	a := addrs("10.7.0.0")[0]
	for built := 0; ; {
		var cfg Config
		for range MaxSNIPs {
			cfg.SNIPs = append(cfg.SNIPs, a)
			a = a.Next()
		}
		_, err := b.Build(cfg, func(string, string) bool { return true }, table)
		if built += MaxSNIPs; err != nil {
			if built <= math.MaxUint16 {
				t.Errorf("after %d: %v", built, err)
			}
			return
		}
		if built > math.MaxUint16+1 {
			t.Fatal("a number was used twice")
		}
	}
}

func TestBuildErrors(t *testing.T) {
	table := compile(t, testNetwork())
	up := func(string, string) bool { return true }
	bad := testConfig(NAT, Maglev, 1)
	bad.Services[0].Port = 0
	if _, err := NewBuilder(rss.NewHasher(rss.MicrosoftKey)).Build(bad, up, table); err == nil {
		t.Error("built a bad configuration")
	}
	many := testConfig(NAT, Maglev, 1)
	many.Buckets = 16384 // too many for this key and IPv6
	if _, err := NewBuilder(rss.NewHasher(rss.MicrosoftKey)).Build(many, up, table); err == nil {
		t.Error("built for a degenerate key")
	}
}

// The Services must not change when the caller's Config does.
func TestBuildKeepsNothing(t *testing.T) {
	cfg := testConfig(NAT, Maglev, 1)
	n := newNode(t, cfg)
	cfg.Services[0].Backends[0].Name = "changed"
	cfg.Services[0].Port = 1
	cfg.SNIPs[0] = netip.Addr{}
	got := n.services().Config()
	if got.Services[0].Backends[0].Name != "b1" || got.Services[0].Port != 80 || !got.SNIPs[0].IsValid() {
		t.Error("the caller's changes came through")
	}
}

func TestReport(t *testing.T) {
	n := newNode(t, testConfig(NAT, Maglev, 2))
	n.down["tcp4/b2"] = true
	n.load(testConfig(NAT, Maglev, 2))
	c := n.dial(paths[0], 0)
	one := n.handler.Counters()
	report := n.services().Report([]*Counters{one, one, new(Counters)}) // a third engine that knows nothing yet
	want := Traffic{Packets: 6, Bytes: 6 * 40, NewFlows: 2, Flows: 2}
	if len(report) != 4 || report[0].Traffic != want || report[1].Traffic != (Traffic{}) {
		t.Errorf("report %+v", report)
	}
	b := report[0].Backends
	if !b[0].Up || b[1].Up || b[0].Traffic != want || b[0].Next != fib.Found || b[0].Config.Name != "b1" {
		t.Errorf("backends %+v", b)
	}

	cfg := testConfig(NAT, Maglev, 2)
	cfg.Services[0].Backends = cfg.Services[0].Backends[1:]
	n.load(cfg)
	n.load(testConfig(NAT, Maglev, 2)) // b1 again, another one
	c.next()
	if got := n.services().Report([]*Counters{n.handler.Counters()})[0].Backends[0].Traffic; got != (Traffic{}) {
		t.Errorf("the new b1 has the old one's traffic: %+v", got)
	}
}

func TestWhere(t *testing.T) {
	cfg := testConfig(NAT, Maglev, 3)
	cfg.Services[1].Method = RoundRobin
	cfg.Services[3].Backends = nil
	n := newNode(t, cfg)
	s, hasher := n.services(), n.snapshot.Hasher
	tuple := func(p path) Tuple {
		proto := TCP
		if p.name[:3] == "udp" {
			proto = UDP
		}
		return Tuple{netip.MustParseAddrPort(p.client), netip.MustParseAddrPort(p.vip), proto}
	}
	for i, p := range []path{paths[0], paths[2]} {
		frame := p.open()
		e := s.Where(hasher, n.snapshot.Cores, tuple(p))
		hash := n.place(0, clientSide, frame).Hash
		if e.Hash != hash || e.Bucket != int(hash%4096) || e.Entry != int(hash%128) || e.Engine != 0 {
			t.Errorf("%+v, want hash %#x", e, hash)
		}
		if _, ok := n.handler.Find(hasher, tuple(p)); ok {
			t.Error("found a flow before there is one")
		}
		snip, backend := ends(t, n.one(clientSide, frame).sent(t, serverSide).frame)
		if e.Backend == nil || e.Backend.Address != backend.Addr() || e.Service.Name != cfg.Services[2*i].Name {
			t.Errorf("%+v, but it went to %v", e, backend)
		}
		f, ok := n.handler.Find(hasher, tuple(p))
		if !ok || f.Backend.Address != backend.Addr() || f.Source != snip || f.State != "syn_sent" || f.Expires != DefaultTimeouts().Handshake {
			t.Errorf("found %+v, %v", f, ok)
		}
	}
	for _, tc := range []struct {
		tuple Tuple
		why   string
	}{
		{tuple(paths[1]), "a new flow goes to the next backend in turn"},
		{tuple(paths[3]), "no backend is up and has a weight"},
		{Tuple{VIP: netip.MustParseAddrPort("198.51.100.10:81"), Protocol: TCP}, "198.51.100.10 is a VIP, but has no service on tcp port 81"},
		{Tuple{VIP: netip.MustParseAddrPort("10.1.0.254:81")}, "10.1.0.254 is a SNIP: it serves no clients"},
		{Tuple{VIP: netip.MustParseAddrPort("10.1.0.1:81")}, "10.1.0.1 is no VIP"},
	} {
		if e := s.Where(hasher, n.snapshot.Cores, tc.tuple); e.Why != tc.why || e.Backend != nil {
			t.Errorf("%v: %+v, want %q", tc.tuple, e, tc.why)
		}
	}
}
