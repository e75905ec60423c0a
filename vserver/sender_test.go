package vserver

import (
	"slices"
	"testing"

	"appliance/engine/packet"
	pt "appliance/engine/packet/packettest"
	"appliance/internal/fib"
)

func TestReturnToSender(t *testing.T) {
	cfg := testConfig(NAT, Maglev, 1)
	cfg.ReturnToSender = true
	other := [6]byte{2, 0, 0, 0, 0, 0xee} // a router that no route leads to
	for _, p := range paths {
		t.Run(p.name, func(t *testing.T) {
			n := newNode(t, cfg)
			out := n.one(clientSide, p.open(pt.MACs(other, nodeMAC0), pt.VLAN(10))).sent(t, serverSide)
			c := conn{n: n, p: p}
			c.snip, c.backend = ends(t, out.frame)
			back := n.one(serverSide, c.answer(pt.Flags("SA"))).sent(t, clientSide)
			pt.Check(t, back.frame, pt.WantMACs(nodeMAC0, other), pt.WantVLAN(10, 0), pt.WantDst(p.client))

			// The last packet counts.
			n.one(clientSide, p.open(pt.Flags("A"))).sent(t, serverSide)
			n.one(clientSide, p.open(pt.Flags("A"), pt.MACs(other, nodeMAC0), pt.VLAN(11))).dropped(t, packet.UnknownVLAN)
			back = n.one(serverSide, c.answer()).sent(t, clientSide)
			pt.Check(t, back.frame, pt.WantMACs(nodeMAC0, routerMAC), pt.WantUntagged())
		})
	}
}

func TestAnswersReturnToSender(t *testing.T) {
	cfg := testConfig(NAT, Maglev, 1)
	cfg.ReturnToSender = true
	n := newNode(t, cfg)
	other := [6]byte{2, 0, 0, 0, 0, 0xee}
	from := []pt.Option{pt.MACs(other, nodeMAC0), pt.VLAN(10)}
	for _, frame := range [][]byte{
		paths[0].open(append(from, pt.Flags("A"))...),
		paths[3].open(append(from, pt.TTL(1))...),
		pt.Echo("192.0.77.7", "198.51.100.10", from...), // no route leads there
	} {
		out := n.one(clientSide, frame).sent(t, clientSide)
		pt.Check(t, out.frame, pt.WantMACs(nodeMAC0, other), pt.WantVLAN(10, 0))
	}
	n.one(clientSide, pt.Echo("192.0.77.7", "198.51.100.10", pt.VLAN(11))).dropped(t, packet.UnknownVLAN)
}

// A link that goes down takes the senders behind it along; the routes take over.
func TestSenderBehindALinkThatWentDown(t *testing.T) {
	cfg := testConfig(NAT, Maglev, 1)
	cfg.ReturnToSender = true
	n := newNode(t, cfg)
	c := conn{n: n, p: paths[0]}
	c.snip, c.backend = ends(t, n.one(clientSide, c.p.open(pt.VLAN(10))).sent(t, serverSide).frame)
	back := n.one(serverSide, c.answer()).sent(t, clientSide)
	pt.Check(t, back.frame, pt.WantVLAN(10, 0))
	in := testNetwork()
	in.Links[2].Up = false
	n.routes = compile(t, in)
	n.load(cfg)
	pt.Check(t, n.one(serverSide, c.answer()).sent(t, clientSide).frame, pt.WantUntagged(), pt.WantMACs(nodeMAC0, routerMAC))
}

func TestReturnToSenderSwitchedOff(t *testing.T) {
	cfg := testConfig(NAT, Maglev, 1)
	cfg.ReturnToSender = true
	n := newNode(t, cfg)
	c := conn{n: n, p: paths[0]}
	c.snip, c.backend = ends(t, n.one(clientSide, c.p.open(pt.VLAN(10))).sent(t, serverSide).frame)
	cfg.ReturnToSender = false
	n.load(cfg)
	pt.Check(t, n.one(serverSide, c.answer()).sent(t, clientSide).frame, pt.WantUntagged(), pt.WantMACs(nodeMAC0, routerMAC))
}

// A client's first packet comes before the kernel has told of its link-layer
// address. Its answers go to whoever sent it, on the same link only, and the
// kernel is asked.
func TestSenderStandsInForAnUnresolvedNextHop(t *testing.T) {
	unresolved := func(t *testing.T) *testNode {
		n := newNode(t, testConfig(NAT, Maglev, 1))
		in := testNetwork()
		in.Neighbours = slices.DeleteFunc(in.Neighbours, func(b fib.Neighbour) bool { return b.MAC == routerMAC })
		n.routes = compile(t, in)
		n.load(testConfig(NAT, Maglev, 1))
		return n
	}
	other := [6]byte{2, 0, 0, 0, 0, 0xee}
	open := func(n *testNode, opts ...pt.Option) conn {
		c := conn{n: n, p: paths[0]}
		c.snip, c.backend = ends(t, n.one(clientSide, c.p.open(opts...)).sent(t, serverSide).frame)
		return c
	}

	n := unresolved(t)
	c := open(n, pt.MACs(other, nodeMAC0))
	pt.Check(t, n.one(serverSide, c.answer()).sent(t, clientSide).frame, pt.WantMACs(nodeMAC0, other), pt.WantUntagged())
	var asked [2]Neighbour
	if n.handler.Unresolved(asked[:]) != 1 || asked[0].Addr.String() != "203.0.113.1" {
		t.Errorf("asked for %v, want the router once", asked)
	}
	n.routes = compile(t, testNetwork()) // the kernel has found out
	n.load(testConfig(NAT, Maglev, 1))
	pt.Check(t, n.one(serverSide, c.answer()).sent(t, clientSide).frame, pt.WantMACs(nodeMAC0, routerMAC))

	n = unresolved(t)
	c = open(n, pt.MACs(other, nodeMAC0), pt.VLAN(10)) // another link than the route's
	n.one(serverSide, c.answer()).dropped(t, packet.NoNeighbour)
}
