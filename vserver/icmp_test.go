package vserver

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"appliance/engine"
	"appliance/engine/packet"
	pt "appliance/engine/packet/packettest"

	"pgregory.net/rapid"
)

const ipAt = packet.EthernetSize // where the packet begins in an untagged frame

// A trouble is an ICMP error as the tests send it.
type trouble struct {
	name      string
	typ, code uint8
	rest      uint32
}

var troubles4 = []trouble{
	{"net unreachable", 3, 0, 0}, {"host unreachable", 3, 1, 0}, {"protocol unreachable", 3, 2, 0},
	{"port unreachable", 3, 3, 0}, {"fragmentation needed", 3, 4, 1400}, {"prohibited", 3, 13, 0},
	{"time exceeded", 11, 0, 0}, {"reassembly time exceeded", 11, 1, 0},
	{"parameter problem", 12, 0, 20 << 24}, {"bad length", 12, 2, 0},
}

var troubles6 = []trouble{
	{"no route", 1, 0, 0}, {"prohibited", 1, 1, 0}, {"address unreachable", 1, 3, 0}, {"port unreachable", 1, 4, 0},
	{"packet too big", 2, 0, 1400}, {"hop limit exceeded", 3, 0, 0}, {"reassembly time exceeded", 3, 1, 0},
	{"bad header field", 4, 0, 40}, {"unknown next header", 4, 1, 6},
}

func (p path) v6() bool { return p.client[0] == '[' }

func (p path) troubles() []trouble {
	if p.v6() {
		return troubles6
	}
	return troubles4
}

// router returns the address of a router that is not on the link.
func (p path) router() string {
	if p.v6() {
		return "2001:db8:bad::9"
	}
	return "192.0.9.9"
}

// about builds an error of a router about the packet in frame.
func (p path) about(e trouble, frame []byte, opts ...pt.Option) []byte {
	return p.aboutQuote(e, frame[ipAt:], opts...)
}

func (p path) aboutQuote(e trouble, quote []byte, opts ...pt.Option) []byte {
	sender, _ := netip.AddrFromSlice(quote[12:16])
	if p.v6() {
		sender, _ = netip.AddrFromSlice(quote[8:24])
	}
	return pt.ICMPError(e.typ, e.code, e.rest, p.router(), sender.String(), quote, opts...)
}

// tooBig is what routers send about the packet in frame.
func (p path) tooBig(frame []byte, opts ...pt.Option) []byte {
	e := trouble{"", packet.ICMPUnreachable, 4, 1400}
	if p.v6() {
		e = trouble{"", packet.ICMPv6PacketTooBig, 0, 1400}
	}
	return p.about(e, frame, opts...)
}

// A passage is a packet of one end of a flow, before and after it went through
// the node.
type passage struct {
	name     string
	in, out  []byte
	side     uint8   // interface that errors about it come in on
	back     uint8   // interface that they leave by
	src, dst string  // whom they are from and to then
	mac      [6]byte // likewise
}

// passages sends a packet of each end of a flow in nat.
func (c *conn) passages(opts ...pt.Option) []passage {
	t := c.n.t
	up := c.p.open(append([]pt.Option{pt.Flags("A"), pt.SeqAck(1, 101)}, opts...)...)
	down := c.answer(append([]pt.Option{pt.Flags("A"), pt.SeqAck(101, 1), pt.MACs(backendMAC(lastByte(c.backend)), nodeMAC1)}, opts...)...)
	client, vip := netip.MustParseAddrPort(c.p.client).Addr(), netip.MustParseAddrPort(c.p.vip).Addr()
	return []passage{
		{name: "of the client", in: up, out: c.n.one(clientSide, up).sent(t, serverSide).frame, side: serverSide,
			src: vip.String(), dst: client.String(), mac: routerMAC, back: clientSide},
		{name: "of the backend", in: down, out: c.n.one(serverSide, down).sent(t, clientSide).frame, side: clientSide,
			src: c.snip.Addr().String(), dst: c.backend.Addr().String(), mac: backendMAC(lastByte(c.backend)), back: serverSide},
	}
}

// routed returns the packet in frame as a router sees it behind the node's
// translation, had there been none: one less of its TTL.
func routed(frame []byte) []byte {
	ip := append([]byte(nil), frame[ipAt:]...)
	if ip[0]>>4 == 6 {
		ip[7]--
		return ip
	}
	ip[8]--
	header := ip[:int(ip[0]&15)*4]
	header[10], header[11] = 0, 0
	binary.BigEndian.PutUint16(header[10:], pt.SlowChecksum(header))
	return ip
}

// quoteOf returns what an ICMP error quotes.
func quoteOf(o outcome) []byte { return o.frame[o.QuoteL3():o.End] }

// Every error about a translated packet reaches whoever sent it, and quotes it as
// it was sent.
func TestNATPassesErrorsOn(t *testing.T) {
	for _, p := range paths {
		n := newNode(t, testConfig(NAT, Maglev, 3))
		c := n.dial(p, 0)
		for _, way := range c.passages(pt.PayloadSize(100)) {
			for _, e := range p.troubles() {
				t.Run(fmt.Sprintf("%s/%s/%s", p.name, way.name, e.name), func(t *testing.T) {
					in := p.about(e, way.out, pt.TTL(2))
					o := n.one(way.side, in).sent(t, way.back)
					pt.Check(t, o.frame, pt.WantSrc(way.src), pt.WantDst(way.dst), pt.WantTTL(1), pt.WantICMP(e.typ, e.code))
					if packet.Ethernet(o.frame).Dst() != way.mac {
						t.Errorf("sent to %x, want %x", packet.Ethernet(o.frame).Dst(), way.mac)
					}
					if rest := o.ICMP(o.frame).Rest(); rest != e.rest || len(o.frame) != len(in) {
						t.Errorf("rest of header %#x, %d bytes; want %#x, %d", rest, len(o.frame), e.rest, len(in))
					}
					if got, want := quoteOf(o), routed(way.in); string(got) != string(want) {
						t.Errorf("quotes\n%x, want\n%x", got, want)
					}
				})
			}
		}
		if got := n.handler.Counters().Errors; got != uint64(2*len(p.troubles())) {
			t.Errorf("%s: %d errors counted", p.name, got)
		}
	}
}

// So does one about a flow of a service with many ports.
func TestErrorsAboutPortRanges(t *testing.T) {
	for _, ports := range []PortRange{Ports(80, 90), AllPorts} {
		cfg := testConfig(NAT, Maglev, 3)
		for i := range cfg.Services {
			cfg.Services[i].Port = ports
		}
		n := newNode(t, cfg)
		for i, p := range paths {
			for _, way := range n.dial(p, i).passages() {
				o := n.one(way.side, p.tooBig(way.out)).sent(t, way.back)
				pt.Check(t, o.frame, pt.WantSrc(way.src), pt.WantDst(way.dst))
			}
		}
	}
}

// Whatever a router quotes, however much of it and whatever lies around, the
// translation there and back is none: the quote is what its sender sent.
func TestQuoteIsWhatWasSent(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		p := rapid.SampledFrom(paths).Draw(rt, "path")
		n := newNode(t, testConfig(NAT, Maglev, 2))
		c := n.dial(p, rapid.IntRange(0, 999).Draw(rt, "client"))
		opts := []pt.Option{
			pt.Payload(rapid.SliceOfN(rapid.Byte(), 0, 200).Draw(rt, "payload")),
			pt.TTL(uint8(rapid.IntRange(2, 255).Draw(rt, "TTL"))), pt.TOS(rapid.Byte().Draw(rt, "TOS")), pt.ID(rapid.Uint16().Draw(rt, "ID")),
		}
		if rapid.Bool().Draw(rt, "options") {
			opts = append(opts, pt.IPOption(148, 0, 0), pt.HopByHop(8), pt.DestinationOptions(24), pt.MSS(1460))
		}
		if p.name == "udp4" && rapid.Bool().Draw(rt, "no checksum") {
			opts = append(opts, pt.NoChecksum())
		}
		way := rapid.SampledFrom(c.passages(opts...)).Draw(rt, "way")
		size, e, behind := drawQuote(rt, p, way.out)
		quote := append(append([]byte(nil), way.out[ipAt:][:size]...), behind...)
		in := p.aboutQuote(e, quote, pt.TTL(uint8(rapid.IntRange(2, 255).Draw(rt, "hops"))))
		o := n.one(way.side, in)
		if o.Verdict != engine.Transmit {
			rt.Fatalf("dropped: %v", o.Reason)
		}
		if _, err := pt.Decode(o.frame); err != nil {
			rt.Fatal(err)
		}
		want := append(routed(way.in)[:size:size], behind...)
		if got := quoteOf(o); string(got) != string(want) {
			rt.Fatalf("quotes\n%x, want\n%x", got, want)
		}
	})
}

// drawQuote draws how many bytes of the packet in frame an error quotes, which
// error it is, and what follows the quote. Something does if the quote is whole
// or the error says how long it is (RFC 4884).
func drawQuote(rt *rapid.T, p path, frame []byte) (size int, e trouble, behind []byte) {
	var sent packet.Info
	packet.Parse(frame, &sent)
	least, most := int(sent.L4)+8-ipAt, int(sent.End)-ipAt
	size = rapid.IntRange(least, most).Draw(rt, "quoted")
	if size == least+9 {
		size++ // half a TCP checksum stays as it is: whoever reads it needs both halves
	}
	e = rapid.SampledFrom(p.troubles()).Draw(rt, "error")
	tail := rapid.SliceOfN(rapid.Byte(), 0, 40)
	if !rapid.Bool().Draw(rt, "extended") {
		if size == most {
			behind = tail.Draw(rt, "padding")
		}
		return size, e, behind
	}
	switch {
	case !p.v6():
		size &^= 3
		e.rest |= uint32(size/4) << 16
	case e.typ == packet.ICMPv6Unreachable || e.typ == packet.ICMPv6TimeExceeded:
		size &^= 7
		e.rest |= uint32(size/8) << 24
	default:
		return size, e, nil
	}
	return size, e, tail.Draw(rt, "extensions")
}

// Of a fragmented datagram, the first fragment has the ports: errors about it are
// passed on. It is quoted with the identification that nat gave it.
func TestErrorsAboutFirstFragments(t *testing.T) {
	for _, p := range []path{paths[1], paths[3]} {
		n := newNode(t, testConfig(NAT, Maglev, 2))
		for _, way := range n.dial(p, 0).passages(pt.Fragment(0, true), pt.PayloadSize(64)) {
			o := n.one(way.side, p.tooBig(way.out)).sent(t, way.back)
			pt.Check(t, o.frame, pt.WantSrc(way.src), pt.WantDst(way.dst))
			var sent packet.Info
			packet.Parse(way.in, &sent)
			if got, want := o.frame[o.QuoteL4:o.QuoteEnd], way.in[sent.L4:sent.End]; string(got) != string(want) {
				t.Errorf("%s, %s: quotes\n%x, want\n%x", p.name, way.name, got, want)
			}
		}
	}
}

// In dsr the packet was the backend's own: the error reaches it as it is.
func TestDSRPassesErrorsOn(t *testing.T) {
	for _, p := range paths {
		n := newNode(t, testConfig(DSR, RoundRobin, 3))
		for i := range 6 {
			flow := p.from(i)
			mac := n.one(clientSide, flow.open()).sent(t, serverSide).frame[:6]
			for _, e := range p.troubles() {
				in := p.about(e, flow.build(flow.vip, flow.client, pt.PayloadSize(9)), pt.TTL(1))
				o := n.one(clientSide, in).sent(t, serverSide)
				if string(o.frame[:6]) != string(mac) || string(o.frame[12:]) != string(in[12:]) {
					t.Errorf("%s, flow %d, %s: %x left, want %x to %x", p.name, i, e.name, o.frame, in, mac)
				}
			}
		}
		if got := n.total(); got.NewFlows != 6 || got.Packets != 6 {
			t.Errorf("%s: %+v, want 6 packets of 6 flows", p.name, got)
		}
	}
}

// A flow in dsr without a record is where the hash says, for errors as for its
// packets; the errors make no record.
func TestDSRErrorsWithoutRecordGoByHash(t *testing.T) {
	for _, by := range []Affinity{None, BySource} {
		cfg := testConfig(DSR, Maglev, 5)
		for i := range cfg.Services {
			cfg.Services[i].Persistence.By = by
		}
		for _, p := range paths {
			n := newNode(t, cfg)
			for i := range 20 {
				flow := p.from(i)
				o := n.one(clientSide, p.tooBig(flow.build(flow.vip, flow.client))).sent(t, serverSide)
				if n.total().Flows != uint64(i) {
					t.Fatalf("%s: an error opened a flow", p.name)
				}
				packet := n.one(clientSide, flow.open(pt.Flags("A"))).sent(t, serverSide)
				if string(packet.frame[:6]) != string(o.frame[:6]) {
					t.Fatalf("%s, persistence %v: error to %x, packet to %x", p.name, by, o.frame[:6], packet.frame[:6])
				}
			}
		}
	}
}

// Without a backend there is nowhere to go by hash.
func TestDSRErrorsWithoutBackend(t *testing.T) {
	for _, p := range paths {
		n := newNode(t, testConfig(DSR, Maglev, 0))
		n.one(clientSide, p.tooBig(p.build(p.vip, p.client))).dropped(t, packet.ICMPNoFlow)
	}
}

// An error about a flow in a tunnel goes through the flow's tunnel.
func TestTunnelsPassErrorsOn(t *testing.T) {
	for _, tc := range tunnelCases() {
		for _, p := range paths {
			n := newNode(t, tc.config(RoundRobin, 3))
			for i := range 6 {
				flow := p.from(i)
				outer, _ := unwrap(t, n.one(clientSide, flow.open()).sent(t, serverSide))
				for _, e := range p.troubles() {
					in := p.about(e, flow.build(flow.vip, flow.client, pt.PayloadSize(9)), pt.TTL(1))
					got, inner := unwrap(t, n.one(clientSide, in).sent(t, serverSide))
					if got.Checksum = outer.Checksum; *got != *outer || string(inner[ipAt:]) != string(in[ipAt:]) {
						t.Errorf("%s/%s, %s: %x in %+v, want %x in %+v", tc.name, p.name, e.name, inner, got, in, outer)
					}
				}
			}
		}
	}
}

// Errors that nobody may believe.
func TestErrorsThatGoNowhere(t *testing.T) {
	tcp4, udp4, tcp6 := paths[0], paths[1], paths[2]
	n := newNode(t, testConfig(NAT, Maglev, 2))
	c4, c6 := n.dial(tcp4, 0), n.dial(tcp6, 0)
	down4, down6 := c4.passages(pt.PayloadSize(8))[1].out, c6.passages(pt.PayloadSize(8))[1].out
	up4, up6 := c4.passages(pt.PayloadSize(8))[0].out, c6.passages(pt.PayloadSize(8))[0].out
	other := func(host string, c *conn) []byte {
		return tcp4.tooBig(pt.TCP(c.snip.String(), netip.AddrPortFrom(netip.MustParseAddr(host), c.backend.Port()).String()))
	}
	port := c4.snip.Port() ^ 1
	for _, tc := range []struct {
		name  string
		side  uint8
		frame []byte
		why   packet.Reason
	}{
		{"another client's flow", clientSide, tcp4.tooBig(pt.TCP(tcp4.vip, "192.0.2.8:40000")), packet.ICMPNoFlow},
		{"another client's flow v6", clientSide, tcp6.tooBig(pt.TCP(tcp6.vip, "[2001:db8:c::8]:40000")), packet.ICMPNoFlow},
		{"the client's other port", clientSide, tcp4.tooBig(pt.TCP(tcp4.vip, "192.0.2.7:40001")), packet.ICMPNoFlow},
		{"the same ports of UDP", clientSide, tcp4.tooBig(pt.UDP(udp4.vip, udp4.client)), packet.ICMPNoFlow},
		{"a port without service", clientSide, tcp4.tooBig(pt.TCP("198.51.100.10:81", tcp4.client)), packet.ICMPNoFlow},
		{"another port of the SNIP", serverSide, tcp4.tooBig(pt.TCP(netip.AddrPortFrom(c4.snip.Addr(), port).String(), c4.backend.String())), packet.ICMPNoFlow},
		{"another backend", serverSide, other("10.1.0.99", c4), packet.ICMPNoFlow},
		{"UDP of the SNIP", serverSide, tcp4.tooBig(pt.UDP(c4.snip.String(), c4.backend.String())), packet.ICMPNoFlow},
		{"the translated packet, at the VIP", clientSide, tcp4.tooBig(pt.TCP(tcp4.vip, c4.backend.String())), packet.ICMPNoFlow},
		{"what the client sent", clientSide, pt.ICMPError(3, 4, 1400, "192.0.9.9", "198.51.100.10", tcp4.open()[ipAt:]), packet.BadQuote},
		{"neither VIP nor SNIP", clientSide, tcp4.tooBig(pt.TCP("198.51.100.99:80", tcp4.client)), packet.NotOurs},
		{"a ping of the VIP", clientSide, tcp4.tooBig(pt.Echo("198.51.100.10", "192.0.2.7")), packet.ICMPUnhandled},
		{"a ping of the VIP v6", clientSide, tcp6.tooBig(pt.Echo("2001:db8:1::10", "2001:db8:c::7")), packet.ICMPUnhandled},
		{"a later fragment", clientSide, tcp4.tooBig(pt.TCP(tcp4.vip, tcp4.client, pt.Fragment(64, false), pt.PayloadSize(8))), packet.ICMPUnhandled},
		{"redirect", clientSide, tcp4.about(trouble{"", 5, 1, 0xcb007101}, down4), packet.ICMPUnhandled},
		{"redirect v6", clientSide, tcp6.about(trouble{"", 137, 0, 0}, down6), packet.ICMPUnhandled},
		{"source quench", serverSide, tcp4.about(trouble{"", 4, 0, 0}, up4), packet.ICMPUnhandled},
		{"unknown error v6", serverSide, tcp6.about(trouble{"", 5, 0, 0}, up6), packet.ICMPUnhandled},
		{"damaged", clientSide, damaged(tcp4.tooBig(down4)), packet.BadL4Checksum},
		{"damaged v6", serverSide, damaged(tcp6.tooBig(up6)), packet.BadL4Checksum},
		{"a fragment", clientSide, tcp4.tooBig(down4, pt.Fragment(0, true)), packet.Fragment},
		{"the last hop", clientSide, tcp4.tooBig(down4, pt.TTL(1)), packet.TTLExceeded},
		{"the last hop v6", serverSide, tcp6.tooBig(up6, pt.TTL(1)), packet.TTLExceeded},
		{"from the VIP", serverSide, pt.ICMPError(3, 4, 1400, "198.51.100.10", c4.snip.Addr().String(), up4[ipAt:]), packet.BadSource},
		{"from a SNIP", clientSide, pt.ICMPError(2, 0, 1400, "fd00:1::254", "2001:db8:1::10", down6[ipAt:]), packet.BadSource},
	} {
		t.Run(tc.name, func(t *testing.T) { n.one(tc.side, tc.frame).dropped(t, tc.why) })
	}
	if got := n.handler.Counters(); got.Errors != 0 || got.Answers != [packet.Reasons]uint64{} {
		t.Errorf("%d errors passed on, answers %v", got.Errors, got.Answers)
	}
	c4.intact()
	c6.intact()
}

// damaged changes a bit of a frame's last byte.
func damaged(frame []byte) []byte {
	frame[len(frame)-1] ^= 4
	return frame
}

// Errors to a SNIP come from where the backends are, and errors to whomever are
// addressed to the node.
func TestErrorsFromElsewhere(t *testing.T) {
	cfg := testConfig(NAT, Maglev, 2)
	cfg.ServerPlane = 1 << serverSide
	n := newNode(t, cfg)
	for i, p := range paths {
		for _, way := range n.dial(p, i).passages() {
			n.one(way.side, p.tooBig(way.out, pt.MACs(routerMAC, backendMAC(1)))).dropped(t, packet.OtherStation)
			n.one(way.side, p.tooBig(way.out)).sent(t, way.back)
			if way.side == serverSide {
				n.one(clientSide, p.tooBig(way.out)).dropped(t, packet.WrongPlane)
			}
		}
	}
}

// An error changes nothing of the flow that it is about, be it true or forged.
func TestErrorsLeaveNoTrace(t *testing.T) {
	for _, p := range paths {
		n := newNode(t, testConfig(NAT, Maglev, 2))
		c := n.dial(p, 0)
		ways := c.passages(pt.PayloadSize(8))
		before, packets := n.flow(p), n.total().Packets
		for _, way := range ways {
			for _, e := range p.troubles() {
				n.now += int64(time.Second)
				n.one(way.side, p.about(e, way.out)).sent(t, way.back)
			}
		}
		after := n.flow(p)
		before.Expires -= time.Duration(2*len(p.troubles())) * time.Second
		if after != before {
			t.Errorf("%s: flow was %+v, is %+v", p.name, before, after)
		}
		if got := n.total(); got.Flows != 1 || got.NewFlows != 1 || got.Packets != packets {
			t.Errorf("%s: %+v, want one flow of %d packets", p.name, got, packets)
		}
		c.intact()
	}
}

// flow returns the record of a path's flow.
func (n *testNode) flow(p path) Flow {
	n.t.Helper()
	proto := TCP
	if p.name[:3] == "udp" {
		proto = UDP
	}
	n.handler.begin(&n.snapshot, n.now)
	f, ok := n.handler.Find(n.snapshot.Hasher, Tuple{netip.MustParseAddrPort(p.client), netip.MustParseAddrPort(p.vip), proto})
	if !ok {
		n.t.Fatalf("%s has no record", p.name)
	}
	return f
}

// Flows that are over have no errors: those whose SNIP or backend is gone,
// those that expired, those that gave way to a new one of the same client's port.
func TestErrorsAboutFlowsThatAreOver(t *testing.T) {
	for _, p := range paths {
		cfg := testConfig(NAT, Maglev, 2)
		n := newNode(t, cfg)
		c := n.dial(p, 0)
		ways := c.passages()
		gone := func(what string, why ...packet.Reason) {
			t.Helper()
			for i, way := range ways {
				o := n.one(way.side, p.tooBig(way.out))
				if o.Verdict != engine.Drop || o.Reason != why[i] {
					t.Errorf("%s, %s, packet %s: verdict %d, %v", p.name, what, way.name, o.Verdict, o.Reason)
				}
			}
		}
		fewer := clone(cfg)
		fewer.SNIPs = addrs("10.1.0.253", "fd00:1::253")
		if c.snip.Addr() == fewer.SNIPs[0] || c.snip.Addr() == fewer.SNIPs[1] {
			fewer.SNIPs = addrs("10.1.0.254", "fd00:1::254")
		}
		n.load(fewer)
		gone("SNIP left", packet.NotOurs, packet.ICMPNoFlow)
		n.load(cfg)
		for i := range fewer.Services {
			fewer.Services[i].Backends = cfg.Services[i].Backends[2-lastByte(c.backend):][:1]
		}
		fewer.SNIPs = cfg.SNIPs
		n.load(fewer)
		gone("backend left", packet.ICMPNoFlow, packet.ICMPNoFlow)
		n.load(cfg)
		n.pass(24 * time.Hour)
		gone("expired", packet.ICMPNoFlow, packet.ICMPNoFlow)
	}

	n := newNode(t, testConfig(NAT, RoundRobin, 2))
	c := n.dial(paths[0], 0)
	up := c.passages()[0].out
	n.one(serverSide, c.answer(pt.Flags("R"), pt.SeqAck(101, 0))).sent(t, clientSide)
	n.one(clientSide, c.p.open()).sent(t, serverSide)
	n.one(serverSide, c.p.tooBig(up)).dropped(t, packet.ICMPNoFlow)
}

// An error that can't be sent is dropped, and draws no answer.
func TestErrorsThatDoNotFit(t *testing.T) {
	cfg := testConfig(NAT, Maglev, 0)
	cfg.Services[0].Backends = []BackendConfig{{Name: "b", Address: addrs("10.2.0.1")[0], Weight: 1}} // MTU 1400
	p := paths[0]
	quote := pt.TCP(p.vip, p.client, pt.PayloadSize(1340))
	for _, mode := range []Mode{NAT, DSR} {
		n := newNode(t, withMode(cfg, mode))
		n.one(clientSide, p.open()).sent(t, serverSide)
		n.one(clientSide, p.aboutQuote(troubles4[0], quote[ipAt:][:1372])).sent(t, serverSide)
		n.one(clientSide, p.aboutQuote(troubles4[0], quote[ipAt:][:1373])).dropped(t, packet.TooBig)

		in := testNetwork()
		in.Neighbours = nil
		n.routes = compile(t, in)
		n.load(withMode(cfg, mode))
		n.one(clientSide, p.tooBig(quote)).dropped(t, packet.NoNeighbour)
		in.Routes = nil
		n.routes = compile(t, in)
		n.load(withMode(cfg, mode))
		n.one(clientSide, p.tooBig(quote)).dropped(t, packet.NoRoute)
	}
}

// The way to the client may be missing, too. Its packets' sender stands in for a
// neighbour that isn't known yet, as for answers.
func TestErrorsWithoutAWayToTheClient(t *testing.T) {
	n := newNode(t, testConfig(NAT, Maglev, 1))
	c := n.dial(paths[2], 0)
	up := c.passages()[0].out
	in := testNetwork()
	in.Neighbours = nil
	n.routes = compile(t, in)
	n.load(testConfig(NAT, Maglev, 1))
	n.one(serverSide, c.p.tooBig(up)).dropped(t, packet.NoNeighbour)
	in.Routes = nil
	n.routes = compile(t, in)
	n.load(testConfig(NAT, Maglev, 1))
	n.one(serverSide, c.p.tooBig(up)).dropped(t, packet.NoRoute)

	cfg := testConfig(NAT, Maglev, 1)
	cfg.ReturnToSender = true
	n = newNode(t, cfg)
	c = n.dial(paths[2], 0)
	up = c.passages()[0].out
	sender := [6]byte{2, 0, 0, 0, 9, 9}
	n.one(clientSide, c.p.open(pt.Flags("A"), pt.MACs(sender, nodeMAC0))).sent(t, serverSide)
	o := n.one(serverSide, c.p.tooBig(up)).sent(t, clientSide)
	if packet.Ethernet(o.frame).Dst() != sender {
		t.Errorf("sent to %x, want the client's router %x", packet.Ethernet(o.frame).Dst(), sender)
	}
	n.one(clientSide, c.p.tooBig(c.passages()[1].out, pt.MACs(routerMAC, nodeMAC0))).sent(t, serverSide)
	n.one(clientSide, c.p.open(pt.Flags("A"), pt.MACs(sender, nodeMAC0))).sent(t, serverSide)
}

// Tags are pushed, popped and swapped for errors as for other packets.
func TestErrorsOnVLANs(t *testing.T) {
	n := newNode(t, vlanConfig())
	p := paths[0]
	p.client = "192.0.10.1:5000"
	c := &conn{n: n, p: p}
	c.snip, c.backend = ends(t, n.one(clientSide, p.open(pt.VLAN(10))).sent(t, serverSide).frame)
	up := pt.TCP(c.snip.String(), c.backend.String(), pt.PayloadSize(40))
	down := pt.TCP(p.vip, p.client, pt.PayloadSize(40))
	pt.Check(t, n.one(serverSide, p.tooBig(up, pt.VLAN(20), pt.Priority(3))).sent(t, clientSide).frame,
		pt.WantVLAN(10, 3), pt.WantSrc("198.51.100.10"), pt.WantDst("192.0.10.1"))
	pt.Check(t, n.one(clientSide, p.tooBig(down)).sent(t, serverSide).frame,
		pt.WantVLAN(20, 0), pt.WantSrc(c.snip.Addr().String()), pt.WantDst("10.2.0.1"))
}
