package vserver

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"appliance/engine"
	"appliance/engine/packet"
	pt "appliance/engine/packet/packettest"
	"appliance/rss"

	"pgregory.net/rapid"
)

// A mesh is the handlers of several engines, which hand packets to each other.
type mesh struct {
	t     testing.TB
	nodes []*testNode // one an engine
	cores *rss.CoreTable
	sent  []outcome
	drops [packet.Reasons]int
}

func newMesh(t testing.TB, cfg Config, engines int) *mesh {
	t.Helper()
	cores, err := rss.NewCoreTable(engines)
	if err != nil {
		t.Fatal(err)
	}
	m := &mesh{t: t, cores: cores}
	for i := range engines {
		n := newSizedNode(t, cfg, 1, 600)
		n.snapshot.Cores = cores
		h, err := NewHandler(HandlerConfig{Arena: n.arena, Engine: i, Engines: engines, Capacity: testCapacity, Seed: 1})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { h.Close() })
		n.handler = h
		m.nodes = append(m.nodes, n)
	}
	return m
}

// receive has a frame come in, at whatever engine, and go where its hash says.
func (m *mesh) receive(in uint8, frame []byte) {
	m.t.Helper()
	owner := m.nodes[m.cores.Engine(m.nodes[0].place(599, in, frame).Hash)]
	m.carryOut(owner.one(in, frame))
	for _, o := range owner.release() {
		m.carryOut(o)
	}
}

// carryOut does what the engine does about a verdict.
func (m *mesh) carryOut(o outcome) {
	m.t.Helper()
	switch o.Verdict {
	case engine.Transmit:
		m.sent = append(m.sent, o)
	case engine.Drop:
		m.drops[o.Reason]++
	case engine.Hand:
		to := m.nodes[m.cores.Engine(o.Hash)]
		p := o.Packet
		p.Frame, p.Verdict, p.Reason = 598, engine.Drop, packet.OK
		copy(to.arena.Bytes(p.Segment), o.frame)
		again := to.decide([]engine.Packet{p})[0]
		if again.Verdict == engine.Hand || again.Verdict == engine.Hold {
			m.t.Fatalf("verdict %d of the engine that a fragment was handed to", again.Verdict)
		}
		m.carryOut(again)
	}
}

// collect returns what was sent since the last time.
func (m *mesh) collect() (sent []outcome) {
	sent, m.sent = m.sent, nil
	return sent
}

// pass lets time go by on every engine.
func (m *mesh) pass(d time.Duration) {
	for _, n := range m.nodes {
		n.now += int64(d)
		n.handler.Housekeep(&n.snapshot, n.now)
		for _, o := range n.release() {
			m.carryOut(o)
		}
	}
}

// What may be wrong with a datagram of the property test.
const (
	sound = iota
	overlapping
	firstless
)

// A cutUp is a datagram that is sent in fragments.
type cutUp struct {
	whole    []byte
	in       uint8
	fault    int
	pieces   [][]byte
	src, dst netip.AddrPort // as a whole packet of its flow leaves
	mac      [6]byte        // and where it goes
}

// drawCutUp draws a datagram of a new flow, or of its backend, and how it is cut.
func drawCutUp(rt *rapid.T, m *mesh, mode Mode, number int) *cutUp {
	p := rapid.SampledFrom(paths).Draw(rt, "path").from(number)
	c := &cutUp{fault: rapid.SampledFrom([]int{sound, sound, sound, overlapping, firstless}).Draw(rt, "fault")}
	size := rapid.IntRange(20, 3000).Draw(rt, "size")
	least := 1 + size/800 // units of 8 bytes, so that there aren't more pieces than the table takes
	if rapid.IntRange(0, 9).Draw(rt, "large") == 0 {
		size, least = rapid.IntRange(30_000, 65_450).Draw(rt, "large size"), 90
	}
	payload := make([]byte, size)
	for i, r := 0, rand.New(rand.NewPCG(uint64(number), 1)); i < size; i++ {
		payload[i] = byte(r.Uint32())
	}
	opts := []pt.Option{pt.Payload(payload)}
	m.receive(clientSide, p.open())
	first := m.collect()[0]
	c.src, c.dst = ends(m.t, first.frame)
	c.whole, c.in = p.open(opts...), clientSide
	if mode == NAT && rapid.Bool().Draw(rt, "answer") {
		m.receive(serverSide, p.build(c.dst.String(), c.src.String(), pt.Flags("SA")))
		first = m.collect()[0]
		c.whole, c.in = p.build(c.dst.String(), c.src.String(), append(opts, pt.Flags("A"))...), serverSide
		c.src, c.dst = ends(m.t, first.frame)
	}
	c.mac = [6]byte(first.frame)
	var at []int
	for cut := 0; ; {
		cut += 8 * rapid.IntRange(least, 175).Draw(rt, "units")
		cut = max(cut, 32) // the TCP header is in one piece, and 8 bytes more
		if cut >= size {
			break
		}
		at = append(at, cut)
	}
	c.pieces = pt.Cut(c.whole, uint32(number%4), at...)
	c.spoil(rt, at)
	return c
}

// spoil gives the datagram its fault, if it shall have one and can: pieces that
// overlap need to be more than one.
func (c *cutUp) spoil(rt *rapid.T, at []int) {
	if len(c.pieces) == 1 {
		c.pieces, c.fault = nil, firstless
		return
	}
	switch c.fault {
	case firstless:
		c.pieces = c.pieces[1:]
	case overlapping:
		evil := pt.Cut(c.whole, idOf(c.pieces[0]), at[0]-8, at[0])[1] // the first piece's last bytes
		for i := len(evil) - 8; i < len(evil); i++ {
			evil[i] ^= 0xff
		}
		c.pieces = append(c.pieces, evil)
	}
}

// idOf returns a fragment's identification.
func idOf(frame []byte) uint32 {
	var info packet.Info
	packet.Parse(frame, &info)
	return packet.PartOf(frame, &info).ID
}

// TestFragmentProperties cuts random datagrams at random, shuffles their pieces
// among each other, sends some more than once, and has engines meet them. Each
// that is sound and whole comes out so, on its flow's way.
func TestFragmentProperties(t *testing.T) {
	for _, mode := range []Mode{NAT, DSR} {
		for _, engines := range []int{1, 3} {
			t.Run(fmt.Sprintf("%v/%d", mode, engines), func(t *testing.T) {
				m := newMesh(t, testConfig(mode, RoundRobin, 3), engines)
				number := 0
				rapid.Check(t, func(rt *rapid.T) {
					var all []*cutUp
					for range rapid.IntRange(1, 4).Draw(rt, "datagrams") {
						number = (number + 1) % 10_000
						all = append(all, drawCutUp(rt, m, mode, number))
					}
					m.shuffle(rt, all)
				})
			})
		}
	}
}

// shuffle sends the pieces of all datagrams, and checks what comes out.
func (m *mesh) shuffle(rt *rapid.T, all []*cutUp) {
	type item struct {
		in    uint8
		frame []byte
	}
	var items []item
	r := rand.New(rand.NewPCG(rapid.Uint64().Draw(rt, "order"), 2))
	for _, c := range all {
		for _, piece := range c.pieces {
			items = append(items, item{c.in, piece})
			if r.IntN(8) == 0 {
				items = append(items, item{c.in, piece})
			}
		}
	}
	r.Shuffle(len(items), func(i, j int) { items[i], items[j] = items[j], items[i] })
	m.drops = [packet.Reasons]int{}
	for _, it := range items {
		m.receive(it.in, it.frame)
		m.pass(time.Millisecond)
	}
	m.pass(1200 * time.Millisecond)
	sent := m.collect()
	dropped := m.drops[packet.FragmentOverlap] + m.drops[packet.FragmentOrphan]
	if len(sent)+dropped != len(items) {
		rt.Fatalf("%d pieces came, %d left, %d were dropped: %v", len(items), len(sent), dropped, m.drops)
	}
	groups := map[string][][]byte{}
	for _, o := range sent {
		addrs := o.frame[o.L3+12 : o.L3+20]
		if o.Flags&packet.FlagIPv6 != 0 {
			addrs = o.frame[o.L3+8 : o.L3+40]
		}
		key := fmt.Sprint(o.Out, idOf(o.frame), o.Proto, addrs)
		groups[key] = append(groups[key], o.frame)
	}
	m.match(rt, all, groups)
}

// match finds each sound datagram among those that left, and no other.
func (m *mesh) match(rt *rapid.T, all []*cutUp, groups map[string][][]byte) {
	found := map[*cutUp]bool{}
	for _, frames := range groups {
		whole, err := pt.Join(frames)
		if err != nil {
			continue // not all of it left
		}
		src, dst := ends(m.t, whole)
		var info packet.Info
		if why := packet.Parse(whole, &info); why != packet.OK || !packet.VerifyL4(whole, &info) {
			rt.Fatalf("what left has a wrong checksum, or %v", why)
		}
		for _, c := range all {
			if c.src == src && c.dst == dst && string(c.mac[:]) == string(whole[:6]) {
				found[c] = true
			}
		}
	}
	for i, c := range all {
		if c.fault == sound && !found[c] {
			rt.Fatalf("datagram %d, %d bytes in %d pieces from %v to %v, didn't leave whole", i, len(c.whole), len(c.pieces), c.src, c.dst)
		}
		if c.fault == firstless && found[c] {
			rt.Fatalf("datagram %d left whole without its first piece", i)
		}
	}
}
