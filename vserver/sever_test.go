package vserver

import (
	"testing"
	"time"

	"appliance/engine/packet"
	pt "appliance/engine/packet/packettest"
)

// severConfig has two backends a service, and resets flows of those that are
// down.
func severConfig(mode Mode) Config {
	cfg := testConfig(mode, RoundRobin, 2)
	for i := range cfg.Services {
		cfg.Services[i].OnBackendDown = Sever
	}
	return cfg
}

// Of a backend that is down, TCP flows are reset and UDP flows go elsewhere with
// their clients' next packet; flows of others don't notice.
func TestSeverNAT(t *testing.T) {
	n := newNode(t, severConfig(NAT))
	conns := n.dialMany(16)
	takeDown(n, "b1")
	n.load(severConfig(NAT))
	for _, c := range conns {
		udp := c.p.name[:3] == "udp"
		switch {
		case lastByte(c.backend) == 2:
			c.intact()
		case udp:
			snip, backend := ends(t, c.next().sent(t, serverSide).frame)
			if lastByte(backend) != 2 || snip == c.snip {
				t.Errorf("%s: goes on to %v from %v", c.p.name, backend, snip)
			}
			n.one(serverSide, c.answer()).dropped(t, packet.NoFlow) // the old one's late answer
			back := c.p.build(backend.String(), snip.String())
			pt.Check(t, n.one(serverSide, back).sent(t, clientSide).frame, pt.WantSrc(c.p.vip), pt.WantDst(c.p.client))
		default:
			pt.Check(t, c.next().sent(t, clientSide).frame, pt.WantFlags("R"), pt.WantSrc(c.p.vip), pt.WantDst(c.p.client), pt.WantSeqAck(102, 0))
			n.one(serverSide, c.answer(pt.Flags("A"))).dropped(t, packet.NoFlow)
			again := n.one(clientSide, c.p.open()).sent(t, serverSide)
			if _, backend := ends(t, again.frame); lastByte(backend) != 2 {
				t.Errorf("%s: the next connection goes to %v", c.p.name, backend)
			}
		}
	}
	if got := n.handler.Counters().Answers[packet.BackendDown]; got != 4 {
		t.Errorf("%d flows were reset, want 4", got)
	}
}

// takeDown has one backend of all services fail its checks.
func takeDown(n *testNode, backend string) {
	for _, s := range []string{"tcp4", "udp4", "tcp6", "udp6"} {
		n.down[s+"/"+backend] = true
	}
}

func TestSeverDSR(t *testing.T) {
	n := newNode(t, severConfig(DSR))
	for i, p := range paths {
		var at []byte
		for j := range 2 { // one to each backend
			p := p.from(2*i + j)
			n.one(clientSide, p.open()).sent(t, serverSide)
			out := n.one(clientSide, p.open(pt.Flags("A"), pt.SeqAck(1, 101))).sent(t, serverSide)
			at = append(at, out.frame[5])
		}
		if at[0] == at[1] {
			t.Fatalf("%s: both flows go to backend %d", p.name, at[0])
		}
	}
	takeDown(n, "b2")
	n.load(severConfig(DSR))
	reset := 0
	for i, p := range paths {
		for j := range 2 {
			p := p.from(2*i + j)
			out := n.one(clientSide, p.open(pt.Flags("A"), pt.SeqAck(2, 102)))
			if out.Out == clientSide {
				reset++
				pt.Check(t, out.sent(t, clientSide).frame, pt.WantFlags("R"), pt.WantSrc(p.vip), pt.WantDst(p.client))
				continue
			}
			pt.Check(t, out.sent(t, serverSide).frame, pt.WantMACs(nodeMAC1, backendMAC(1)))
		}
	}
	if reset != 2 {
		t.Errorf("%d flows were reset, want one of each TCP service", reset)
	}
}

// Without any other backend, UDP clients are told so. What keeps, keeps.
func TestSeverWithoutOthers(t *testing.T) {
	for _, how := range []Demise{Keep, Sever} {
		cfg := testConfig(NAT, Maglev, 1)
		for i := range cfg.Services {
			cfg.Services[i].OnBackendDown = how
		}
		n := newNode(t, cfg)
		conns := n.dialMany(4)
		takeDown(n, "b1")
		n.load(cfg)
		for _, c := range conns {
			if how == Keep {
				c.intact()
			} else {
				c.next().sent(t, clientSide)
			}
		}
		got := n.handler.Counters().Answers
		if want := uint64(2 * how); got[packet.BackendDown] != want || got[packet.NoBackend] != want {
			t.Errorf("%v: %d reset, %d refused, want %d each", how, got[packet.BackendDown], got[packet.NoBackend], want)
		}
	}
}

// A client's reset draws none; a flow that is over may finish; and while answers
// are over their rate, a flow waits for its reset.
func TestSeverEdges(t *testing.T) {
	cfg := severConfig(NAT)
	cfg.AnswerRate = 1
	n := newNode(t, cfg)
	var conns []*conn
	for i := range 8 {
		if c := n.dial(paths[0], i); lastByte(c.backend) == 1 {
			conns = append(conns, c)
		}
	}
	conns[0].reset()
	takeDown(n, "b1")
	n.load(cfg)
	conns[0].next().sent(t, serverSide)
	n.one(clientSide, conns[1].p.open(pt.Flags("R"), pt.SeqAck(1, 0))).dropped(t, packet.BackendDown)
	conns[1].next().sent(t, clientSide) // no flow
	conns[2].next().dropped(t, packet.RateLimited)
	conns[2].next().dropped(t, packet.RateLimited)
	n.pass(2 * time.Second)
	conns[2].next().sent(t, clientSide)
	if got := n.handler.Counters().Answers; got[packet.BackendDown] != 1 || got[packet.NoFlow] != 1 {
		t.Errorf("%d reset because the backend is down, %d for want of a flow", got[packet.BackendDown], got[packet.NoFlow])
	}
}

func TestWhereSevered(t *testing.T) {
	n := newNode(t, severConfig(NAT))
	n.dial(paths[0], 0)
	for _, down := range []bool{false, true} {
		if down {
			takeDown(n, "b1")
			takeDown(n, "b2")
			n.load(severConfig(NAT))
			n.pass(time.Nanosecond)
		}
		if f, ok := n.handler.Find(n.snapshot.Hasher, tupleOf(paths[0])); !ok || f.Severed != down {
			t.Errorf("down %v: found %+v, %v", down, f, ok)
		}
	}
}
