package packet

import (
	"encoding/binary"
	"slices"
	"testing"

	"appliance/engine/packet/packettest"
)

// Ends that most tests use.
const (
	client4, service4 = "192.0.2.1:40000", "198.51.100.1:80"
	client6, service6 = "[2001:db8::1]:40000", "[2001:db8:1::1]:80"
)

// edited returns a copy of frame after do had its bytes from offset at on.
func edited(frame []byte, at int, do func(b []byte)) []byte {
	frame = slices.Clone(frame)
	do(frame[at:])
	return frame
}

// ip4 edits the IPv4 header of an untagged frame and puts its checksum right.
func ip4(frame []byte, do func(h IPv4)) []byte {
	return edited(frame, EthernetSize, func(b []byte) {
		do(IPv4(b))
		h := b[:max(IPv4(b).HeaderLen(), IPv4Size)]
		h[10], h[11] = 0, 0
		binary.BigEndian.PutUint16(h[10:], packettest.SlowChecksum(h))
	})
}

// ip6 edits the IPv6 packet of an untagged frame.
func ip6(frame []byte, do func(h IPv6)) []byte {
	return edited(frame, EthernetSize, func(b []byte) { do(IPv6(b)) })
}

// l4 edits what is behind a bare IP header of an untagged frame.
func l4(frame []byte, do func(b []byte)) []byte {
	if frame[12] == EtherTypeIPv4>>8 {
		return edited(frame, EthernetSize+IPv4Size, do)
	}
	return edited(frame, EthernetSize+IPv6Size, do)
}

func src4(a uint32) func(IPv4) {
	return func(h IPv4) { h.SetAddrs(uint64(a)<<32 | uint64(h.Dst())) }
}

func dst4(a uint32) func(IPv4) {
	return func(h IPv4) { h.SetAddrs(uint64(h.Src())<<32 | uint64(a)) }
}

func flags(letters string) []byte {
	return packettest.TCP(client4, service4, packettest.Flags(letters))
}

func udp4(opts ...packettest.Option) []byte { return packettest.UDP(client4, service4, opts...) }
func udp6(opts ...packettest.Option) []byte { return packettest.UDP(client6, service6, opts...) }
func tcp4(opts ...packettest.Option) []byte { return packettest.TCP(client4, service4, opts...) }
func tcp6(opts ...packettest.Option) []byte { return packettest.TCP(client6, service6, opts...) }

func extensions(n int, opt packettest.Option) (opts []packettest.Option) {
	for range n {
		opts = append(opts, opt)
	}
	return opts
}

type reasonCase struct {
	name  string
	frame []byte
	want  Reason
}

var etherCases = []reasonCase{
	{"empty frame", nil, Truncated},
	{"half an Ethernet header", udp4()[:13], Truncated},
	{"Ethernet header only", udp4()[:14], Truncated},
	{"half a tag", udp4(packettest.VLAN(5))[:17], Truncated},
	{"tag and nothing else", udp4(packettest.VLAN(5))[:18], Truncated},
	{"frame beyond 65535 bytes", append(udp4(), make([]byte, 1<<16)...), BadLength},
	{"ARP", edited(udp4(), 12, func(b []byte) { b[0], b[1] = 0x08, 0x06 }), BadEthertype},
	{"two tags", edited(udp4(packettest.VLAN(5)), 16, func(b []byte) { b[0], b[1] = 0x81, 0x00 }), BadEthertype},
	{"service tag", edited(udp4(packettest.VLAN(5)), 12, func(b []byte) { b[0], b[1] = 0x88, 0xa8 }), BadEthertype},
	{"802.3 length", edited(udp4(), 12, func(b []byte) { b[0], b[1] = 0, 46 }), BadEthertype},
	{"Ethernet padding", udp4(packettest.Trailer(18)), OK},
	{"priority tag", udp4(packettest.VLAN(0)), OK},
}

var ipv4Cases = []reasonCase{
	{"IPv4 UDP", udp4(), OK},
	{"half an IPv4 header", udp4()[:14+19], Truncated},
	{"IPv6 in IPv4's EtherType", ip4(udp4(), func(h IPv4) { h[0] = 0x65 }), BadVersion},
	{"header length below 5", ip4(udp4(), func(h IPv4) { h[0] = 0x44 }), BadLength},
	{"header longer than datagram", ip4(udp4(packettest.PayloadSize(40)), func(h IPv4) { h[0] = 0x4f; h.SetTotalLen(40) }), BadLength},
	{"total length below header", ip4(udp4(), func(h IPv4) { h.SetTotalLen(19) }), BadLength},
	{"total length beyond frame", ip4(udp4(), func(h IPv4) { h.SetTotalLen(h.TotalLen() + 1) }), BadLength},
	{"total length zero", ip4(udp4(), func(h IPv4) { h.SetTotalLen(0) }), BadLength},
	{"IPv4 checksum off by a bit", edited(udp4(), 14+8, func(b []byte) { b[0] ^= 1 }), BadIPChecksum},
	{"checksum wrong in the options", edited(udp4(packettest.IPOption(1)), 14+20, func(b []byte) { b[0] = 2 }), BadIPChecksum},
	{"source 0.0.0.0", ip4(udp4(), src4(0)), BadSource},
	{"source in network 0", ip4(udp4(), src4(0x00ffffff)), BadSource},
	{"source loopback", ip4(udp4(), src4(0x7f000001)), BadSource},
	{"source multicast", ip4(udp4(), src4(0xe0000001)), BadSource},
	{"source broadcast", ip4(udp4(), src4(0xffffffff)), BadSource},
	{"source first host", ip4(udp4(), src4(0x01000000)), OK},
	{"source last host", ip4(udp4(), src4(0xdfffffff)), OK},
	{"destination loopback", ip4(udp4(), dst4(0x7f000001)), BadDestination},
	{"destination multicast", ip4(udp4(), dst4(0xe0000001)), BadDestination},
	{"destination broadcast", ip4(udp4(), dst4(0xffffffff)), BadDestination},
	{"no-operation options", udp4(packettest.IPOption(1), packettest.IPOption(1)), OK},
	{"router alert", udp4(packettest.IPOption(148, 0, 0)), OK},
	{"end of options hides what follows", udp4(packettest.IPOption(0), packettest.IPOption(131, 1, 1)), OK},
	{"loose source route", udp4(packettest.IPOption(131, 4, 192, 0, 2, 9)), SourceRoute},
	{"strict source route", udp4(packettest.IPOption(1), packettest.IPOption(137, 4, 192, 0, 2, 9)), SourceRoute},
	{"option without length", ip4(udp4(packettest.IPOption(7, 0, 0)), func(h IPv4) { copy(h[20:], []byte{1, 1, 1, 7}) }), BadLength},
	{"option of length 1", ip4(udp4(packettest.IPOption(7, 0, 0)), func(h IPv4) { h[21] = 1 }), BadLength},
	{"option beyond header", ip4(udp4(packettest.IPOption(7, 0, 0)), func(h IPv4) { h[21] = 5 }), BadLength},
	{"IPIP", packettest.Raw(4, "192.0.2.1", "198.51.100.1", packettest.PayloadSize(40)), UnknownProto},
	{"ICMPv6 over IPv4", packettest.Raw(58, "192.0.2.1", "198.51.100.1", packettest.PayloadSize(40)), UnknownProto},
	{"first fragment", udp4(packettest.Fragment(0, true), packettest.PayloadSize(16)), OK},
	{"middle fragment", udp4(packettest.Fragment(16, true), packettest.PayloadSize(16)), OK},
	{"last fragment", udp4(packettest.Fragment(32, false), packettest.PayloadSize(5)), OK},
	{"fragment without payload", udp4(packettest.Fragment(32, false)), BadLength},
	{"middle fragment of odd length", udp4(packettest.Fragment(16, true), packettest.PayloadSize(15)), BadLength},
	{"fragment beyond 65535 bytes", udp4(packettest.Fragment(65528, false), packettest.PayloadSize(8)), BadLength},
	{"fragment of unknown protocol", packettest.Raw(47, "192.0.2.1", "198.51.100.1", packettest.Fragment(8, false), packettest.PayloadSize(8)), UnknownProto},
	{"first fragment without TCP header", ip4(tcp4(packettest.Fragment(0, true)), func(h IPv4) { h.SetTotalLen(36) }), Truncated},
	{"fragment over TCP header", tcp4(packettest.Fragment(16, false), packettest.PayloadSize(8)), BadLength},
}

var ipv6Cases = []reasonCase{
	{"IPv6 UDP", udp6(), OK},
	{"half an IPv6 header", udp6()[:14+39], Truncated},
	{"IPv4 in IPv6's EtherType", ip6(udp6(), func(h IPv6) { h[0] = 0x45 }), BadVersion},
	{"payload length beyond frame", ip6(udp6(), func(h IPv6) { h.SetPayloadLen(h.PayloadLen() + 1) }), BadLength},
	{"payload length zero", ip6(udp6(), func(h IPv6) { h.SetPayloadLen(0) }), Truncated},
	{"source unspecified", ip6(udp6(), func(h IPv6) { *h.Src() = [16]byte{} }), BadSource},
	{"source ::1", ip6(udp6(), func(h IPv6) { *h.Src() = [16]byte{15: 1} }), BadSource},
	{"source multicast v6", ip6(udp6(), func(h IPv6) { h.Src()[0] = 0xff }), BadSource},
	{"source IPv4-mapped", ip6(udp6(), func(h IPv6) { *h.Src() = [16]byte{10: 0xff, 11: 0xff, 12: 192, 15: 1} }), BadSource},
	{"destination multicast v6", ip6(udp6(), func(h IPv6) { h.Dst()[0] = 0xff }), BadDestination},
	{"destination IPv4-mapped", ip6(udp6(), func(h IPv6) { *h.Dst() = [16]byte{10: 0xff, 11: 0xff, 12: 192, 15: 1} }), BadDestination},
	{"NAT64 source", ip6(udp6(), func(h IPv6) { *h.Src() = [16]byte{1: 0x64, 2: 0xff, 3: 0x9b, 12: 192, 15: 1} }), OK},
	{"no UDP checksum over IPv6", udp6(packettest.NoChecksum()), BadL4Checksum},
	{"hop-by-hop options", udp6(packettest.HopByHop(8)), OK},
	{"all extension headers", udp6(packettest.HopByHop(8), packettest.DestinationOptions(16), packettest.Routing(2, 0), packettest.Fragment(0, false), packettest.DestinationOptions(8)), OK},
	{"hop-by-hop options not first", udp6(packettest.DestinationOptions(8), packettest.HopByHop(8)), BadExtension},
	{"eight extension headers", udp6(extensions(8, packettest.DestinationOptions(8))...), OK},
	{"nine extension headers", udp6(extensions(9, packettest.DestinationOptions(8))...), BadExtension},
	{"extension headers of 256 bytes", udp6(packettest.DestinationOptions(256)), OK},
	{"extension headers of 264 bytes", udp6(packettest.HopByHop(8), packettest.DestinationOptions(256)), BadExtension},
	{"two fragment headers", udp6(packettest.Fragment(0, false), packettest.Fragment(0, false)), BadExtension},
	{"datagram ends before extension header", ip6(udp6(packettest.HopByHop(8)), func(h IPv6) { h.SetPayloadLen(7) }), Truncated},
	{"extension header beyond datagram", l4(udp6(packettest.HopByHop(8)), func(b []byte) { b[1] = 4 }), BadLength},
	{"routing header type 0", udp6(packettest.Routing(0, 0)), SourceRoute},
	{"routing header with segments left", udp6(packettest.Routing(4, 1)), SourceRoute},
	{"routing header without segments left", udp6(packettest.Routing(4, 0)), OK},
	{"atomic fragment", udp6(packettest.Fragment(0, false)), OK},
	{"first fragment v6", udp6(packettest.Fragment(0, true), packettest.PayloadSize(16)), OK},
	{"first fragment with options v6", udp6(packettest.Fragment(0, true), packettest.DestinationOptions(8), packettest.PayloadSize(16)), OK},
	{"last fragment v6", udp6(packettest.Fragment(24, false), packettest.PayloadSize(3)), OK},
	{"later fragment of options", udp6(packettest.Fragment(24, false), packettest.DestinationOptions(8), packettest.PayloadSize(3)), UnknownProto},
	{"middle fragment of odd length v6", udp6(packettest.Fragment(24, true), packettest.PayloadSize(3)), BadLength},
	{"first fragment without UDP header v6", ip6(udp6(packettest.Fragment(0, true)), func(h IPv6) { h.SetPayloadLen(8 + 7) }), Truncated},
	{"no next header", packettest.Raw(59, "2001:db8::1", "2001:db8::2"), UnknownProto},
	{"ESP", packettest.Raw(50, "2001:db8::1", "2001:db8::2", packettest.PayloadSize(40)), UnknownProto},
	{"ICMP over IPv6", packettest.Raw(1, "2001:db8::1", "2001:db8::2", packettest.PayloadSize(40)), UnknownProto},
}

var transportCases = []reasonCase{
	{"half a UDP header", ip4(udp4(), func(h IPv4) { h.SetTotalLen(27) }), Truncated},
	{"UDP length below header", l4(udp4(), func(b []byte) { b[5] = 7 }), BadLength},
	{"UDP length beyond datagram", l4(udp4(), func(b []byte) { b[5]++ }), BadLength},
	{"UDP options behind UDP length", l4(udp4(packettest.PayloadSize(9)), func(b []byte) { b[5] = 8 }), OK},
	{"no UDP checksum", udp4(packettest.NoChecksum()), OK},
	{"UDP source port 0", packettest.UDP("192.0.2.1:0", service4), BadPort},
	{"UDP destination port 0", packettest.UDP(client4, "198.51.100.1:0"), BadPort},
	{"TCP destination port 0", packettest.TCP(client4, "198.51.100.1:0"), BadPort},
	{"TCP source port 0 v6", packettest.TCP("[2001:db8::1]:0", service6), BadPort},
	{"half a TCP header", ip4(tcp4(), func(h IPv4) { h.SetTotalLen(39) }), Truncated},
	{"TCP offset below 5", l4(tcp4(), func(b []byte) { b[12] = 4 << 4 }), BadLength},
	{"TCP offset beyond segment", l4(tcp4(), func(b []byte) { b[12] = 6 << 4 }), BadLength},
	{"TCP options", tcp4(packettest.MSS(1460)), OK},
	{"no TCP flags", flags(""), BadTCPFlags},
	{"only ECE and CWR", flags("EC"), BadTCPFlags},
	{"SYN and FIN", flags("SF"), BadTCPFlags},
	{"SYN and RST", flags("SRA"), BadTCPFlags},
	{"all flags", flags("SAFRPUEC"), BadTCPFlags},
	{"SYN", flags("S"), OK},
	{"SYN with ECN set-up", flags("SEC"), OK},
	{"SYN and ACK", flags("SA"), OK},
	{"RST", flags("R"), OK},
	{"FIN, PSH and ACK", flags("FPA"), OK},
	{"half an ICMP header", ip4(packettest.Echo("192.0.2.1", "198.51.100.1"), func(h IPv4) { h.SetTotalLen(27) }), Truncated},
	{"echo request", packettest.Echo("192.0.2.1", "198.51.100.1"), OK},
	{"echo request v6", packettest.Echo("2001:db8::1", "2001:db8::2"), OK},
}

func allReasonCases() []reasonCase {
	return slices.Concat(etherCases, ipv4Cases, ipv6Cases, transportCases)
}

func TestParseReasons(t *testing.T) {
	seen := make(map[Reason]bool)
	for _, c := range allReasonCases() {
		var info Info
		if got := Parse(c.frame, &info); got != c.want {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
		seen[c.want] = true
	}
	for r := OK; r <= UnknownProto; r++ {
		if !seen[r] {
			t.Errorf("no case makes Parse return %v", r)
		}
	}
}

// TestParseTagged runs every case again behind a tag: nothing else may differ.
func TestParseTagged(t *testing.T) {
	for _, c := range slices.Concat(ipv4Cases, ipv6Cases, transportCases) {
		tagged := slices.Insert(slices.Clone(c.frame), 12, 0x81, 0x00, 0x60, 0x07)
		var info, plain Info
		if got := Parse(tagged, &info); got != c.want {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
			continue
		}
		Parse(c.frame, &plain)
		if plain.End != 0 {
			plain.shift(VLANSize)
		} else {
			plain.L3 += VLANSize
		}
		plain.Flags |= FlagTagged
		plain.VLAN = 7
		if info != plain {
			t.Errorf("%s: tagged %+v, want %+v", c.name, info, plain)
		}
	}
}

func TestParseInfo(t *testing.T) {
	for _, c := range []struct {
		name  string
		frame []byte
		want  Info
	}{
		{"UDP", udp4(packettest.PayloadSize(4), packettest.Trailer(14)),
			Info{L3: 14, L4: 34, End: 46, SrcPort: 40000, DstPort: 80, Proto: ProtoUDP, Flags: FlagPorts}},
		{"TCP", tcp6(packettest.Flags("SE")),
			Info{L3: 14, L4: 54, End: 74, SrcPort: 40000, DstPort: 80, Proto: ProtoTCP, Flags: FlagPorts | FlagIPv6, TCPFlags: TCPSyn | TCPEce}},
		{"tag and options", tcp4(packettest.VLAN(4094), packettest.Priority(7), packettest.IPOption(148, 0, 0)),
			Info{L3: 18, L4: 42, End: 62, VLAN: 4094, SrcPort: 40000, DstPort: 80, Proto: ProtoTCP, Flags: FlagPorts | FlagTagged, TCPFlags: TCPAck}},
		{"echo", packettest.Echo("192.0.2.1", "198.51.100.1"),
			Info{L3: 14, L4: 34, End: 42, Proto: ProtoICMP, ICMPType: ICMPEcho}},
		{"echo v6 behind extension headers", packettest.Echo("2001:db8::1", "2001:db8::2", packettest.HopByHop(8), packettest.DestinationOptions(16)),
			Info{L3: 14, L4: 78, End: 86, Proto: ProtoICMPv6, Flags: FlagIPv6, ICMPType: ICMPv6Echo}},
		{"atomic fragment", udp6(packettest.Fragment(0, false)),
			Info{L3: 14, L4: 62, End: 70, SrcPort: 40000, DstPort: 80, Proto: ProtoUDP, Flags: FlagPorts | FlagIPv6}},
		{"first fragment", udp4(packettest.Fragment(0, true), packettest.PayloadSize(8)),
			Info{L3: 14, L4: 34, End: 50, Proto: ProtoUDP, Flags: FlagFragment}},
		{"later fragment", tcp6(packettest.Fragment(1000, false), packettest.PayloadSize(3)),
			Info{L3: 14, L4: 62, End: 65, Proto: ProtoTCP, Flags: FlagFragment | FlagLater | FlagIPv6}},
	} {
		var info Info
		if why := Parse(c.frame, &info); why != OK || info != c.want {
			t.Errorf("%s: %v, %+v, want %+v", c.name, why, info, c.want)
		}
	}
}

func TestReasonNames(t *testing.T) {
	seen := make(map[string]Reason)
	for r := OK; r < Reasons; r++ {
		name := r.String()
		if name == "" {
			t.Errorf("reason %d has no name", r)
		}
		if twin, taken := seen[name]; taken {
			t.Errorf("reasons %d and %d are both called %q", twin, r, name)
		}
		seen[name] = r
	}
	if got := Reason(255).String(); got != "reason(255)" {
		t.Errorf("beyond the last: %q", got)
	}
}
