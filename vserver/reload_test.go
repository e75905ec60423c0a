package vserver

import (
	"net/netip"
	"testing"

	"appliance/engine/packet"
	pt "appliance/engine/packet/packettest"
)

// A conn is a client's flow, as a test follows it.
type conn struct {
	n             *testNode
	p             path
	snip, backend netip.AddrPort // of its first packet
}

// dial opens a flow of path p from client port number, and establishes it.
func (n *testNode) dial(p path, number int) *conn {
	n.t.Helper()
	c := &conn{n: n, p: p.from(number)}
	c.snip, c.backend = ends(n.t, n.one(clientSide, c.p.open()).sent(n.t, serverSide).frame)
	n.one(serverSide, c.answer(pt.Flags("SA"), pt.SeqAck(100, 1))).sent(n.t, clientSide)
	n.one(clientSide, c.p.open(pt.Flags("A"), pt.SeqAck(1, 101))).sent(n.t, serverSide)
	return c
}

// from is the path from another client port.
func (p path) from(number int) path {
	at := netip.MustParseAddrPort(p.client)
	p.client = netip.AddrPortFrom(at.Addr(), at.Port()+uint16(number)).String()
	return p
}

// answer builds a packet of the backend.
func (c *conn) answer(opts ...pt.Option) []byte {
	return c.p.build(c.backend.String(), c.snip.String(), opts...)
}

// next sends the flow's next packet.
func (c *conn) next() outcome {
	return c.n.one(clientSide, c.p.open(pt.Flags("A"), pt.SeqAck(2, 102)))
}

// intact fails the test unless the flow's packets still go both ways.
func (c *conn) intact() {
	t := c.n.t
	t.Helper()
	src, dst := ends(t, c.next().sent(t, serverSide).frame)
	if src != c.snip || dst != c.backend {
		t.Errorf("flow went %v to %v, now %v to %v", c.snip, c.backend, src, dst)
	}
	back := c.n.one(serverSide, c.answer(pt.Flags("A"), pt.SeqAck(102, 2))).sent(t, clientSide)
	pt.Check(t, back.frame, pt.WantSrc(c.p.vip), pt.WantDst(c.p.client))
}

// over fails the test unless the flow has ended: its client draws a reset and
// its backend's packets go nowhere.
func (c *conn) over() {
	t := c.n.t
	t.Helper()
	pt.Check(t, c.next().sent(t, clientSide).frame, pt.WantFlags("R"), pt.WantDst(c.p.client))
	c.n.one(serverSide, c.answer(pt.Flags("A"))).dropped(t, packet.NoFlow)
}

func (n *testNode) dialMany(count int) (all []*conn) {
	n.t.Helper()
	for i := range count {
		all = append(all, n.dial(paths[i%len(paths)], i))
	}
	return all
}

func TestReloadWithoutChangeKeepsFlows(t *testing.T) {
	n := newNode(t, testConfig(NAT, Maglev, 4))
	flows := n.dialMany(40)
	before := n.services()
	n.load(testConfig(NAT, Maglev, 4))
	for i := range before.services {
		if before.services[i].pool != n.services().services[i].pool {
			t.Errorf("service %d: the pool was built anew", i)
		}
	}
	for _, c := range flows {
		c.intact()
	}
}

func TestReloadKeepsWhatItDoesNotConcern(t *testing.T) {
	for name, change := range map[string]func(*Config){
		"weights": func(c *Config) { c.Services[0].Backends[1].Weight = 7 },
		"drain": func(c *Config) {
			for i := range c.Services {
				for j := range c.Services[i].Backends {
					c.Services[i].Backends[j].Weight = 0
				}
			}
		},
		"names": func(c *Config) { c.Services[0].Name, c.Services[0].Backends[0].Name = "x", "y" },
		"order": func(c *Config) {
			c.Services[0], c.Services[3] = c.Services[3], c.Services[0]
			b := c.Services[1].Backends
			b[0], b[2] = b[2], b[0]
		},
		"method": func(c *Config) { c.Services[0].Method = RoundRobin },
		"more backends": func(c *Config) {
			for i := range c.Services {
				c.Services[i].Backends = append(testConfig(NAT, Maglev, 9).Services[i].Backends[4:], c.Services[i].Backends...)
			}
		},
		"more services and SNIPs": func(c *Config) {
			s := testConfig(NAT, Maglev, 2).Services[0]
			s.Name, s.Port = "new", 8080
			c.Services = append([]ServiceConfig{s}, c.Services...)
			c.SNIPs = append(addrs("10.1.0.252", "fd00:1::252"), c.SNIPs...)
		},
	} {
		t.Run(name, func(t *testing.T) {
			n := newNode(t, testConfig(NAT, Maglev, 4))
			flows := n.dialMany(40)
			cfg := testConfig(NAT, Maglev, 4)
			change(&cfg)
			n.load(cfg)
			for _, c := range flows {
				c.intact()
			}
		})
	}
}

func TestUnhealthyBackendKeepsFlowsAndGetsNoNew(t *testing.T) {
	for _, method := range []Method{Maglev, RoundRobin} {
		n := newNode(t, testConfig(NAT, method, 4))
		flows := n.dialMany(80)
		for _, s := range n.services().config.Services {
			n.down[s.Name+"/b2"] = true
		}
		n.load(testConfig(NAT, method, 4))
		for _, c := range flows {
			c.intact()
		}
		for i := range 400 {
			if c := n.dial(paths[i%len(paths)], 100+i); lastByte(c.backend) == 2 {
				t.Fatalf("%v: flow %d went to the backend that is down", method, i)
			}
		}
	}
}

func TestRemovedBackendEndsItsFlows(t *testing.T) {
	n := newNode(t, testConfig(NAT, Maglev, 4))
	flows := n.dialMany(80)
	cfg := testConfig(NAT, Maglev, 4)
	for i := range cfg.Services {
		cfg.Services[i].Backends = cfg.Services[i].Backends[1:]
	}
	n.load(cfg)
	ended := 0
	for _, c := range flows {
		if lastByte(c.backend) != 1 {
			c.intact()
			continue
		}
		ended++
		if c.p.name[:3] == "tcp" {
			c.over()
		} else if _, to := ends(t, c.next().sent(t, serverSide).frame); lastByte(to) == 1 {
			t.Error("a datagram still went to the removed backend")
		}
	}
	if ended == 0 {
		t.Fatal("no flow had the backend: nothing tested")
	}
	n.load(testConfig(NAT, Maglev, 4)) // it comes back, in its old slot
	for _, c := range flows {
		if lastByte(c.backend) == 1 && c.p.name[:3] == "tcp" {
			c.over()
		}
	}
}

func TestRemovedServiceEndsItsFlows(t *testing.T) {
	n := newNode(t, testConfig(NAT, Maglev, 2))
	gone, stays := n.dial(paths[0], 0), n.dial(paths[1], 1)
	cfg := testConfig(NAT, Maglev, 2)
	cfg.Services = cfg.Services[1:]
	n.load(cfg)
	gone.n.one(serverSide, gone.answer()).dropped(t, packet.NoFlow)
	pt.Check(t, gone.next().sent(t, clientSide).frame, pt.WantFlags("R"))
	if n.handler.Counters().Answers[packet.NoService] != 1 {
		t.Error("the VIP is no service's any more, but that is not why it reset")
	}
	stays.intact()
	n.load(testConfig(NAT, Maglev, 2)) // comes back: another service, in the same slot
	gone.over()
}

func TestRemovedSNIPEndsItsFlows(t *testing.T) {
	n := newNode(t, testConfig(NAT, Maglev, 2))
	flows := n.dialMany(40)
	cfg := testConfig(NAT, Maglev, 2)
	cfg.SNIPs = addrs("10.1.0.253", "fd00:1::253", "10.1.0.252")
	n.load(cfg)
	ended := 0
	for _, c := range flows {
		if lastByte(c.snip) != 254 && lastByte(c.snip) != 0x54 {
			c.intact()
			continue
		}
		ended++
		n.one(serverSide, c.answer(pt.Flags("A"))).dropped(t, packet.NotOurs)
		if c.p.name[:3] == "tcp" {
			pt.Check(t, c.next().sent(t, clientSide).frame, pt.WantFlags("R"))
		} else if from, _ := ends(t, c.next().sent(t, serverSide).frame); from.Addr() == c.snip.Addr() {
			t.Error("a datagram left from the removed SNIP")
		}
	}
	if ended == 0 || ended == len(flows) {
		t.Fatalf("%d of %d flows had the SNIP: nothing tested", ended, len(flows))
	}
}

func TestModeChangeEndsFlows(t *testing.T) {
	n := newNode(t, testConfig(NAT, Maglev, 2))
	c := n.dial(paths[0], 0)
	n.load(testConfig(DSR, Maglev, 2))
	n.one(serverSide, c.answer()).dropped(t, packet.NoFlow)
	out := c.next().sent(t, serverSide)
	pt.Check(t, out.frame, pt.WantSrc(c.p.client), pt.WantDst(c.p.vip))
}

// A MAC that changes is followed at once.
func TestNeighbourChange(t *testing.T) {
	n := newNode(t, testConfig(NAT, Maglev, 1))
	c := n.dial(paths[0], 0)
	in := testNetwork()
	moved := [6]byte{2, 9, 9, 9, 9, 9}
	for i := range in.Neighbours {
		in.Neighbours[i].MAC = moved
	}
	n.routes = compile(t, in)
	n.load(testConfig(NAT, Maglev, 1))
	pt.Check(t, c.next().sent(t, serverSide).frame, pt.WantMACs(nodeMAC1, moved))
	pt.Check(t, n.one(serverSide, c.answer()).sent(t, clientSide).frame, pt.WantMACs(nodeMAC0, moved))
}

// total adds up the services' traffic.
func (n *testNode) total() (sum Traffic) {
	for _, r := range n.services().Report([]*Counters{n.handler.Counters()}) {
		var backends Traffic
		for _, b := range r.Backends {
			backends = plus(backends, b.Traffic)
		}
		if backends != r.Traffic {
			n.t.Errorf("service %s counted %+v, its backends %+v", r.Config.Name, r.Traffic, backends)
		}
		sum = plus(sum, r.Traffic)
	}
	return sum
}

func plus(a, b Traffic) Traffic {
	return Traffic{a.Packets + b.Packets, a.Bytes + b.Bytes, a.NewFlows + b.NewFlows, a.Flows + b.Flows}
}
