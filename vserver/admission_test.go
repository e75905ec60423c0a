package vserver

import (
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"appliance/engine/packet"
	pt "appliance/engine/packet/packettest"
)

// clientAt is an address as flow keys have it.
func clientAt(s string) *[16]byte {
	a := netip.MustParseAddr(s).As16()
	return &a
}

func newAdmission(l Limits) *admission {
	l.setDefaults()
	a := new(admission)
	a.set(l, 42)
	return a
}

const second = int64(time.Second)

// A second's worth may come at once, then as many as the rate says.
func TestAdmissionRate(t *testing.T) {
	a := newAdmission(Limits{NewFlows: 100})
	now := 1000 * second
	for i := range 300 {
		if got, want := a.admit(now, clientAt("192.0.2.1")), packet.NewFlowLimit; (got == packet.OK) != (i < 100) || got != packet.OK && got != want {
			t.Fatalf("flow %d at once: %v", i, got)
		}
	}
	admitted := 0
	for range 1000 {
		now += second / 1000
		if a.admit(now, clientAt("192.0.2.1")) == packet.OK {
			admitted++
		}
	}
	if admitted != 100 {
		t.Errorf("%d flows in a second, want 100", admitted)
	}
	a.set(Limits{}, 42)
	for range 1000 {
		if got := a.admit(now, clientAt("192.0.2.1")); got != packet.OK {
			t.Fatalf("%v without a limit", got)
		}
	}
}

func TestAdmissionBySource(t *testing.T) {
	for _, c := range []struct {
		name         string
		limits       Limits
		spends, asks string
		same         bool // whether both are one source
	}{
		{"itself", Limits{}, "192.0.2.1", "192.0.2.1", true},
		{"a neighbour", Limits{}, "192.0.2.1", "192.0.2.2", false},
		{"a neighbour in the same prefix", Limits{SourcePrefix4: 24}, "192.0.2.1", "192.0.2.2", true},
		{"one in the next prefix", Limits{SourcePrefix4: 24}, "192.0.2.1", "192.0.3.1", false},
		{"all of IPv4", Limits{SourcePrefix4: 1}, "10.0.0.1", "100.64.0.1", true},
		{"the same /64", Limits{}, "2001:db8::1", "2001:db8::ffff:0:0:1", true},
		{"the next /64", Limits{}, "2001:db8::1", "2001:db8:0:1::1", false},
		{"the same /64, by address", Limits{SourcePrefix6: 128}, "2001:db8::1", "2001:db8::2", false},
		{"the same /48", Limits{SourcePrefix6: 48}, "2001:db8::1", "2001:db8:0:ffff::1", true},
		{"the other family", Limits{SourcePrefix4: 1, SourcePrefix6: 1}, "10.0.0.1", "2001:db8::1", false},
	} {
		c.limits.NewFlowsPerSource = 3
		a := newAdmission(c.limits)
		for range 3 {
			if got := a.admit(1000*second, clientAt(c.spends)); got != packet.OK {
				t.Errorf("%s: %v within the limit", c.name, got)
			}
		}
		if got := a.admit(1000*second, clientAt(c.spends)); got != packet.SourceLimit {
			t.Errorf("%s: %v over the limit", c.name, got)
		}
		if got := a.admit(1000*second, clientAt(c.asks)); (got == packet.SourceLimit) != c.same {
			t.Errorf("%s: %v for %s after %s", c.name, got, c.asks, c.spends)
		}
	}
}

// A source over its limit takes nothing of what there is for all.
func TestAdmissionAsksTheSourceFirst(t *testing.T) {
	a := newAdmission(Limits{NewFlows: 10, NewFlowsPerSource: 5})
	for range 100 {
		a.admit(1000*second, clientAt("192.0.2.1"))
	}
	for i := range 5 {
		if got := a.admit(1000*second, clientAt("192.0.2.2")); got != packet.OK {
			t.Errorf("flow %d of another source: %v", i, got)
		}
	}
	if got := a.admit(1000*second, clientAt("192.0.2.3")); got != packet.NewFlowLimit {
		t.Errorf("flow 11 of all: %v", got)
	}
}

// Nobody gets past the limit: what the sketch admits, an exact token bucket for
// each source admits too.
func TestSketchNeverAdmitsTooMuch(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rate := rapid.IntRange(1, 50).Draw(t, "rate")
		a := newAdmission(Limits{NewFlowsPerSource: rate})
		exact := map[byte]*limiter{}
		now := 1000 * second
		for range 300 {
			now += rapid.Int64Range(0, second/20).Draw(t, "pause")
			source := rapid.ByteRange(0, 3).Draw(t, "source")
			if exact[source] == nil {
				exact[source] = new(limiter)
				exact[source].set(rate)
			}
			client := netip.AddrFrom4([4]byte{192, 0, 2, source}).As16()
			admitted := a.admit(now, &client) == packet.OK
			if open := exact[source].open(now); admitted && !open {
				t.Fatalf("source %d admitted over %d a second", source, rate)
			} else if !admitted && open {
				t.Fatalf("source %d refused within %d a second, with 4 sources in all", source, rate)
			}
			if admitted {
				exact[source].take(now)
			}
		}
	})
}

// randomClient draws an IPv4 address.
func randomClient(r *rand.Rand) *[16]byte {
	a := netip.AddrFrom4([4]byte(binary.BigEndian.AppendUint32(nil, r.Uint32()))).As16()
	return &a
}

// The bound on those who are refused because of others: (s / 65,536)² beside s
// sources at their limit, here 0.39 % beside 4,096, of which chance may make some
// more.
func TestSketchWronglyRefusesFew(t *testing.T) {
	a := newAdmission(Limits{NewFlowsPerSource: 4})
	r := rand.New(rand.NewPCG(1, 2))
	for range sketchCells / 16 {
		attacker := randomClient(r)
		for range 8 {
			a.admit(1000*second, attacker)
		}
	}
	const honest = 100_000
	rows := [2][]int64{slices.Clone(a.sources.rows[0]), slices.Clone(a.sources.rows[1])}
	refused := 0
	for i := range honest {
		if a.admit(1000*second, randomClient(r)) != packet.OK {
			refused++
		}
		if i%64 == 63 { // forget these: they are beside the attackers, not beside each other
			copy(a.sources.rows[0], rows[0])
			copy(a.sources.rows[1], rows[1])
		}
	}
	if share := float64(refused) / honest; share > 0.0055 {
		t.Errorf("%.2f %% of those within their limit were refused", 100*share)
	}
}

// Sources that are never seen again fill no cell as long as the limit is above
// their share of one: a flood of 300,000 a second beside a limit of 10.
func TestSketchBesideForgedSources(t *testing.T) {
	a := newAdmission(Limits{NewFlowsPerSource: 10})
	r := rand.New(rand.NewPCG(3, 4))
	now, refused := 1000*second, 0
	const flood = 300_000
	for range 3 * flood {
		now += second / flood
		if a.admit(now, randomClient(r)) != packet.OK {
			refused++
		}
	}
	if share := float64(refused) / (3 * flood); share > 0.001 {
		t.Errorf("%.2f %% of sources with one flow each were refused", 100*share)
	}
}

// In nat a flow over the engine's limit is dropped; in dsr it goes where the hash
// says, without a record. Flows that are open notice neither.
func TestNewFlowLimit(t *testing.T) {
	for _, mode := range []Mode{NAT, DSR} {
		cfg := testConfig(mode, RoundRobin, 3)
		cfg.Limits.NewFlows = 20
		n := newNode(t, cfg)
		var open []conn
		for i := range 10 {
			open = append(open, conn{n: n, p: paths[i%2].from(i)})
			n.one(clientSide, open[i].p.open()).sent(t, serverSide)
		}
		for i := range 10 {
			n.one(clientSide, paths[2+i%2].from(i).open()).sent(t, serverSide)
		}
		before := n.handler.Counters()
		for i := range 30 {
			p := paths[i%4].from(100 + i)
			if mode == NAT {
				n.one(clientSide, p.open()).dropped(t, packet.NewFlowLimit)
				continue
			}
			first := n.one(clientSide, p.open()).sent(t, serverSide).frame
			again := n.one(clientSide, p.open()).sent(t, serverSide).frame
			if string(first) != string(again) {
				t.Errorf("dsr: a flow without a record went to %x, then to %x", first[:6], again[:6])
			}
		}
		after := n.handler.Counters()
		if got := after.Unlisted - before.Unlisted; mode == DSR && got != 60 || mode == NAT && got != 0 {
			t.Errorf("%v: %d flows went on without a record", mode, got)
		}
		if after.Flows.Flows != before.Flows.Flows {
			t.Errorf("%v: %d records, %d before the limit was reached", mode, after.Flows.Flows, before.Flows.Flows)
		}
		for _, c := range open {
			n.one(clientSide, c.p.open()).sent(t, serverSide)
		}
		n.now += second
		n.one(clientSide, paths[0].from(999).open()).sent(t, serverSide)
		if n.handler.Counters().Flows.Flows != after.Flows.Flows+1 {
			t.Errorf("%v: a second later a new flow has no record", mode)
		}
	}
}

// Over its source's limit a new flow is dropped in every mode, while others open
// theirs. In dsr a packet in the middle of a connection goes on by hash.
func TestSourceLimit(t *testing.T) {
	for _, mode := range []Mode{NAT, DSR} {
		cfg := testConfig(mode, Maglev, 3)
		cfg.Limits.NewFlowsPerSource = 4
		n := newNode(t, cfg)
		flow := func(client string, port int, flags string) outcome {
			return n.one(clientSide, pt.TCP(netip.AddrPortFrom(netip.MustParseAddr(client), uint16(port)).String(), "198.51.100.10:80", pt.Flags(flags)))
		}
		for port := 1; port <= 4; port++ {
			flow("192.0.2.7", port, "S").sent(t, serverSide)
		}
		for port := 5; port <= 9; port++ {
			flow("192.0.2.7", port, "S").dropped(t, packet.SourceLimit)
		}
		n.one(clientSide, pt.UDP("192.0.2.7:1", "198.51.100.10:80")).dropped(t, packet.SourceLimit)
		flow("192.0.2.8", 1, "S").sent(t, serverSide)
		flow("192.0.2.7", 1, "S").sent(t, serverSide) // known
		records := n.handler.Counters().Flows.Flows
		if mode == DSR {
			flow("192.0.2.7", 10, "A").sent(t, serverSide)
			if got := n.handler.Counters(); got.Flows.Flows != records || got.Unlisted != 1 {
				t.Errorf("%d records, %d before; %d flows without one, want 1", got.Flows.Flows, records, got.Unlisted)
			}
		}
		n.now += second / 4
		flow("192.0.2.7", 5, "S").sent(t, serverSide)
		flow("192.0.2.7", 6, "S").dropped(t, packet.SourceLimit)

		cfg.Limits = Limits{}
		n.load(cfg)
		for port := 20; port <= 40; port++ {
			flow("192.0.2.7", port, "S").sent(t, serverSide)
		}
	}
}

// flood begins more flows than TestNoAllocations allows: three from each of ten
// sources, and one more of each.
func flood() (frames [][]byte) {
	for i := range 40 {
		client := netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, 2, byte(1 + i%10)}), uint16(1+i))
		frames = append(frames, pt.TCP(client.String(), "198.51.100.10:80", pt.Flags("S")))
	}
	return frames
}
