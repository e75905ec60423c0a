package vserver

import (
	"bytes"
	"fmt"
	"math"
	"net/netip"
	"testing"

	"appliance/engine"
	"appliance/engine/packet"
	pt "appliance/engine/packet/packettest"
	"appliance/rss"

	"pgregory.net/rapid"
)

// crossed gives each backend the address of the other family.
func crossed(cfg Config) Config {
	cfg = clone(cfg)
	for i := range cfg.Services {
		for j := range cfg.Services[i].Backends {
			b := &cfg.Services[i].Backends[j]
			host := lastByte(netip.AddrPortFrom(b.Address, 0))
			if b.Address.Is4() {
				b.Address = addrs(fmt.Sprintf("fd00:1::%x", host))[0]
			} else {
				b.Address = addrs(fmt.Sprintf("10.1.0.%d", host))[0]
			}
		}
	}
	return cfg
}

// A tunnelCase is a mode, with backends of either family.
type tunnelCase struct {
	name string
	mode Mode
	edit func(Config) Config // of testConfig
}

func tunnelCases() (all []tunnelCase) {
	for _, m := range tunnelModes {
		all = append(all,
			tunnelCase{m.String(), m, clone},
			tunnelCase{m.String() + ", backends of the other family", m, crossed})
	}
	return all
}

func (c tunnelCase) config(method Method, n int) Config { return c.edit(testConfig(c.mode, method, n)) }

// unwrap takes a packet out of what has left, which must be sound.
func unwrap(t testing.TB, o outcome) (*pt.Outer, []byte) {
	t.Helper()
	outer, inner, err := pt.Unwrap(o.frame)
	if err != nil {
		t.Fatalf("%v\n%x", err, o.frame)
	}
	return outer, inner
}

// The packet goes unchanged, in one to the backend that has all it should.
func TestTunnels(t *testing.T) {
	for _, tc := range tunnelCases() {
		for _, p := range paths {
			t.Run(tc.name+"/"+p.name, func(t *testing.T) {
				n := newNode(t, tc.config(Maglev, 3))
				in := p.open(pt.PayloadSize(77), pt.TTL(1), pt.TOS(0xba), pt.MSS(1460))
				out := n.one(clientSide, in).sent(t, serverSide)
				o, inner := unwrap(t, out)
				if !bytes.Equal(inner[14:], in[14:]) {
					t.Errorf("inside is\n%x\nwant\n%x", inner[14:], in[14:])
				}
				source, _ := n.services().config.Encap.source(o.Dst)
				if !source.Contains(o.Src) || o.TTL != 64 || o.TOS != 0xba || o.DF != o.Dst.Is4() {
					t.Errorf("outside is %+v", o)
				}
				if gue := tc.mode == GUE; gue != (o.DstPort == DefaultGUEPort) {
					t.Errorf("to port %d", o.DstPort)
				}
				if got := [6]byte(out.frame[:6]); got != backendMAC(lastByte(netip.AddrPortFrom(o.Dst, 0))) || [6]byte(out.frame[6:]) != nodeMAC1 {
					t.Errorf("to %v by way of % x", o.Dst, out.frame[:12])
				}
				again, _ := unwrap(t, n.one(clientSide, p.open(pt.Flags("A"), pt.TOS(0xba))).sent(t, serverSide))
				if again.Checksum = o.Checksum; *again != *o {
					t.Errorf("the flow's second packet left in %+v, the first in %+v", again, o)
				}
				tuple := Tuple{netip.MustParseAddrPort(p.client), netip.MustParseAddrPort(p.vip), TCP}
				if p.name[:3] == "udp" {
					tuple.Protocol = UDP
				}
				if f, ok := n.handler.Find(n.snapshot.Hasher, tuple); !ok || f.Source != netip.AddrPortFrom(o.Src, o.SrcPort) || f.Backend.Address != o.Dst {
					t.Errorf("found %+v, %v, but it left in %+v", f, ok, o)
				}
				if got := n.total(); got.Packets != 2 || got.Bytes != uint64(len(in)-14)+uint64(len(p.open())-14) {
					t.Errorf("counted %+v: bytes are the client's", got)
				}
			})
		}
	}
}

// Flows that have the low bits of their hashes in common, as those of one
// engine of one node do, and those that Maglev gives to one of many backends,
// are spread over the sources all the same. With 253 degrees of freedom,
// chi-square is above 342 in one of 10,000 samples; these are always the same.
func TestSourcesAreSpread(t *testing.T) {
	n := newNode(t, testConfig(IPIP, Maglev, 100))
	svc := &n.services().services[0]
	tunnel := n.services().backends[svc.list[7]].tunnel
	for _, tc := range []struct {
		name    string
		low     uint32 // what the hashes have in common,
		per     uint32 // modulo a power of two
		backend bool   // and whether they are one backend's
	}{
		{"one bucket's", 77, DefaultBuckets, false},
		{"one backend's", 0, 1, true},
		{"one backend's of one core entry", 5, rss.CoreEntries, true},
	} {
		const flows, hosts = 254 * 40, 254
		count := map[netip.Addr]int{}
		ports := map[uint16]bool{}
		for i, found := uint32(0), 0; found < flows; i++ {
			hash := i*2654435761*tc.per + tc.low // goes through all of them, since the factor is odd
			if tc.backend && svc.byHash(hash) != svc.list[7] {
				continue
			}
			found++
			o := wrapBy(t, tunnel, hash)
			count[o.Src]++
			ports[uint16(entropy(hash))|0xc000] = true
		}
		chi, want := 0.0, float64(flows)/hosts
		for _, got := range count {
			chi += math.Pow(float64(got)-want, 2) / want
		}
		if len(count) != hosts || chi > 342 {
			t.Errorf("%s: %d sources, chi-square %.0f", tc.name, len(count), chi)
		}
		// Of 16,384 ports, so many flows have 16384*(1-exp(-flows/16384)).
		if want := 16384 * (1 - math.Exp(-float64(flows)/16384)); float64(len(ports)) < 0.95*want {
			t.Errorf("%s: %d ports, want about %.0f", tc.name, len(ports), want)
		}
	}
}

var wrapFrame = paths[1].open()

// wrapBy returns the outer headers of a packet of a flow with this hash.
func wrapBy(t *testing.T, tunnel *packet.Tunnel, hash uint32) *pt.Outer {
	buf := append(make([]byte, packet.TunnelHeadroom), wrapFrame...)
	var info packet.Info
	packet.Parse(wrapFrame, &info)
	grew := tunnel.Wrap(buf, packet.TunnelHeadroom, &info, entropy(hash))
	o, _, err := pt.Unwrap(buf[packet.TunnelHeadroom-grew:])
	if err != nil {
		t.Fatal(err)
	}
	return o
}

// What fits with what goes around it passes; a byte more draws an error that
// says how much would fit, to IPv4 clients that allow fragments too.
func TestTooBigForTheTunnel(t *testing.T) {
	for _, tc := range tunnelCases() {
		for i, p := range paths {
			t.Run(tc.name+"/"+p.name, func(t *testing.T) {
				cfg := tc.config(Maglev, 1)
				n := newNode(t, cfg)
				fits := 1500 - map[bool]int{true: 20, false: 40}[cfg.Services[i].Backends[0].Address.Is4()]
				if tc.mode == GUE {
					fits -= 12
				}
				payload := fits - (len(p.open()) - packet.EthernetSize)
				out := n.one(clientSide, p.open(pt.PayloadSize(payload))).sent(t, serverSide)
				if len(out.frame) != packet.EthernetSize+1500 {
					t.Errorf("a frame of %d bytes left", len(out.frame))
				}
				for _, df := range [][]pt.Option{nil, {pt.DontFragment()}} {
					in := p.open(append(df, pt.PayloadSize(payload+1))...)
					answer := n.one(clientSide, in).sent(t, clientSide)
					want := pt.WantICMP(packet.ICMPUnreachable, 4)
					if in[packet.EthernetSize]>>4 == 6 {
						want = pt.WantICMP(packet.ICMPv6PacketTooBig, 0)
					}
					src, dst := ends(t, in)
					pt.Check(t, answer.frame, want, pt.WantSrc(dst.Addr().String()), pt.WantDst(src.Addr().String()))
					var info packet.Info
					packet.Parse(answer.frame, &info)
					if got := info.ICMP(answer.frame).Rest(); got != uint32(fits) {
						t.Errorf("told an MTU of %d, want %d", got, fits)
					}
				}
			})
		}
	}
}

// Unlike dsr, tunnels reach backends behind a gateway.
func TestTunnelsGoThroughGateways(t *testing.T) {
	for _, mode := range tunnelModes {
		cfg := testConfig(mode, Maglev, 1)
		cfg.Services[0].Backends[0].Address = addrs("10.9.0.1")[0] // behind 10.1.0.1
		out := newNode(t, cfg).one(clientSide, paths[0].open()).sent(t, serverSide)
		if o, _ := unwrap(t, out); o.Dst != addrs("10.9.0.1")[0] || [6]byte(out.frame) != backendMAC(1) {
			t.Errorf("%v: to %v by way of % x", mode, o.Dst, out.frame[:6])
		}
	}
}

// Tags of the way in don't count on the way out, but for their priority.
func TestTunnelsOnVLANs(t *testing.T) {
	onVLAN20 := func(cfg Config) Config {
		cfg = clone(cfg)
		for i := range cfg.Services {
			cfg.Services[i].Backends[0].Address = addrs("fd00:2::5")[0]
		}
		return cfg
	}
	for _, mode := range tunnelModes {
		for _, tc := range []struct {
			name string
			cfg  Config
			in   []pt.Option
			tag  []byte // behind the MAC addresses; nil: none
		}{
			{"untagged to untagged", testConfig(mode, Maglev, 1), nil, nil},
			{"pop", testConfig(mode, Maglev, 1), []pt.Option{pt.VLAN(10), pt.Priority(3)}, nil},
			{"push", onVLAN20(testConfig(mode, Maglev, 1)), nil, []byte{0x81, 0, 0, 20}},
			{"swap", onVLAN20(testConfig(mode, Maglev, 1)), []pt.Option{pt.VLAN(10), pt.Priority(3)}, []byte{0x81, 0, 3 << 5, 20}},
		} {
			for _, p := range paths {
				in := p.open(append(tc.in, pt.PayloadSize(33))...)
				out := newNode(t, tc.cfg).one(clientSide, in).sent(t, serverSide)
				_, inner := unwrap(t, out)
				if !bytes.HasPrefix(out.frame[12:], tc.tag) || tc.tag == nil && out.frame[12] == 0x81 {
					t.Errorf("%v, %s, %s: frame begins with % x", mode, p.name, tc.name, out.frame[:18])
				}
				if !bytes.HasSuffix(in, inner[14+len(tc.tag):]) {
					t.Errorf("%v, %s, %s: inside is %x, want the end of %x", mode, p.name, tc.name, inner, in)
				}
			}
		}
	}
}

// Padding stays outside of tunnels.
func TestTunnelsDropPadding(t *testing.T) {
	for _, tc := range tunnelCases() {
		n := newNode(t, tc.config(Maglev, 1))
		for _, p := range paths {
			in := p.open()
			_, inner := unwrap(t, n.one(clientSide, p.open(pt.Trailer(30))).sent(t, serverSide))
			if len(inner) != len(in) {
				t.Errorf("%s, %s: %d bytes inside, want %d", tc.name, p.name, len(inner), len(in))
			}
		}
	}
}

// A frame without room in front of it is dropped, and nothing is written there.
func TestNoHeadroom(t *testing.T) {
	for _, tc := range tunnelCases() {
		n := newNode(t, tc.config(Maglev, 1))
		size := n.services().backends[0].tunnel.Size()
		for _, off := range []int{0, size, size + packet.VLANSize - 1, size + packet.VLANSize} {
			whole := n.arena.Bytes(engine.Segment{Frame: 1, Len: 2048})
			for i := range whole {
				whole[i] = 0xa5
			}
			in := paths[0].open()
			p := engine.Packet{Segment: engine.Segment{Frame: 1, Off: uint16(off), Len: uint16(len(in))}}
			copy(n.arena.Bytes(p.Segment), in)
			packet.Parse(in, &p.Info)
			batch := []engine.Packet{p}
			n.handler.Decide(&n.snapshot, n.now, batch)
			if off == size+packet.VLANSize {
				outcome{batch[0], nil}.sent(t, serverSide)
				continue
			}
			outcome{batch[0], nil}.dropped(t, packet.NoHeadroom)
			if !bytes.Equal(whole[:off], bytes.Repeat([]byte{0xa5}, off)) || !bytes.Equal(whole[off:][:len(in)], in) {
				t.Errorf("%s, headroom of %d: the frame changed", tc.name, off)
			}
		}
	}
}

// A SYN that passes asks for no more than the service allows, the backend's in
// nat as well, and its checksum stays right.
func TestMSSClamp(t *testing.T) {
	for _, mode := range allModes {
		cfg := testConfig(mode, Maglev, 1)
		cfg.Services[0].MSSClamp, cfg.Services[2].MSSClamp = 1300, 1280
		n := newNode(t, cfg)
		for i, want := range map[int]uint16{0: 1300, 2: 1280} {
			p := paths[i]
			for _, asks := range []uint16{9000, want, 600} {
				out := n.one(clientSide, p.open(pt.MSS(asks))).sent(t, serverSide).frame
				if mode.tunnels() {
					_, out = unwrap(t, outcome{frame: out})
				}
				if got := mssOf(t, out); got != min(asks, want) {
					t.Errorf("%v, %s: the client asked for %d, the backend is told %d, want %d", mode, p.name, asks, got, min(asks, want))
				}
				if mode != NAT {
					continue
				}
				snip, backend := ends(t, out)
				back := n.one(serverSide, p.build(backend.String(), snip.String(), pt.Flags("SA"), pt.MSS(asks))).sent(t, clientSide).frame
				if got := mssOf(t, back); got != min(asks, want) {
					t.Errorf("%s: the backend asked for %d, the client is told %d, want %d", p.name, asks, got, min(asks, want))
				}
			}
		}
	}
}

// mssOf returns the segment size that a SYN with one option asks for.
func mssOf(t *testing.T, frame []byte) uint16 {
	t.Helper()
	p, err := pt.Decode(frame)
	if err != nil {
		t.Fatal(err)
	}
	data := p.TCP.Options[0].OptionData
	return uint16(data[0])<<8 | uint16(data[1])
}

// Whatever clients send, what leaves is one of their packets as it was, in a
// sound one to one of the backends, the same for all packets of a flow.
func TestTunnelProperties(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		tc := rapid.SampledFrom(tunnelCases()).Draw(rt, "mode")
		n := newNode(t, tc.config(RoundRobin, 4))
		seen := map[string]pt.Outer{}
		for range rapid.IntRange(1, 40).Draw(rt, "packets") {
			p := rapid.SampledFrom(paths).Draw(rt, "path").from(rapid.IntRange(0, 5).Draw(rt, "client"))
			opts := []pt.Option{
				pt.Flags(rapid.SampledFrom([]string{"S", "A", "PA", "FA"}).Draw(rt, "flags")),
				pt.Payload(rapid.SliceOfN(rapid.Byte(), 0, 90).Draw(rt, "payload")), pt.TOS(rapid.Byte().Draw(rt, "TOS")),
			}
			if p.vip[0] != '[' && rapid.Bool().Draw(rt, "no checksum") {
				opts = append(opts, pt.NoChecksum())
			}
			if rapid.Bool().Draw(rt, "options") {
				opts = append(opts, pt.IPOption(148, 0, 0), pt.HopByHop(8), pt.DestinationOptions(16))
			}
			in := p.open(opts...)
			out := n.one(clientSide, in)
			if out.Verdict != engine.Transmit {
				rt.Fatalf("dropped: %v", out.Reason)
			}
			o, inner, err := pt.Unwrap(out.frame)
			if err != nil || !bytes.Equal(inner[14:], in[14:]) {
				rt.Fatalf("%v: %x\nleft as %x", err, in, out.frame)
			}
			o.TOS, o.Checksum = 0, 0
			key := p.name + p.client
			if first, ok := seen[key]; ok && first != *o {
				rt.Fatalf("%s left in %+v, before in %+v", key, o, first)
			}
			seen[key] = *o
		}
	})
}

func TestNarrow(t *testing.T) {
	for _, tc := range []struct {
		mtu  int
		want []Narrow
	}{
		{1332, nil},
		{1331, []Narrow{{"tcp6", "b1", 1331, 1332}, {"udp6", "b1", 1331, 1332}}},
		{607, []Narrow{{"tcp4", "b1", 607, 608}, {"udp4", "b1", 607, 608}, {"tcp6", "b1", 607, 1332}, {"udp6", "b1", 607, 1332}}},
	} {
		in := testNetwork()
		for i := range in.Links {
			in.Links[i].MTU = tc.mtu
		}
		n := newNode(t, testConfig(GUE, Maglev, 1))
		n.routes = compile(t, in)
		n.load(testConfig(GUE, Maglev, 1))
		if got := n.services().Narrow(); fmt.Sprint(got) != fmt.Sprint(tc.want) {
			t.Errorf("MTU %d: %v, want %v", tc.mtu, got, tc.want)
		}
		n.load(testConfig(DSR, Maglev, 1))
		if got := n.services().Narrow(); got != nil {
			t.Errorf("MTU %d, dsr: %v", tc.mtu, got)
		}
	}
}

// A path narrower than the headers themselves lets nothing through, and nothing
// goes wrong.
func TestAbsurdMTU(t *testing.T) {
	in := testNetwork()
	in.Links[1].MTU = 30
	n := newNode(t, testConfig(GUE, Maglev, 1))
	n.routes = compile(t, in)
	n.load(testConfig(GUE, Maglev, 1))
	n.one(clientSide, paths[2].open()).sent(t, clientSide)
}
