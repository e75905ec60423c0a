package vserver

import (
	"fmt"
	"testing"
	"time"

	"appliance/engine"
	"appliance/engine/packet"
	pt "appliance/engine/packet/packettest"
)

func TestPing(t *testing.T) {
	for _, tc := range []struct {
		src, dst string
		in, out  uint8
		typ      uint8
	}{
		{"192.0.2.7", "198.51.100.10", clientSide, clientSide, packet.ICMPEchoReply},
		{"2001:db8:c::7", "2001:db8:1::10", clientSide, clientSide, packet.ICMPv6EchoReply},
		{"10.1.0.1", "10.1.0.254", serverSide, serverSide, packet.ICMPEchoReply},
		{"fd00:1::1", "fd00:1::253", serverSide, serverSide, packet.ICMPv6EchoReply},
		{"10.1.0.1", "198.51.100.10", serverSide, serverSide, packet.ICMPEchoReply},
		{"192.0.10.1", "198.51.100.10", serverSide, clientSide, packet.ICMPEchoReply}, // by the routes, not where it came from
	} {
		t.Run(tc.src+" to "+tc.dst, func(t *testing.T) {
			n := newNode(t, testConfig(NAT, Maglev, 1))
			out := n.one(tc.in, pt.Echo(tc.src, tc.dst, pt.EchoID(7, 9), pt.PayloadSize(99))).sent(t, tc.out)
			pt.Check(t, out.frame, pt.WantSrc(tc.dst), pt.WantDst(tc.src), pt.WantTTL(64), pt.WantICMP(tc.typ, 0))
			if got := n.handler.Counters().Pings; got != 1 {
				t.Errorf("%d pings counted", got)
			}
		})
	}
}

func TestRefusals(t *testing.T) {
	tcp4, udp4, tcp6, udp6 := paths[0], paths[1], paths[2], paths[3]
	otherPort := func(p path) path {
		p.vip = p.vip[:len(p.vip)-2] + "81"
		return p
	}
	none := testConfig(NAT, Maglev, 0)
	for _, tc := range []struct {
		name  string
		cfg   Config
		frame []byte
		why   packet.Reason
		want  []pt.Checker
	}{
		{"tcp4, no service", testConfig(NAT, Maglev, 1), otherPort(tcp4).open(pt.SeqAck(5, 0)), packet.NoService,
			[]pt.Checker{pt.WantFlags("RA"), pt.WantSeqAck(0, 6)}},
		{"tcp6, no service", testConfig(NAT, Maglev, 1), otherPort(tcp6).open(pt.SeqAck(5, 0)), packet.NoService,
			[]pt.Checker{pt.WantFlags("RA"), pt.WantSeqAck(0, 6)}},
		{"udp4, no service", testConfig(NAT, Maglev, 1), otherPort(udp4).open(), packet.NoService,
			[]pt.Checker{pt.WantICMP(packet.ICMPUnreachable, 3)}},
		{"udp6, no service", testConfig(NAT, Maglev, 1), otherPort(udp6).open(), packet.NoService,
			[]pt.Checker{pt.WantICMP(packet.ICMPv6Unreachable, 4)}},
		{"tcp4, no backend", none, tcp4.open(), packet.NoBackend, []pt.Checker{pt.WantFlags("RA")}},
		{"udp6, no backend", none, udp6.open(), packet.NoBackend, []pt.Checker{pt.WantICMP(packet.ICMPv6Unreachable, 4)}},
		{"dsr, no backend", testConfig(DSR, Maglev, 0), tcp4.open(), packet.NoBackend, []pt.Checker{pt.WantFlags("RA")}},
		{"ipip, no backend", testConfig(IPIP, Maglev, 0), tcp6.open(), packet.NoBackend, []pt.Checker{pt.WantFlags("RA")}},
		{"gue, no backend", testConfig(GUE, Maglev, 0), udp4.open(), packet.NoBackend, []pt.Checker{pt.WantICMP(packet.ICMPUnreachable, 3)}},
		{"no flow", testConfig(NAT, Maglev, 1), tcp4.open(pt.Flags("A"), pt.SeqAck(5, 77)), packet.NoFlow,
			[]pt.Checker{pt.WantFlags("R"), pt.WantSeqAck(77, 0)}},
		{"SYN+ACK", testConfig(NAT, Maglev, 1), tcp6.open(pt.Flags("SA"), pt.SeqAck(5, 77)), packet.NoFlow,
			[]pt.Checker{pt.WantFlags("R"), pt.WantSeqAck(77, 0)}},
		{"TTL 1", testConfig(NAT, Maglev, 1), tcp4.open(pt.TTL(1)), packet.TTLExceeded,
			[]pt.Checker{pt.WantICMP(packet.ICMPTimeExceeded, 0)}},
		{"hop limit 1", testConfig(NAT, Maglev, 1), udp6.open(pt.TTL(1)), packet.TTLExceeded,
			[]pt.Checker{pt.WantICMP(packet.ICMPv6TimeExceeded, 0)}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			n := newNode(t, tc.cfg)
			src, dst := ends(t, tc.frame)
			out := n.one(clientSide, tc.frame).sent(t, clientSide)
			pt.Check(t, out.frame, append(tc.want, pt.WantSrc(dst.Addr().String()), pt.WantDst(src.Addr().String()),
				pt.WantTTL(64), pt.WantMACs(nodeMAC0, routerMAC))...)
			if c := n.handler.Counters(); c.Answers[tc.why] != 1 {
				t.Errorf("answers by reason: %v", c.Answers)
			}
		})
	}
}

func TestSilence(t *testing.T) {
	noService := testConfig(NAT, Maglev, 1)
	noService.OnNoService = Silence
	p := paths[0]
	p.vip = "198.51.100.10:81"
	newNode(t, noService).one(clientSide, p.open()).dropped(t, packet.Silent)

	service := testConfig(NAT, Maglev, 0)
	service.Services[0].OnNoBackend, service.Services[0].OnNoFlow = Silence, Silence
	n := newNode(t, service)
	n.one(clientSide, paths[0].open()).dropped(t, packet.Silent)
	n.one(clientSide, paths[0].open(pt.Flags("A"))).dropped(t, packet.Silent)
}

func TestNeverAnswered(t *testing.T) {
	n := newNode(t, testConfig(NAT, Maglev, 1))
	group := [6]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}
	for _, tc := range []struct {
		name  string
		frame []byte
		why   packet.Reason
	}{
		{"RST", paths[0].open(pt.Flags("R")), packet.NoFlow},
		{"broadcast", paths[0].open(pt.Flags("A"), pt.MACs(routerMAC, group)), packet.OtherStation},
		{"fragment of a ping", pt.Echo("192.0.2.7", "198.51.100.10", pt.Fragment(0, true), pt.PayloadSize(8)), packet.Fragment},
		{"later fragment of a ping", pt.Echo("2001:db8:c::7", "2001:db8:1::10", pt.Fragment(64, false), pt.PayloadSize(8)), packet.Fragment},
		{"fragment of a segment", paths[0].open(pt.Flags("A"), pt.Fragment(0, true), pt.PayloadSize(12)), packet.NoFlow},
		{"nobody's fragment", pt.UDP("192.0.2.7:1", "198.51.100.11:80", pt.Fragment(0, true), pt.PayloadSize(8)), packet.NotOurs},
		{"ICMP error", pt.Raw(1, "192.0.2.7", "198.51.100.10", pt.Payload([]byte{3, 3, 0xfc, 0xfc, 0, 0, 0, 0})), packet.BadQuote},
		{"source quench", pt.ICMPError(4, 0, 0, "192.0.2.7", "198.51.100.10", pt.TCP("198.51.100.10:80", "192.0.2.7:1")[14:]), packet.ICMPUnhandled},
		{"ping of nobody", pt.Echo("192.0.2.7", "198.51.100.11"), packet.NotOurs},
		{"nobody's", pt.TCP("192.0.2.7:1", "198.51.100.11:80"), packet.NotOurs},
		{"from the VIP", pt.TCP("198.51.100.10:80", "198.51.100.10:80", pt.Flags("S")), packet.BadSource},
		{"from a SNIP", pt.UDP("[fd00:1::254]:80", "[2001:db8:1::10]:80"), packet.BadSource},
		{"return without flow", pt.TCP("10.1.0.1:80", "10.1.0.254:4000"), packet.NoFlow},
		{"to a SNIP's port 80", pt.UDP("192.0.2.7:1", "10.1.0.254:80"), packet.NoFlow},
	} {
		t.Run(tc.name, func(t *testing.T) { n.one(clientSide, tc.frame).dropped(t, tc.why) })
	}
}

func TestTooBig(t *testing.T) {
	cfg := testConfig(NAT, Maglev, 0)
	cfg.Services[0].Backends = []BackendConfig{{Name: "b", Address: addrs("10.2.0.1")[0], Weight: 1}}
	cfg.Services[2].Backends = []BackendConfig{{Name: "b", Address: addrs("fd00:2::1")[0], Weight: 1}}
	for _, mode := range []Mode{NAT, DSR} {
		for _, tc := range []struct {
			p         path
			header    int
			typ, code uint8
		}{
			{paths[0], 40, packet.ICMPUnreachable, 4},
			{paths[2], 60, packet.ICMPv6PacketTooBig, 0},
		} {
			t.Run(fmt.Sprintf("%v/%s", mode, tc.p.name), func(t *testing.T) {
				n := newNode(t, withMode(cfg, mode))
				n.one(clientSide, tc.p.open(pt.PayloadSize(1400-tc.header))).sent(t, serverSide)
				long := tc.p.open(pt.PayloadSize(1401-tc.header), pt.Flags("A"))
				out := n.one(clientSide, long).sent(t, clientSide)
				pt.Check(t, out.frame, pt.WantICMP(tc.typ, tc.code), pt.WantMACs(nodeMAC0, routerMAC))
				if mtu := out.ICMP(out.frame).Rest(); mtu != 1400 {
					t.Errorf("told an MTU of %d", mtu)
				}
				quoted := out.ICMP(out.frame)[packet.ICMPSize:]
				if string(quoted) != string(long[14:][:len(quoted)]) {
					t.Error("quotes another packet")
				}
			})
		}
	}
}

// What a backend sends is quoted to it as it sent it.
func TestTooBigTowardBackend(t *testing.T) {
	n := newNode(t, testConfig(NAT, Maglev, 1))
	snip, backend := ends(t, n.one(clientSide, paths[1].open()).sent(t, serverSide).frame)
	in := testNetwork()
	in.Links[0].MTU = 1000
	n.routes = compile(t, in)
	n.load(testConfig(NAT, Maglev, 1))
	out := n.one(serverSide, pt.UDP(backend.String(), snip.String(), pt.PayloadSize(1200))).sent(t, serverSide)
	pt.Check(t, out.frame, pt.WantSrc(snip.Addr().String()), pt.WantDst(backend.Addr().String()),
		pt.WantICMP(packet.ICMPUnreachable, 4), pt.WantMACs(nodeMAC1, backendMAC(1)))
}

func TestAnswerRate(t *testing.T) {
	cfg := testConfig(NAT, Maglev, 1)
	cfg.AnswerRate = 10
	n := newNode(t, cfg)
	answered := func() (count int) {
		for range 50 {
			o := n.one(clientSide, paths[0].open(pt.Flags("A")))
			if o.Verdict == engine.Transmit {
				count++
			} else {
				o.dropped(t, packet.RateLimited)
			}
		}
		return count
	}
	if got := answered(); got != 10 {
		t.Errorf("%d answers at once, want 10", got)
	}
	n.one(clientSide, paths[1].open(pt.TTL(1))).dropped(t, packet.RateLimited) // ICMP errors count alike
	n.now += int64(300 * time.Millisecond)
	if got := answered(); got != 3 {
		t.Errorf("%d answers after 300 ms, want 3", got)
	}
	n.now += int64(time.Hour)
	if got := answered(); got != 10 {
		t.Errorf("%d answers after an hour, want 10", got)
	}
	n.one(clientSide, pt.Echo("192.0.2.7", "198.51.100.10")).sent(t, clientSide) // pings are not limited
}

func TestUnreachable(t *testing.T) {
	for _, mode := range allModes {
		cfg := testConfig(mode, Maglev, 0)
		cfg.Services[0].Backends = []BackendConfig{{Name: "b", Address: addrs("10.1.0.200")[0], Weight: 1}}
		cfg.Services[2].Backends = []BackendConfig{{Name: "b", Address: addrs("fd77::1")[0], Weight: 1}}
		n := newNode(t, cfg)
		n.one(clientSide, paths[0].open()).dropped(t, packet.NoNeighbour)
		n.one(clientSide, paths[0].open()).dropped(t, packet.NoNeighbour)
		n.one(clientSide, paths[2].open()).dropped(t, packet.NoRoute)

		var asked [4]Neighbour
		if got := n.handler.Unresolved(asked[:]); got != 1 || asked[0].Addr.String() != "10.1.0.200" || asked[0].Link != 2 {
			t.Errorf("asked for %v", asked[:got])
		}
		if got := n.handler.Unresolved(asked[:]); got != 0 {
			t.Errorf("asked again at once for %v", asked[:got])
		}
		n.now += 2 * askAgain
		n.one(clientSide, paths[0].open()).dropped(t, packet.NoNeighbour)
		if got := n.handler.Unresolved(asked[:]); got != 1 {
			t.Errorf("asked %d times after a while", got)
		}
	}
}

// Flows that are established wait for their neighbours as new ones do.
func TestNeighboursVanish(t *testing.T) {
	n := newNode(t, testConfig(NAT, Maglev, 1))
	c := n.dial(paths[0], 0)
	in := testNetwork()
	in.Neighbours = nil
	n.routes = compile(t, in)
	n.load(testConfig(NAT, Maglev, 1))
	c.next().dropped(t, packet.NoNeighbour)
	n.one(serverSide, c.answer()).dropped(t, packet.NoNeighbour)
	var asked [4]Neighbour
	if got := n.handler.Unresolved(asked[:]); got != 2 {
		t.Errorf("asked for %v, want backend and router", asked[:got])
	}
	in.Routes = nil
	n.routes = compile(t, in)
	n.load(testConfig(NAT, Maglev, 1))
	c.next().dropped(t, packet.NoRoute)
	n.one(serverSide, c.answer()).dropped(t, packet.NoRoute)

	n.routes = compile(t, testNetwork())
	n.load(testConfig(NAT, Maglev, 1))
	c.intact()
}

// When nobody drains the questions, they are dropped, and asked again later.
func TestUnresolvedIsBounded(t *testing.T) {
	var r resolver
	a := addrs("10.1.0.1")[0]
	for range 10 * askSlots {
		r.ask(0, Neighbour{Addr: a})
		a = a.Next()
	}
	out := make([]Neighbour, 2*askSlots)
	if got := r.drain(out[:10]) + r.drain(out[10:]); got != askSlots {
		t.Errorf("%d questions kept, want %d", got, askSlots)
	}
	if out[0].Addr != addrs("10.1.0.1")[0] || out[1].Addr != addrs("10.1.0.2")[0] {
		t.Errorf("out of order: %v", out[:2])
	}
	r.ask(0, Neighbour{Addr: a.Prev()})
	if got := r.drain(out); got != 1 || out[0].Addr != a.Prev() {
		t.Errorf("what was dropped is not asked again: %v", out[:got])
	}
}

func TestPingThatDoesNotFitTheWayBack(t *testing.T) {
	n := newNode(t, testConfig(NAT, Maglev, 1))
	big := pt.Echo("10.2.0.1", "198.51.100.10", pt.PayloadSize(1400)) // VLAN 20 has an MTU of 1400
	n.one(clientSide, big).dropped(t, packet.TooBig)
}

// A ping from beyond all routes has no answer.
func TestPingWithoutRoute(t *testing.T) {
	n := newNode(t, testConfig(NAT, Maglev, 1))
	n.one(clientSide, pt.Echo("192.0.77.7", "198.51.100.10")).dropped(t, packet.NoRoute)
	in := testNetwork()
	in.Neighbours = nil
	n.routes = compile(t, in)
	n.load(testConfig(NAT, Maglev, 1))
	n.one(clientSide, pt.Echo("192.0.2.7", "198.51.100.10", pt.VLAN(10))).dropped(t, packet.NoNeighbour)
	var asked [1]Neighbour
	if n.handler.Unresolved(asked[:]) != 1 || asked[0].Addr.String() != "203.0.113.1" {
		t.Errorf("asked for %v, want the router", asked[0])
	}
}

func TestWithoutServicesNothingIsOurs(t *testing.T) {
	n := newNode(t, testConfig(NAT, Maglev, 1))
	n.snapshot.App = nil
	n.one(clientSide, paths[0].open()).dropped(t, packet.NotOurs)
	n.one(clientSide, pt.Echo("192.0.2.7", "198.51.100.10")).dropped(t, packet.NotOurs)
}
