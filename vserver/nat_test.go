package vserver

import (
	"fmt"
	"net/netip"
	"testing"

	"appliance/engine/packet"
	pt "appliance/engine/packet/packettest"
)

// A path is a protocol and family for table tests.
type path struct {
	name        string
	client, vip string // "address:port"
	build       func(src, dst string, opts ...pt.Option) []byte
}

var paths = []path{
	{"tcp4", "192.0.2.7:40000", "198.51.100.10:80", pt.TCP},
	{"udp4", "192.0.2.7:40000", "198.51.100.10:80", pt.UDP},
	{"tcp6", "[2001:db8:c::7]:40000", "[2001:db8:1::10]:80", pt.TCP},
	{"udp6", "[2001:db8:c::7]:40000", "[2001:db8:1::10]:80", pt.UDP},
}

// open builds a path's first packet.
func (p path) open(opts ...pt.Option) []byte {
	return p.build(p.client, p.vip, append([]pt.Option{pt.Flags("S"), pt.MACs(routerMAC, nodeMAC0)}, opts...)...)
}

func TestNATTranslatesBothWays(t *testing.T) {
	for _, p := range paths {
		for _, payload := range []int{0, 1, 500, 1440 - 40} {
			t.Run(fmt.Sprintf("%s/%d", p.name, payload), func(t *testing.T) {
				n := newNode(t, testConfig(NAT, Maglev, 3))
				out := n.one(clientSide, p.open(pt.PayloadSize(payload), pt.TTL(2))).sent(t, serverSide)
				snip, backend := ends(t, out.frame)
				pt.Check(t, out.frame, pt.WantTTL(1), pt.WantUntagged(), pt.WantPayloadLen(payload),
					pt.WantMACs(nodeMAC1, backendMAC(lastByte(backend))))
				if !isSNIP(snip.Addr()) || backend.Port() != 80 {
					t.Errorf("went from %v to %v", snip, backend)
				}

				reply := p.build(backend.String(), snip.String(), pt.Flags("SA"), pt.PayloadSize(payload), pt.TTL(64))
				back := n.one(serverSide, reply).sent(t, clientSide)
				pt.Check(t, back.frame, pt.WantSrc(p.vip), pt.WantDst(p.client), pt.WantTTL(63),
					pt.WantMACs(nodeMAC0, routerMAC), pt.WantPayloadLen(payload))
			})
		}
	}
}

// ends returns source and destination of a frame.
func ends(t testing.TB, frame []byte) (src, dst netip.AddrPort) {
	t.Helper()
	var info packet.Info
	if why := packet.Parse(frame, &info); why != packet.OK {
		t.Fatalf("frame does not parse: %v", why)
	}
	var from, to netip.Addr
	if info.Flags&packet.FlagIPv6 != 0 {
		from, to = netip.AddrFrom16(*info.IPv6(frame).Src()), netip.AddrFrom16(*info.IPv6(frame).Dst())
	} else {
		from, to = netip.AddrFrom4([4]byte(frame[info.L3+12:])), netip.AddrFrom4([4]byte(frame[info.L3+16:]))
	}
	return netip.AddrPortFrom(from, info.SrcPort), netip.AddrPortFrom(to, info.DstPort)
}

func isSNIP(a netip.Addr) bool {
	for _, s := range addrs("10.1.0.254", "10.1.0.253", "fd00:1::254", "fd00:1::253") {
		if a == s {
			return true
		}
	}
	return false
}

func lastByte(a netip.AddrPort) byte { b := a.Addr().As16(); return b[15] }

func TestNATKeepsUDPWithoutChecksum(t *testing.T) {
	n := newNode(t, testConfig(NAT, Maglev, 1))
	out := n.one(clientSide, paths[1].open(pt.NoChecksum(), pt.PayloadSize(9))).sent(t, serverSide)
	p, err := pt.Decode(out.frame)
	if err != nil {
		t.Fatal(err)
	}
	if p.UDP.Checksum != 0 {
		t.Errorf("checksum %#04x appeared", p.UDP.Checksum)
	}
}

func TestNATKeepsHeadersBetween(t *testing.T) {
	n := newNode(t, testConfig(NAT, Maglev, 1))
	for _, tc := range []struct {
		name string
		p    path
		opt  pt.Option
	}{
		{"IPv4 options", paths[0], pt.IPOption(148, 0, 0)},
		{"hop-by-hop", paths[2], pt.HopByHop(16)},
		{"destination options", paths[3], pt.DestinationOptions(24)},
		{"atomic fragment", paths[3], pt.Fragment(0, false)},
	} {
		t.Run(tc.name, func(t *testing.T) {
			in := tc.p.open(tc.opt, pt.PayloadSize(11))
			out := n.one(clientSide, in).sent(t, serverSide)
			if len(out.frame) != len(in) {
				t.Errorf("frame of %d bytes became %d", len(in), len(out.frame))
			}
			var info packet.Info
			if why := packet.Parse(out.frame, &info); why != packet.OK || !packet.VerifyL4(out.frame, &info) {
				t.Errorf("damaged: %v", why)
			}
		})
	}
}

func TestPaddingAndTrailers(t *testing.T) {
	n := newNode(t, testConfig(NAT, Maglev, 1))
	for _, tc := range []struct{ payload, trailer, want int }{
		{0, 6, 60}, {0, 0, 54}, {0, 100, 60}, {100, 50, 154},
	} {
		out := n.one(clientSide, paths[0].open(pt.PayloadSize(tc.payload), pt.Trailer(tc.trailer))).sent(t, serverSide)
		if len(out.frame) != tc.want {
			t.Errorf("payload %d, trailer %d: %d bytes left, want %d", tc.payload, tc.trailer, len(out.frame), tc.want)
		}
	}
}

func TestVLANs(t *testing.T) {
	onVLAN20 := testConfig(NAT, Maglev, 0)
	for i := range onVLAN20.Services {
		s := &onVLAN20.Services[i]
		backend := "10.2.0.5"
		if s.VIP.Is6() {
			backend = "fd00:2::5"
		}
		s.Backends = []BackendConfig{{Name: "b", Address: netip.MustParseAddr(backend), Weight: 1}}
	}
	for _, mode := range []Mode{NAT, DSR} {
		for _, p := range paths {
			for _, tc := range []struct {
				name string
				cfg  Config
				in   []pt.Option
				want pt.Checker
			}{
				{"untagged to untagged", testConfig(mode, Maglev, 1), nil, pt.WantUntagged()},
				{"pop", testConfig(mode, Maglev, 1), []pt.Option{pt.VLAN(10), pt.Priority(3)}, pt.WantUntagged()},
				{"push", withMode(onVLAN20, mode), nil, pt.WantVLAN(20, 0)},
				{"swap", withMode(onVLAN20, mode), []pt.Option{pt.VLAN(10), pt.Priority(3)}, pt.WantVLAN(20, 3)},
			} {
				t.Run(fmt.Sprintf("%v/%s/%s", mode, p.name, tc.name), func(t *testing.T) {
					n := newNode(t, tc.cfg)
					out := n.one(clientSide, p.open(append(tc.in, pt.PayloadSize(33))...)).sent(t, serverSide)
					pt.Check(t, out.frame, tc.want, pt.WantPayloadLen(33))
				})
			}
		}
	}
}

func withMode(cfg Config, mode Mode) Config {
	cfg = clone(cfg)
	for i := range cfg.Services {
		cfg.Services[i].Mode = mode
	}
	return cfg
}

// The client's VLAN counts on the way back too.
func TestReplyGoesToTheClientsVLAN(t *testing.T) {
	n := newNode(t, testConfig(NAT, Maglev, 1))
	p := paths[0]
	p.client = "192.0.10.1:5000"
	snip, backend := ends(t, n.one(clientSide, p.open(pt.VLAN(10))).sent(t, serverSide).frame)
	back := n.one(serverSide, p.build(backend.String(), snip.String(), pt.Flags("SA"))).sent(t, clientSide)
	pt.Check(t, back.frame, pt.WantVLAN(10, 0), pt.WantDst(p.client))
}

func TestDSRChangesNothingButMACs(t *testing.T) {
	for _, p := range paths {
		t.Run(p.name, func(t *testing.T) {
			n := newNode(t, testConfig(DSR, Maglev, 3))
			in := p.open(pt.PayloadSize(77), pt.TTL(1))
			out := n.one(clientSide, in).sent(t, serverSide)
			if string(out.frame[12:]) != string(in[12:]) {
				t.Error("bytes behind the MAC addresses changed")
			}
			again := n.one(clientSide, p.open(pt.Flags("A"))).sent(t, serverSide)
			if string(again.frame[:12]) != string(out.frame[:12]) {
				t.Error("the flow's second packet went elsewhere")
			}
		})
	}
}

func TestDSRNeedsTheBackendOnALink(t *testing.T) {
	cfg := testConfig(DSR, Maglev, 1)
	cfg.Services[0].Backends[0].Address = netip.MustParseAddr("10.9.0.1") // behind 10.1.0.1
	n := newNode(t, cfg)
	n.one(clientSide, paths[0].open()).dropped(t, packet.NoRoute)
}
