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
	"appliance/internal/fib"
	"appliance/rss"
)

// The network of the tests:
//
//	clients 192.0.2.0/24 ── router 203.0.113.1 ──┤0    ├1── backends 10.1.0.1 .. 10.1.0.250
//	        2001:db8:c::/64        2001:db8:f::1 │ node │            fd00:1::1 ..
//	                                             │      ├1, VLAN 20 ── backends 10.2.0.1 .., fd00:2::1 ..
//	clients on VLAN 10: 192.0.10.0/24 ──────VLAN 10┤0
//
// The VIPs are 198.51.100.10 and 2001:db8:1::10, the SNIPs 10.1.0.254,
// 10.1.0.253 and fd00:1::254, fd00:1::253.
const (
	clientSide = 0
	serverSide = 1
)

var (
	nodeMAC0  = [6]byte{2, 0, 0, 0, 0, 0xa0}
	nodeMAC1  = [6]byte{2, 0, 0, 0, 0, 0xa1}
	routerMAC = [6]byte{2, 0, 0, 0, 0, 0xff}
)

// backendMAC is the link-layer address of the backend with this last byte.
func backendMAC(host byte) [6]byte { return [6]byte{2, 0, 0, 0, 1, host} }

// testNetwork is the network above; backends up to host number 100 are
// neighbours.
func testNetwork() fib.Input {
	const link0, link1, vlan10, vlan20 = 1, 2, 3, 4
	in := fib.Input{Links: []fib.Link{
		{Index: link0, Interface: clientSide, MAC: nodeMAC0, MTU: 1500, Up: true},
		{Index: link1, Interface: serverSide, MAC: nodeMAC1, MTU: 1500, Up: true},
		{Index: vlan10, Interface: clientSide, VLAN: 10, MAC: nodeMAC0, MTU: 1500, Up: true},
		{Index: vlan20, Interface: serverSide, VLAN: 20, MAC: nodeMAC1, MTU: 1400, Up: true},
	}}
	route := func(prefix string, link int, via string) {
		r := fib.Route{Prefix: netip.MustParsePrefix(prefix), Hops: []fib.Hop{{Link: link}}}
		if via != "" {
			r.Hops[0].Via = netip.MustParseAddr(via)
		}
		in.Routes = append(in.Routes, r)
	}
	route("203.0.113.0/24", link0, "")
	route("2001:db8:f::/64", link0, "")
	route("192.0.2.0/24", link0, "203.0.113.1")
	route("2001:db8:c::/64", link0, "2001:db8:f::1")
	route("10.1.0.0/24", link1, "")
	route("fd00:1::/64", link1, "")
	route("10.2.0.0/24", vlan20, "")
	route("fd00:2::/64", vlan20, "")
	route("192.0.10.0/24", vlan10, "")
	route("10.9.0.0/24", link1, "10.1.0.1")
	neighbour := func(addr string, link int, mac [6]byte) {
		in.Neighbours = append(in.Neighbours, fib.Neighbour{Addr: netip.MustParseAddr(addr), Link: link, MAC: mac})
	}
	neighbour("203.0.113.1", link0, routerMAC)
	neighbour("2001:db8:f::1", link0, routerMAC)
	neighbour("192.0.10.1", vlan10, routerMAC)
	for host := 1; host <= 100; host++ {
		neighbour(fmt.Sprintf("10.1.0.%d", host), link1, backendMAC(byte(host)))
		neighbour(fmt.Sprintf("fd00:1::%x", host), link1, backendMAC(byte(host)))
		neighbour(fmt.Sprintf("10.2.0.%d", host), vlan20, backendMAC(byte(host)))
		neighbour(fmt.Sprintf("fd00:2::%x", host), vlan20, backendMAC(byte(host)))
	}
	return in
}

func compile(t testing.TB, in fib.Input) *fib.Table {
	t.Helper()
	table, err := fib.Compile(in)
	if err != nil {
		t.Fatal(err)
	}
	return table
}

// The modes, and those in which backends answer clients by themselves.
var (
	allModes    = []Mode{NAT, DSR, IPIP, GUE}
	directModes = allModes[1:]
	tunnelModes = allModes[2:]
)

// testConfig is a service of each protocol and family, all in one mode, with n
// backends each.
func testConfig(mode Mode, method Method, n int) Config {
	cfg := Config{
		SNIPs: addrs("10.1.0.254", "10.1.0.253", "fd00:1::254", "fd00:1::253"),
		Encap: EncapConfig{Sources: []netip.Prefix{prefix("10.200.1.0/24"), prefix("fd00:200::/64")}},
	}
	for _, v := range []struct{ family, vip, backend string }{
		{"4", "198.51.100.10", "10.1.0.%d"}, {"6", "2001:db8:1::10", "fd00:1::%x"},
	} {
		for _, proto := range []Protocol{TCP, UDP} {
			s := ServiceConfig{
				Name: proto.String() + v.family, VIP: netip.MustParseAddr(v.vip),
				Port: 80, Protocol: proto, Mode: mode, Method: method,
			}
			for i := 1; i <= n; i++ {
				s.Backends = append(s.Backends, BackendConfig{
					Name: fmt.Sprintf("b%d", i), Address: netip.MustParseAddr(fmt.Sprintf(v.backend, i)), Weight: 1,
				})
			}
			cfg.Services = append(cfg.Services, s)
		}
	}
	return cfg
}

func addrs(list ...string) (all []netip.Addr) {
	for _, a := range list {
		all = append(all, netip.MustParseAddr(a))
	}
	return all
}

// A testNode is one Handler and what it needs, with an engine that tests drive
// frame by frame.
type testNode struct {
	t        testing.TB
	builder  *Builder
	routes   *fib.Table
	down     map[string]bool // "service/backend"
	arena    *engine.Arena
	handler  *Handler
	snapshot engine.Snapshot
	now      int64
	held     map[uint32]bool              // frames that the handler has
	tap      func(in uint8, frame []byte) // sees each received frame; may be nil
}

const testCapacity = 4096

func newNode(t testing.TB, cfg Config) *testNode { return newSizedNode(t, cfg, testCapacity, 64) }

func newSizedNode(t testing.TB, cfg Config, capacity, frames int) *testNode {
	t.Helper()
	hasher := rss.NewHasher(rss.MicrosoftKey)
	cores, err := rss.NewCoreTable(1)
	if err != nil {
		t.Fatal(err)
	}
	arena, err := engine.NewArena(frames, 2048)
	if err != nil {
		t.Fatal(err)
	}
	h, err := NewHandler(HandlerConfig{Arena: arena, Engines: 1, Capacity: capacity, Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := h.Close(); err != nil {
			t.Error(err)
		}
		if err := arena.Close(); err != nil {
			t.Error(err)
		}
	})
	n := &testNode{
		t: t, builder: NewBuilder(hasher), routes: compile(t, testNetwork()), down: map[string]bool{}, held: map[uint32]bool{},
		arena: arena, handler: h, now: int64(time.Hour),
		snapshot: engine.Snapshot{Hasher: hasher, Cores: cores},
	}
	n.load(cfg)
	return n
}

// load builds and publishes a configuration.
func (n *testNode) load(cfg Config) {
	n.t.Helper()
	s, err := n.builder.Build(cfg, func(service, backend string) bool { return !n.down[service+"/"+backend] }, n.routes)
	if err != nil {
		n.t.Fatal(err)
	}
	n.snapshot.App = s
}

func (n *testNode) services() *Services { return n.snapshot.App.(*Services) }

// pass lets time go by.
func (n *testNode) pass(d time.Duration) {
	for ; d > 0; d -= time.Second {
		n.now += int64(min(d, time.Second))
		n.handler.Housekeep(&n.snapshot, n.now)
	}
}

// An outcome is what became of a frame.
type outcome struct {
	engine.Packet
	frame []byte // as it stands after Decide
}

// receive runs frames, as one batch, through parse, hash and Decide. A frame
// that Parse refuses is dropped for that reason, as the engine does.
func (n *testNode) receive(in uint8, frames ...[]byte) []outcome {
	n.t.Helper()
	out := make([]outcome, len(frames))
	var batch []engine.Packet
	var at []int
	number := uint32(0)
	for i, f := range frames {
		f = toNode(in, f)
		if n.tap != nil {
			n.tap(in, f)
		}
		for n.held[number] {
			number++
		}
		p := n.place(number, in, f)
		number++
		if p.Reason != packet.OK {
			out[i] = outcome{p, f}
			continue
		}
		batch, at = append(batch, p), append(at, i)
	}
	for j, o := range n.decide(batch) {
		out[at[j]] = o
	}
	return out
}

// toNode returns the frame, addressed to the node's interface unless the test says
// to whom it goes.
func toNode(in uint8, f []byte) []byte {
	if len(f) < packet.EthernetSize || [6]byte(f) != pt.DstMAC {
		return f
	}
	mac := [][6]byte{nodeMAC0, nodeMAC1}[in]
	return append(mac[:], f[6:]...)
}

// decide has the handler decide a batch. A packet that it holds may come out in
// another's place.
func (n *testNode) decide(batch []engine.Packet) (out []outcome) {
	n.t.Helper()
	for _, p := range batch {
		n.held[p.Frame] = true
	}
	n.handler.Decide(&n.snapshot, n.now, batch)
	for _, p := range batch {
		if p.Verdict != engine.Hold {
			delete(n.held, p.Frame)
		}
		out = append(out, outcome{p, append([]byte(nil), n.arena.Bytes(p.Segment)...)})
	}
	if len(n.held) != n.handler.Held() {
		n.t.Fatalf("the handler holds %d frames, and says %d", len(n.held), n.handler.Held())
	}
	return out
}

// release is the handler's next passes, in which nothing is received but what it
// held comes back.
func (n *testNode) release() (out []outcome) {
	n.t.Helper()
	batch := make([]engine.Packet, 17)
	for {
		got := n.handler.Release(batch)
		if got == 0 {
			return out
		}
		out = append(out, n.decide(batch[:got])...)
	}
}

// place puts a frame into the arena as a received packet.
func (n *testNode) place(number uint32, in uint8, f []byte) engine.Packet {
	p := engine.Packet{Segment: engine.Segment{Frame: number, Off: engine.Headroom, Len: uint16(len(f))}, In: in}
	copy(n.arena.Bytes(p.Segment), f)
	p.Reason = packet.Parse(f, &p.Info)
	if p.Flags&packet.FlagICMPError != 0 && !packet.VerifyL4(f, &p.Info) {
		p.Reason = packet.BadL4Checksum
	}
	if p.Reason == packet.OK {
		p.Hash = hashOf(n.snapshot.Hasher, f, &p.Info)
	}
	return p
}

// one is receive for a single frame.
func (n *testNode) one(in uint8, frame []byte) outcome {
	n.t.Helper()
	return n.receive(in, frame)[0]
}

// hashOf hashes as the engine does.
func hashOf(h *rss.Hasher, frame []byte, info *packet.Info) uint32 {
	if info.Flags&packet.FlagICMPError != 0 {
		return hashOfQuote(h, frame[info.QuoteL3():], info)
	}
	ports := info.Flags&packet.FlagPorts != 0
	if info.Flags&packet.FlagIPv6 != 0 {
		addrs := (*[32]byte)(frame[info.L3+8:])
		if ports {
			return h.IPv6(addrs, info.Ports())
		}
		return h.IPv6Addrs(addrs)
	}
	addrs := binary.BigEndian.Uint64(frame[info.L3+12:])
	if ports {
		return h.IPv4(addrs, info.Ports())
	}
	return h.IPv4Addrs(addrs)
}

// hashOfQuote hashes the packets that travel as the error does that quotes one.
func hashOfQuote(h *rss.Hasher, quote []byte, info *packet.Info) uint32 {
	if info.Flags&packet.FlagIPv6 != 0 {
		back := append(append([]byte{}, quote[24:40]...), quote[8:24]...)
		return h.IPv6((*[32]byte)(back), info.Ports())
	}
	back := append(append([]byte{}, quote[16:20]...), quote[12:16]...)
	return h.IPv4(binary.BigEndian.Uint64(back), info.Ports())
}

// sent fails the test unless the frame left through the interface.
func (o outcome) sent(t testing.TB, out uint8) outcome {
	t.Helper()
	if o.Verdict != engine.Transmit {
		t.Fatalf("packet was dropped: %v", o.Reason)
	}
	if o.Out != out {
		t.Fatalf("packet left through interface %d, want %d", o.Out, out)
	}
	return o
}

// dropped fails the test unless the frame was dropped for the reason.
func (o outcome) dropped(t testing.TB, why packet.Reason) {
	t.Helper()
	if o.Verdict != engine.Drop || o.Reason != why {
		t.Fatalf("verdict %d for reason %v, want drop for reason %v", o.Verdict, o.Reason, why)
	}
}
