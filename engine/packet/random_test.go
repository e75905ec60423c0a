package packet

import (
	"net/netip"
	"slices"
	"testing"

	"appliance/engine/packet/packettest"

	"github.com/google/gopacket/layers"
	"pgregory.net/rapid"
)

// drawFrame draws a sound packet: any protocol, either family, with or without
// tag, options, extension headers, payload and padding.
func drawFrame(t *rapid.T) []byte {
	v6 := rapid.Bool().Draw(t, "v6")
	src, dst := drawAddr(t, v6, "source"), drawAddr(t, v6, "destination")
	opts := []packettest.Option{
		packettest.TTL(rapid.Byte().Draw(t, "TTL")),
		packettest.TOS(rapid.Byte().Draw(t, "TOS")),
		packettest.ID(rapid.Uint16().Draw(t, "identification")),
		packettest.Payload(rapid.SliceOfN(rapid.Byte(), 0, 200).Draw(t, "payload")),
		packettest.Trailer(rapid.IntRange(0, 20).Draw(t, "trailer")),
		packettest.Flags(rapid.SampledFrom([]string{"S", "SA", "A", "PA", "FA", "R", "RA", "SEC"}).Draw(t, "flags")),
	}
	if rapid.Bool().Draw(t, "tagged") {
		opts = append(opts, packettest.VLAN(rapid.Uint16Range(0, 4095).Draw(t, "VLAN")))
	}
	if rapid.Bool().Draw(t, "options") {
		opts = append(opts, packettest.MSS(1460), packettest.IPOption(148, 0, 0), packettest.IPOption(1))
		opts = append(opts, packettest.HopByHop(8), packettest.DestinationOptions(24))
	}
	ports := rapid.Uint16Range(1, 65535)
	from := netip.AddrPortFrom(src, ports.Draw(t, "source port")).String()
	to := netip.AddrPortFrom(dst, ports.Draw(t, "destination port")).String()
	switch rapid.IntRange(0, 3).Draw(t, "protocol") {
	case 0:
		return packettest.TCP(from, to, opts...)
	case 1:
		return packettest.UDP(from, to, opts...)
	case 2:
		return packettest.UDP(from, to, append(opts, packettest.NoChecksum())...)
	}
	return packettest.Echo(src.String(), dst.String(), opts...)
}

func drawAddr(t *rapid.T, v6 bool, what string) netip.Addr {
	if v6 {
		a := [16]byte{0x20, 0x01, 0x0d, 0xb8}
		copy(a[4:], rapid.SliceOfN(rapid.Byte(), 12, 12).Draw(t, what))
		return netip.AddrFrom16(a)
	}
	a := [4]byte{10}
	copy(a[1:], rapid.SliceOfN(rapid.Byte(), 3, 3).Draw(t, what))
	return netip.AddrFrom4(a)
}

// agree fails t when Parse and gopacket see different packets in frame.
func agree(t rapid.TB, frame []byte, info *Info) {
	p, err := packettest.Decode(frame[:info.End])
	if p.Ethernet == nil || p.IPv4 == nil && p.IPv6 == nil {
		t.Fatalf("gopacket sees no IP packet: %v", err)
	}
	if tagged := info.Flags&FlagTagged != 0; tagged != (p.Dot1Q != nil) || tagged && p.Dot1Q.VLANIdentifier != info.VLAN {
		t.Fatalf("tag: gopacket %v, Parse %+v", p.Dot1Q, info)
	}
	if p.IPv4 != nil {
		h := info.IPv4(frame)
		same(t, "source", netip.AddrFrom4([4]byte(p.IPv4.SrcIP)), netip.AddrFrom4([4]byte(h[12:16])))
		same(t, "destination", netip.AddrFrom4([4]byte(p.IPv4.DstIP)), netip.AddrFrom4([4]byte(h[16:20])))
		same(t, "protocol", uint8(p.IPv4.Protocol), info.Proto)
		same(t, "fragment", p.IPv4.FragOffset != 0 || p.IPv4.Flags&layers.IPv4MoreFragments != 0, info.Flags&FlagFragment != 0)
	} else {
		h := info.IPv6(frame)
		same(t, "source", [16]byte(p.IPv6.SrcIP), *h.Src())
		same(t, "destination", [16]byte(p.IPv6.DstIP), *h.Dst())
	}
	if info.Flags&FlagFragment == 0 {
		agreeTransport(t, p, frame, info)
	}
}

// agreeTransport compares what is behind IP. gopacket stops at an IPv6 fragment
// header, so it has no opinion of an atomic fragment.
func agreeTransport(t rapid.TB, p *packettest.Packet, frame []byte, info *Info) {
	atL4 := len(frame[info.L4:info.End])
	switch {
	case p.TCP != nil:
		same(t, "TCP", info.Proto, ProtoTCP)
		same(t, "ports", info.Ports(), uint32(p.TCP.SrcPort)<<16|uint32(p.TCP.DstPort))
		same(t, "offset", atL4, len(p.TCP.Contents)+len(p.TCP.Payload))
		same(t, "TCP flags", info.TCPFlags, p.TCP.Contents[13])
	case p.UDP != nil:
		same(t, "UDP", info.Proto, ProtoUDP)
		same(t, "ports", info.Ports(), uint32(p.UDP.SrcPort)<<16|uint32(p.UDP.DstPort))
		same(t, "offset", &frame[info.L4], &p.UDP.Contents[0])
	case p.ICMPv4 != nil:
		same(t, "ICMP", info.Proto, ProtoICMP)
		same(t, "offset", atL4, len(p.ICMPv4.Contents)+len(p.ICMPv4.Payload))
		same(t, "ICMP type", info.ICMPType, p.ICMPv4.TypeCode.Type())
	case p.ICMPv6 != nil:
		same(t, "ICMPv6", info.Proto, ProtoICMPv6)
		same(t, "offset", atL4, len(p.ICMPv6.Contents)+len(p.ICMPv6.Payload))
		same(t, "ICMPv6 type", info.ICMPType, p.ICMPv6.TypeCode.Type())
	}
}

func same[T comparable](t rapid.TB, what string, a, b T) {
	if a != b {
		t.Fatalf("%s differs: %v and %v", what, a, b)
	}
}

func TestParseAgreesWithGopacket(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		frame := drawFrame(t)
		var info Info
		why := Parse(frame, &info)
		if why == BadL4Checksum && info.Flags&FlagIPv6 != 0 {
			return // drawn without a checksum
		}
		same(t, "reason", why, OK)
		_, err := packettest.Decode(frame[:info.End])
		same(t, "gopacket's error", err, nil)
		agree(t, frame, &info)
		same(t, "checksum is right", VerifyL4(frame, &info), true)
	})
}

// A single flipped bit behind the IP header must not go unnoticed, unless it
// turns a UDP datagram into one without a checksum. (One in the UDP length
// changes which bytes are covered; that they add up all the same is unlikely,
// not impossible.)
func TestVerifyL4FindsDamage(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		frame := drawFrame(t)
		var info Info
		if Parse(frame, &info) != OK || info.Proto == ProtoUDP && info.UDP(frame).Checksum() == 0 {
			return
		}
		bit := rapid.IntRange(int(info.L4)*8, int(info.End)*8-1).Draw(t, "bit")
		if at := bit/8 - int(info.L4); info.Proto == ProtoUDP && (at == 4 || at == 5) {
			return
		}
		frame[bit/8] ^= 0x80 >> (bit % 8)
		if Parse(frame, &info) != OK || info.Proto == ProtoUDP && info.UDP(frame).Checksum() == 0 {
			return
		}
		same(t, "checksum is right", VerifyL4(frame, &info), false)
	})
}

func TestVerifyL4OfFragments(t *testing.T) {
	frame := udp4(packettest.Fragment(0, true), packettest.PayloadSize(16))
	frame[len(frame)-1] ^= 1
	var info Info
	if why := Parse(frame, &info); why != OK || !VerifyL4(frame, &info) {
		t.Error("a fragment's bytes alone have no checksum, yet it was found wrong")
	}
}

func TestRetag(t *testing.T) {
	const off = 64
	for _, c := range []struct {
		name  string
		frame []byte
		vlan  uint16
		grew  int
		want  packettest.Checker
	}{
		{"push", tcp4(), 7, 4, packettest.WantVLAN(7, 0)},
		{"pop", tcp4(packettest.VLAN(9)), 0, -4, packettest.WantUntagged()},
		{"rewrite", tcp6(packettest.VLAN(9), packettest.Priority(5)), 4094, 0, packettest.WantVLAN(4094, 5)},
		{"leave untagged", tcp6(), 0, 0, packettest.WantUntagged()},
		{"pop priority tag", tcp4(packettest.VLAN(0)), 0, -4, packettest.WantUntagged()},
	} {
		buf := slices.Concat(make([]byte, off), c.frame)
		var info, again Info
		if why := Parse(buf[off:], &info); why != OK {
			t.Fatalf("%s: %v", c.name, why)
		}
		if got := Retag(buf, off, &info, c.vlan); got != c.grew {
			t.Errorf("%s: grew by %d, want %d", c.name, got, c.grew)
		}
		frame := buf[off-c.grew:]
		packettest.Check(t, frame, c.want, packettest.WantMACs(packettest.SrcMAC, packettest.DstMAC))
		if Parse(frame, &again); again != info {
			t.Errorf("%s: info is %+v, want %+v", c.name, info, again)
		}
	}
}
