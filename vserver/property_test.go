package vserver

import (
	"fmt"
	"math"
	"net/netip"
	"testing"
	"time"

	"appliance/engine"
	"appliance/engine/packet"
	pt "appliance/engine/packet/packettest"
	"appliance/rss"

	"pgregory.net/rapid"
)

// A client is one flow of the random streams below, as its two ends see it.
type client struct {
	path
	snip, backend netip.AddrPort // what the backend knows of it; zero: nothing yet
	hash          uint32
}

// TestNATProperties sends random packets of many flows through nat, both ways,
// while time goes by and backends come and go. Whatever comes out must be right.
func TestNATProperties(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		m := &natModel{rt: rt, n: newNode(t, testConfig(NAT, rapid.SampledFrom([]Method{Maglev, RoundRobin, LeastConn}).Draw(rt, "method"), 5)), owner: map[string]*client{}}
		for i := range 40 {
			p := paths[i%len(paths)].from(i / 2)
			m.clients = append(m.clients, &client{path: p})
		}
		rt.Repeat(map[string]func(*rapid.T){
			"client":  m.clientSends,
			"backend": m.backendSends,
			"time":    m.timePasses,
			"health":  m.healthChanges,
		})
	})
}

type natModel struct {
	rt      *rapid.T
	n       *testNode
	clients []*client
	owner   map[string]*client // return tuple -> the flow that has it
}

func (m *natModel) draw(rt *rapid.T) *client {
	return m.clients[rapid.IntRange(0, len(m.clients)-1).Draw(rt, "client")]
}

func (m *natModel) options(rt *rapid.T, vlan uint16) []pt.Option {
	flags := rapid.SampledFrom([]string{"S", "A", "PA", "FA", "R", "SA"}).Draw(rt, "flags")
	opts := []pt.Option{
		pt.Flags(flags), pt.TTL(uint8(rapid.IntRange(2, 255).Draw(rt, "ttl"))),
		pt.Payload(rapid.SliceOfN(rapid.Byte(), 0, 90).Draw(rt, "payload")),
		pt.SeqAck(rapid.Uint32().Draw(rt, "seq"), rapid.Uint32().Draw(rt, "ack")),
	}
	if rapid.Bool().Draw(rt, "tagged") {
		opts = append(opts, pt.VLAN(vlan))
	}
	return opts
}

// clientSends: the packet leaves toward a backend, from a SNIP, and its return
// tuple is nobody else's and in the same bucket; or the client draws a reset.
func (m *natModel) clientSends(rt *rapid.T) {
	c := m.draw(rt)
	in := c.build(c.client, c.vip, m.options(rt, 10)...)
	c.hash = m.n.place(0, clientSide, in).Hash
	o := m.n.one(clientSide, in)
	if o.Verdict == engine.Drop {
		if o.Reason != packet.NoFlow && o.Reason != packet.RateLimited {
			rt.Fatalf("dropped: %v", o.Reason)
		}
		return
	}
	if o.Out == clientSide {
		pt.Check(m.n.t, o.frame, pt.WantSrc(c.vip), pt.WantDst(c.client), pt.WantFlags(resetFlags(o)))
		return
	}
	payloads(rt, in, o.frame)
	c.snip, c.backend = ends(m.n.t, o.frame)
	if !isSNIP(c.snip.Addr()) || c.snip.Port() < 1024 {
		rt.Fatalf("left from %v", c.snip)
	}
	m.owner[c.tuple()] = c

	back := m.n.place(0, serverSide, c.build(c.backend.String(), c.snip.String()))
	if (back.Hash^c.hash)%DefaultBuckets != 0 || (back.Hash^c.hash)%rss.CoreEntries != 0 {
		rt.Fatalf("hash %#x, return hash %#x: other buckets", c.hash, back.Hash)
	}
}

func resetFlags(o outcome) string {
	if o.TCPFlags&packet.TCPAck != 0 {
		return "RA"
	}
	return "R"
}

func (c *client) tuple() string { return fmt.Sprint(c.name[:3], c.backend, c.snip) }

// payloads fails unless what is behind the transport header is the same, and
// all lengths and checksums of the second frame are right.
func payloads(rt *rapid.T, in, out []byte) {
	before, err := pt.Decode(in)
	if err != nil {
		rt.Fatal(err)
	}
	after, err := pt.Decode(out)
	if err != nil {
		rt.Fatalf("what left: %v", err)
	}
	if string(before.Payload) != string(after.Payload) {
		rt.Fatalf("payload %x became %x", before.Payload, after.Payload)
	}
}

// backendSends: the packet reaches the client whose flow it is, from VIP and
// port; or its flow has expired.
func (m *natModel) backendSends(rt *rapid.T) {
	c := m.draw(rt)
	if !c.backend.IsValid() || m.owner[c.tuple()] != c {
		return
	}
	in := c.build(c.backend.String(), c.snip.String(), m.options(rt, 20)...)
	o := m.n.one(serverSide, in)
	if o.Verdict == engine.Drop {
		o.dropped(m.n.t, packet.NoFlow)
		return
	}
	o.sent(m.n.t, clientSide)
	payloads(rt, in, o.frame)
	if src, dst := ends(m.n.t, o.frame); src.String() != c.vip || dst.String() != c.client {
		rt.Fatalf("from %v to %v, want %v to %v", src, dst, c.vip, c.client)
	}
}

func (m *natModel) timePasses(rt *rapid.T) {
	m.n.pass(time.Duration(rapid.IntRange(1, 100).Draw(rt, "seconds")) * time.Second)
}

func (m *natModel) healthChanges(rt *rapid.T) {
	b := fmt.Sprintf("b%d", rapid.IntRange(1, 4).Draw(rt, "backend")) // the fifth stays up
	for _, s := range m.n.services().config.Services {
		m.n.down[s.Name+"/"+b] = !m.n.down[s.Name+"/"+b]
	}
	m.n.load(m.n.services().config)
}

// spread opens count flows and returns how many went to each backend.
func spread(t *testing.T, cfg Config, count int) map[byte]int {
	n := newSizedNode(t, cfg, count, 64)
	got := map[byte]int{}
	for i := range count {
		p := paths[0]
		p.client = fmt.Sprintf("192.0.2.%d:%d", 1+i%250, 2000+i*7)
		_, backend := ends(t, n.one(clientSide, p.open()).sent(t, serverSide).frame)
		got[lastByte(backend)]++
	}
	return got
}

func weighted(method Method, weights ...int) (cfg Config, sum int) {
	cfg = testConfig(NAT, method, len(weights))
	for i, w := range weights {
		cfg.Services[0].Backends[i].Weight = w
		sum += w
	}
	return cfg, sum
}

func TestRoundRobinRespectsWeights(t *testing.T) {
	weights := []int{1, 2, 3, 0, 4}
	cfg, sum := weighted(RoundRobin, weights...)
	const flows = 1000
	got := spread(t, cfg, flows)
	for i, w := range weights {
		want := float64(flows*w) / float64(sum)
		if math.Abs(float64(got[byte(i+1)])-want) > 0.05*want {
			t.Errorf("backend %d of weight %d got %d of %d flows, want %.0f", i+1, w, got[byte(i+1)], flows, want)
		}
	}
}

// What Maglev gives each backend is a sample of its share. With 4 degrees of
// freedom, chi-square is above 23.5 in one of 10,000 samples; this one is always
// the same.
func TestMaglevRespectsWeights(t *testing.T) {
	weights := []int{1, 2, 3, 0, 4, 10}
	cfg, sum := weighted(Maglev, weights...)
	const flows = 4000
	got := spread(t, cfg, flows)
	chi := 0.0
	for i, w := range weights {
		if w == 0 {
			if got[byte(i+1)] > 0 {
				t.Error("a drained backend got a flow")
			}
			continue
		}
		want := float64(flows*w) / float64(sum)
		chi += math.Pow(float64(got[byte(i+1)])-want, 2) / want
	}
	if chi > 23.5 {
		t.Errorf("chi-square %.1f: %v", chi, got)
	}
}
