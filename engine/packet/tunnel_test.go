package packet

import (
	"bytes"
	"fmt"
	"net/netip"
	"testing"

	"appliance/engine/packet/packettest"

	"pgregory.net/rapid"
)

// tunnels are one of each kind: both families outside and inside, with and
// without UDP.
func tunnels() map[string]TunnelConfig {
	all := map[string]TunnelConfig{}
	for _, inner6 := range []bool{false, true} {
		for _, port := range []uint16{0, 6080} {
			for _, ends := range [][2]string{{"10.200.1.0/24", "10.1.0.1"}, {"fd00:200::/64", "fd00:1::1"}} {
				c := TunnelConfig{
					Sources: netip.MustParsePrefix(ends[0]), Far: netip.MustParseAddr(ends[1]), Inner6: inner6, GUEPort: port,
				}
				all[fmt.Sprintf("%v in %v, port %d", map[bool]string{true: "6", false: "4"}[inner6], c.Far, port)] = c
			}
		}
	}
	return all
}

// wrap puts a frame through a Tunnel, with what lies around it watched.
func wrap(t rapid.TB, c *TunnelConfig, frame []byte, entropy uint32) ([]byte, Info) {
	const mark = 0xa5
	off := c.Overhead() + 16
	buf := append(bytes.Repeat([]byte{mark}, off), frame...)
	buf = append(buf, bytes.Repeat([]byte{mark}, 16)...)
	var info Info
	if why := Parse(buf[off:off+len(frame)], &info); why != OK {
		t.Fatalf("the test's own frame is refused: %v", why)
	}
	grew := NewTunnel(c).Wrap(buf[:off+len(frame)], off, &info, entropy)
	if grew != c.Overhead() {
		t.Fatalf("grew by %d bytes, want %d", grew, c.Overhead())
	}
	if !bytes.Equal(buf[:16], bytes.Repeat([]byte{mark}, 16)) || !bytes.Equal(buf[off+len(frame):], bytes.Repeat([]byte{mark}, 16)) {
		t.Fatalf("bytes around the frame changed")
	}
	return buf[off-grew : off+len(frame)], info
}

// matches reports whether a frame has the family that a Tunnel is for.
func (c *TunnelConfig) matches(info *Info) bool { return c.Inner6 == (info.Flags&FlagIPv6 != 0) }

// judgeWrap fails t unless what comes out of a Tunnel is as it should be: the
// packet unchanged, the headers around it right in every field.
func judgeWrap(t rapid.TB, c *TunnelConfig, frame []byte, entropy uint32) {
	var before Info
	Parse(frame, &before)
	out, info := wrap(t, c, frame, entropy)
	o, inner, err := packettest.Unwrap(out)
	sound := VerifyL4(frame, &before) // or the outer checksum is as wrong as the inner one
	if !sound && c.Far.Is6() && c.GUEPort != 0 && before.Flags&FlagPorts != 0 {
		return
	}
	if err != nil {
		t.Fatalf("%v\n%x\n%x", err, frame, out)
	}
	if !bytes.Equal(inner[:before.End], frame[:before.End]) {
		t.Fatalf("inside is\n%x\nwant\n%x", inner, frame)
	}
	if !c.Sources.Contains(o.Src) || o.Dst != c.Far || o.TTL != 64 || o.TOS != tosOf(frame[before.L3:], &before) {
		t.Fatalf("%+v around a packet with TOS %#02x", o, tosOf(frame[before.L3:], &before))
	}
	if c.Far.Is4() && (!o.DF || o.ID != 0 || o.Checksum != 0) || c.Far.Is6() && o.Label != entropy&(1<<20-1) {
		t.Fatalf("%+v", o)
	}
	if at := netip.AddrPortFrom(o.Src, o.SrcPort); at != NewTunnel(c).Source(entropy) {
		t.Fatalf("from %v, but Source says %v", at, NewTunnel(c).Source(entropy))
	}
	if c.GUEPort != 0 && (o.DstPort != c.GUEPort || o.SrcPort < 49152) {
		t.Fatalf("from port %d to port %d", o.SrcPort, o.DstPort)
	}
	var again Info
	why := Parse(out, &again)
	if c.GUEPort == 0 { // Parse knows no such transport, but has come that far
		again.Proto = info.Proto
	} else if why != OK {
		t.Fatalf("what left is refused: %v\n%x", why, out)
	}
	if again != info {
		t.Fatalf("described as %+v, Parse says %+v", info, again)
	}
}

func TestWrap(t *testing.T) {
	for name, c := range tunnels() {
		t.Run(name, func(t *testing.T) {
			rapid.Check(t, func(rt *rapid.T) {
				frame := drawFrame(rt)
				var info Info
				if Parse(frame, &info) != OK || !c.matches(&info) {
					rt.Skip("of the other family, or without a checksum that is due")
				}
				judgeWrap(rt, &c, frame, rapid.Uint32().Draw(rt, "entropy"))
			})
		})
	}
}

// Whatever Parse accepts, a Tunnel takes; fragments, options and extension
// headers too.
func FuzzWrap(f *testing.F) {
	for _, c := range allReasonCases() {
		if len(c.frame) <= 2048 {
			f.Add(c.frame, uint32(len(f.Name())))
		}
	}
	f.Add(udp4(packettest.Fragment(8, true), packettest.PayloadSize(64)), uint32(0))
	f.Add(udp6(packettest.Fragment(0, true), packettest.PayloadSize(64)), ^uint32(0))
	f.Fuzz(func(t *testing.T, frame []byte, entropy uint32) {
		mend(frame)
		var info Info
		if Parse(frame, &info) != OK || len(frame) > 4096 {
			return
		}
		for _, c := range tunnels() {
			if c.matches(&info) {
				judgeWrap(t, &c, frame, entropy)
			}
		}
	})
}

// A fragment's ports may be known, but its transport checksum is about the whole
// datagram: the one outside has to read the fragment.
func TestWrapFragmentsWhosePortsAreKnown(t *testing.T) {
	for name, c := range tunnels() {
		whole := udp4(packettest.PayloadSize(200))
		if c.Inner6 {
			whole = udp6(packettest.PayloadSize(200))
		}
		for i, piece := range packettest.Cut(whole, 7, 64, 128) {
			buf := append(make([]byte, c.Overhead()), piece...)
			var info Info
			if why := Parse(piece, &info); why != OK {
				t.Fatal(why)
			}
			info.Flags |= FlagPorts
			NewTunnel(&c).Wrap(buf, c.Overhead(), &info, 1)
			if _, _, err := packettest.Unwrap(buf); err != nil {
				t.Errorf("%s, fragment %d: %v", name, i, err)
			}
		}
	}
}

// A damaged packet must not become a sound one: the far end drops it for the
// checksum outside, or else its host for the one inside.
func TestWrapKeepsDamage(t *testing.T) {
	c := TunnelConfig{Sources: netip.MustParsePrefix("fd00:200::/64"), Far: netip.MustParseAddr("fd00:1::1"), GUEPort: 6080}
	frame := tcp4(packettest.PayloadSize(100))
	frame[len(frame)-1] ^= 1
	out, _ := wrap(t, &c, frame, 1)
	if _, _, err := packettest.Unwrap(out); err == nil {
		t.Error("the outer checksum covers what is damaged, and is right")
	}
}

// Bytes behind a datagram's end (UDP options, RFC 9868) are not in its own
// checksum, but in the outer one.
func TestWrapBytesBehindUDP(t *testing.T) {
	frame := udp4(packettest.PayloadSize(11))
	var info Info
	Parse(frame, &info)
	udp := info.UDP(frame)
	udp.setLen(UDPSize + 4)
	udp.SetChecksum(0)
	udp.SetChecksum(Checksum(udp[:UDPSize+4], pseudoSum(frame[info.L3:], &info, UDPSize+4)))
	if !VerifyL4(frame, &info) {
		t.Fatal("the test's own frame is wrong")
	}
	for _, c := range tunnels() {
		if !c.Inner6 {
			judgeWrap(t, &c, frame, 7)
		}
	}
}

// A checksum that comes out as zero is sent as 0xffff: zero would say that there
// is none (RFC 768).
func TestWrapNeverOmitsTheChecksum(t *testing.T) {
	c := TunnelConfig{Sources: netip.MustParsePrefix("fd00:200::/64"), Far: netip.MustParseAddr("fd00:1::1"), GUEPort: 6080}
	frame, seen := udp4(), false
	for entropy := range uint32(1 << 18) {
		out, info := wrap(t, &c, frame, entropy<<14)
		sum := info.UDP(out).Checksum()
		if sum == 0 {
			t.Fatalf("entropy %d: no checksum", entropy)
		}
		seen = seen || sum == 0xffff
	}
	if !seen {
		t.Error("no checksum came out as zero: nothing tested")
	}
}

// Sources are spread evenly over the hosts of the prefix, and are hosts.
func TestSources(t *testing.T) {
	for _, tc := range []struct {
		prefix      string
		first, last string
		n           int
	}{
		{"10.200.1.0/24", "10.200.1.1", "10.200.1.254", 254},
		{"10.200.1.16/30", "10.200.1.17", "10.200.1.18", 2},
		{"10.200.1.16/31", "10.200.1.16", "10.200.1.17", 2},
		{"10.200.1.16/32", "10.200.1.16", "10.200.1.16", 1},
		{"fd00::/126", "fd00::1", "fd00::2", 2},
		{"fd00::5/128", "fd00::5", "fd00::5", 1},
	} {
		far := netip.MustParseAddr("10.1.0.1")
		if netip.MustParsePrefix(tc.prefix).Addr().Is6() {
			far = netip.MustParseAddr("fd00:1::1")
		}
		c := TunnelConfig{Sources: netip.MustParsePrefix(tc.prefix), Far: far}
		count := map[netip.Addr]int{}
		const draws = 1 << 12
		for i := range uint32(draws) {
			out, _ := wrap(t, &c, udp4(), i<<20|i)
			o, _, err := packettest.Unwrap(out)
			if err != nil {
				t.Fatal(err)
			}
			count[o.Src]++
		}
		first, last := netip.MustParseAddr(tc.first), netip.MustParseAddr(tc.last)
		if len(count) != tc.n {
			t.Errorf("%s: %d sources, want %d", tc.prefix, len(count), tc.n)
		}
		for a, n := range count {
			if a.Less(first) || last.Less(a) || n > draws/tc.n+1 || n < draws/tc.n-1 {
				t.Errorf("%s: %d of %d packets from %v", tc.prefix, n, draws, a)
			}
		}
	}
}

// In a /64 the host part takes 32 bits, and all of them count.
func TestSourcesOfALargePrefix(t *testing.T) {
	c := TunnelConfig{Sources: netip.MustParsePrefix("fd00:200::/64"), Far: netip.MustParseAddr("fd00:1::1")}
	for entropy, want := range map[uint32]string{0: "fd00:200::1", ^uint32(0): "fd00:200::ffff:fffe", 1 << 31: "fd00:200::8000:0"} {
		out, _ := wrap(t, &c, udp4(), entropy)
		if o, _, err := packettest.Unwrap(out); err != nil || o.Src.String() != want {
			t.Errorf("entropy %#x: %+v, %v, want source %s", entropy, o, err, want)
		}
	}
}

func TestOverhead(t *testing.T) {
	for name, c := range tunnels() {
		want := map[bool]int{true: 20, false: 40}[c.Far.Is4()]
		if c.GUEPort != 0 {
			want += 12
		}
		if got := NewTunnel(&c).Size(); got != want || c.Overhead() != want || want > TunnelHeadroom {
			t.Errorf("%s: %d and %d bytes, want %d", name, got, c.Overhead(), want)
		}
	}
}

func BenchmarkWrap(b *testing.B) {
	for name, c := range tunnels() {
		for _, size := range []int{18, 1400} {
			frame := udp4(packettest.PayloadSize(size))
			if c.Inner6 {
				frame = udp6(packettest.PayloadSize(size))
			}
			b.Run(fmt.Sprintf("%s/%d", name, size), func(b *testing.B) {
				tunnel := NewTunnel(&c)
				buf := append(make([]byte, TunnelHeadroom), frame...)
				var parsed Info
				Parse(frame, &parsed)
				for b.Loop() {
					info := parsed
					copy(buf[TunnelHeadroom:], frame[:EthernetSize])
					tunnel.Wrap(buf, TunnelHeadroom, &info, 12345)
				}
			})
		}
	}
}
