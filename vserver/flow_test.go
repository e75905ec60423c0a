package vserver

import (
	"fmt"
	"testing"
	"time"

	"appliance/engine"
	"appliance/engine/packet"
	pt "appliance/engine/packet/packettest"
)

func TestSYNs(t *testing.T) {
	for _, mode := range allModes {
		n := newNode(t, testConfig(mode, RoundRobin, 3))
		syn := paths[0].open()
		first := n.one(clientSide, syn).sent(t, serverSide).frame
		if again := n.one(clientSide, syn).sent(t, serverSide).frame; string(again) != string(first) {
			t.Errorf("%v: the retransmitted SYN left as %x, the first as %x", mode, again, first)
		}
		if mode == NAT {
			snip, backend := ends(t, first)
			n.one(serverSide, pt.TCP(backend.String(), snip.String(), pt.Flags("SA"), pt.SeqAck(100, 1))).sent(t, clientSide)
		}
		n.one(clientSide, paths[0].open(pt.Flags("A"), pt.SeqAck(1, 101))).sent(t, serverSide)
		n.one(clientSide, paths[0].open(pt.Flags("R"), pt.SeqAck(1, 0))).sent(t, serverSide)
		if again := n.one(clientSide, syn).sent(t, serverSide).frame; string(again) != string(first) {
			t.Errorf("%v: a SYN after the client's reset, which may be forged, left the flow's way", mode)
		}
		if mode != NAT {
			continue
		}
		snip, backend := ends(t, first)
		n.one(serverSide, pt.TCP(backend.String(), snip.String(), pt.Flags("SA"), pt.SeqAck(100, 1))).sent(t, clientSide)
		n.one(clientSide, paths[0].open(pt.Flags("A"), pt.SeqAck(1, 101))).sent(t, serverSide)
		n.one(serverSide, pt.TCP(backend.String(), snip.String(), pt.Flags("R"), pt.SeqAck(101, 0))).sent(t, clientSide)
		if reopened := n.one(clientSide, syn).sent(t, serverSide).frame; string(reopened) == string(first) {
			t.Error("a SYN after the backend's reset went the old flow's way")
		}
		if got := n.total(); got.NewFlows != 2 || got.Flows != 1 {
			t.Errorf("counted %+v, want 2 flows, 1 of them over", got)
		}
	}
}

func TestFlowsExpire(t *testing.T) {
	cfg := testConfig(NAT, Maglev, 2)
	for i := range cfg.Services {
		cfg.Services[i].Timeouts = Timeouts{Established: 20 * time.Second, Replied: 10 * time.Second}
	}
	n := newNode(t, cfg)
	flows := n.dialMany(8)
	if got := n.total(); got.Flows != 8 || got.NewFlows != 8 || got.Packets != 24 {
		t.Errorf("counted %+v", got)
	}
	n.pass(8 * time.Second)
	for _, c := range flows {
		c.intact()
	}
	n.pass(15 * time.Second)
	for _, c := range flows {
		if c.p.name[:3] == "tcp" {
			c.intact()
		} else {
			n.one(serverSide, c.answer()).dropped(t, packet.NoFlow)
		}
	}
	n.pass(40 * time.Second)
	if got := n.total(); got.Flows != 0 || n.handler.Counters().Flows.Flows != 0 {
		t.Errorf("after all timeouts: %+v, table %+v", got, n.handler.Counters().Flows)
	}
}

// A process that was stopped for a day must go on sweeping.
func TestSweepAfterAPause(t *testing.T) {
	n := newNode(t, testConfig(NAT, Maglev, 2))
	n.dialMany(8)
	n.now += int64(10 * 24 * time.Hour)
	n.handler.Housekeep(&n.snapshot, n.now)
	n.pass(2 * sweepPeriod)
	if got := n.total(); got.Flows != 0 {
		t.Errorf("%d flows are left", got.Flows)
	}
}

func TestFullTable(t *testing.T) {
	const capacity = 16
	for _, mode := range allModes {
		n := newSizedNode(t, testConfig(mode, Maglev, 4), capacity, 64)
		for i := range capacity {
			p := paths[0].from(i)
			first := n.one(clientSide, p.open()).sent(t, serverSide).frame
			if mode == NAT {
				c := conn{n: n, p: p}
				c.snip, c.backend = ends(t, first)
				n.one(serverSide, c.answer(pt.Flags("SA"), pt.SeqAck(100, 1))).sent(t, clientSide)
			}
			n.one(clientSide, p.open(pt.Flags("A"), pt.SeqAck(1, 101))).sent(t, serverSide)
		}
		more := paths[0].from(capacity)
		if mode == NAT {
			n.one(clientSide, more.open()).dropped(t, packet.FlowTableFull)
			continue
		}
		first := n.one(clientSide, more.open()).sent(t, serverSide).frame
		second := n.one(clientSide, more.open(pt.Flags("A"))).sent(t, serverSide).frame
		if string(first[:6]) != string(second[:6]) {
			t.Error("without a record, the flow's second packet went elsewhere")
		}
		if got := n.handler.Counters().Unlisted; got != 2 {
			t.Errorf("%d packets without a record counted, want 2", got)
		}
	}
}

// Where hash says, also when the method is another: that is what other nodes do.
func TestDirectMidFlowGoesByHash(t *testing.T) {
	for _, mode := range directModes {
		midFlowGoesByHash(t, mode)
	}
}

func midFlowGoesByHash(t *testing.T, mode Mode) {
	n := newNode(t, testConfig(mode, RoundRobin, 5))
	other := newNode(t, testConfig(mode, Maglev, 5))
	for i := range 50 {
		p := paths[0].from(i)
		here := n.one(clientSide, p.open(pt.Flags("A"))).sent(t, serverSide).frame
		there := other.one(clientSide, p.open()).sent(t, serverSide).frame
		if string(here[:6]) != string(there[:6]) {
			t.Fatalf("flow %d: %x here, %x there", i, here[:6], there[:6])
		}
	}
	if got := n.total().NewFlows; got != 50 {
		t.Errorf("%d records made, want 50", got)
	}
	n.one(clientSide, paths[0].from(99).open(pt.Flags("R"))).sent(t, serverSide)
	if got := n.total().NewFlows; got != 50 {
		t.Error("a RST made a record")
	}
}

// With 8192 buckets, a bucket has 8 ports a SNIP and backend, one of which may be
// below 1024. When one SNIP has none left, the other gives.
func TestPortsRunOut(t *testing.T) {
	cfg := testConfig(NAT, Maglev, 1)
	cfg.Buckets = 8192
	n := newNode(t, cfg)
	var bucket uint32
	taken := map[string]bool{}
	for i := 0; len(taken) <= 16; i++ {
		p := paths[0]
		p.client = fmt.Sprintf("192.0.2.%d:%d", 1+i%250, 1024+i/250)
		frame := p.open()
		hash := n.place(0, clientSide, frame).Hash % 8192
		if i == 0 {
			bucket = hash
		}
		if hash != bucket {
			continue
		}
		o := n.one(clientSide, frame)
		if o.Verdict == engine.Drop {
			o.dropped(t, packet.NoSourcePort)
			if len(taken) < 14 {
				t.Fatalf("%d ports used of two SNIPs: %v", len(taken), taken)
			}
			return
		}
		c := conn{n: n, p: p}
		if c.snip, c.backend = ends(t, o.frame); taken[c.snip.String()] {
			t.Fatalf("%v was given twice", c.snip)
		}
		taken[c.snip.String()] = true
		n.one(serverSide, c.answer(pt.Flags("SA"), pt.SeqAck(100, 1))).sent(t, clientSide)
		c.next()
	}
	t.Fatal("more flows than the bucket has ports")
}

// A handshake under way loses its port only when no SNIP has a free one.
func TestFreePortsGoFirst(t *testing.T) {
	cfg := testConfig(NAT, Maglev, 1)
	cfg.Buckets = 8192
	n := newNode(t, cfg)
	const buckets, least = 8, 14 // that many ports of the two SNIPs, at least, are in each
	var flows [buckets]int
	taken := map[string]bool{}
	for i := 0; len(taken) < buckets*least; i++ {
		p := paths[0]
		p.client = fmt.Sprintf("192.0.2.%d:%d", 1+i%250, 1024+i/250)
		frame := p.open()
		bucket := n.place(0, clientSide, frame).Hash % 8192
		if bucket >= buckets || flows[bucket] == least {
			continue
		}
		flows[bucket]++
		snip, _ := ends(t, n.one(clientSide, frame).sent(t, serverSide).frame)
		if taken[snip.String()] {
			t.Fatalf("%v was given twice, the second time to flow %d of its bucket", snip, flows[bucket])
		}
		taken[snip.String()] = true
	}
}

// Engines begin their rounds at different backends.
func TestRoundRobinStarts(t *testing.T) {
	n := newNode(t, testConfig(NAT, RoundRobin, 4))
	n.handler.cfg.Engine = 2
	n.handler.turns = nil
	n.handler.adopt(n.services())
	if c := n.dial(paths[0], 0); lastByte(c.backend) != 3 {
		t.Errorf("engine 2 begins with backend %d, want 3", lastByte(c.backend))
	}
}
