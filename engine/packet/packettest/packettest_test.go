package packettest

import (
	"slices"
	"testing"
)

const (
	client4, service4 = "192.0.2.1:40000", "198.51.100.1:80"
	client6, service6 = "[2001:db8::1]:40000", "[2001:db8:1::1]:80"
)

// recorder is a test that notes whether Check failed it.
type recorder struct {
	testing.TB
	failed bool
}

func (r *recorder) Helper()               {}
func (r *recorder) Errorf(string, ...any) { r.failed = true }

func accepted(frame []byte, checks ...Checker) bool {
	r := new(recorder)
	Check(r, frame, checks...)
	return !r.failed
}

func TestBuiltFramesDecode(t *testing.T) {
	for name, frame := range map[string][]byte{
		"TCP":                TCP(client4, service4),
		"TCP v6":             TCP(client6, service6, MSS(1400), PayloadSize(11)),
		"UDP":                UDP(client4, service4, PayloadSize(9), VLAN(3), Trailer(7)),
		"UDP v6":             UDP(client6, service6, PayloadSize(9)),
		"no checksum":        UDP(client4, service4, NoChecksum()),
		"echo":               Echo("192.0.2.1", "192.0.2.2", EchoID(3, 4), PayloadSize(5)),
		"echo v6":            Echo("2001:db8::1", "2001:db8::2", EchoID(3, 4), PayloadSize(5)),
		"extension headers":  UDP(client6, service6, HopByHop(8), DestinationOptions(208), PayloadSize(5)),
		"options":            TCP(client4, service4, IPOption(148, 0, 0), IPOption(1), DontFragment(), ID(7)),
		"fragments":          UDP(client4, service4, Fragment(8, true), PayloadSize(8)),
		"fragments v6":       TCP(client6, service6, Fragment(8, true), PayloadSize(8)),
		"to the DNS port":    UDP(client4, "192.0.2.2:53", PayloadSize(5)),
		"to the VXLAN port":  UDP(client4, "192.0.2.2:4789", PayloadSize(60)),
		"ICMP error":         ICMPError(3, 4, 1400, "192.0.2.9", "192.0.2.1", TCP(client4, service4)[14:], TTL(9)),
		"ICMPv6 error":       ICMPError(2, 0, 1400, "2001:db8::9", "2001:db8::1", TCP(client6, service6)[14:], HopByHop(8)),
		"any other protocol": Raw(47, "192.0.2.1", "192.0.2.2", PayloadSize(5)),
	} {
		if p, err := Decode(frame); err != nil {
			t.Errorf("%s: %v: %+v", name, err, p)
		}
	}
}

// The damage that Check must find without any checker.
func TestCheckFindsDamage(t *testing.T) {
	for _, c := range []struct {
		name  string
		frame []byte
		at    int
	}{
		{"IPv4 header", TCP(client4, service4), 14 + 8},
		{"IPv4 total length", TCP(client4, service4, PayloadSize(4)), 14 + 3},
		{"IPv6 payload length", UDP(client6, service6, PayloadSize(4)), 14 + 5},
		{"IPv6 address", UDP(client6, service6), 14 + 30},
		{"TCP payload", TCP(client4, service4, PayloadSize(4)), 14 + 20 + 21},
		{"TCP v6 header", TCP(client6, service6), 14 + 40 + 5},
		{"UDP payload", UDP(client4, service4, PayloadSize(4)), 14 + 20 + 9},
		{"UDP length", UDP(client4, service4, PayloadSize(4)), 14 + 20 + 5},
		{"echo", Echo("192.0.2.1", "192.0.2.2"), 14 + 20 + 5},
		{"echo v6", Echo("2001:db8::1", "2001:db8::2"), 14 + 40 + 5},
		{"EtherType", UDP(client4, service4), 12},
	} {
		if !accepted(c.frame) {
			t.Errorf("%s: refused before it was damaged", c.name)
		}
		damaged := slices.Clone(c.frame)
		damaged[c.at] ^= 1
		if accepted(damaged) {
			t.Errorf("%s: damage not found", c.name)
		}
	}
	if accepted(UDP(client6, service6, NoChecksum())) {
		t.Error("UDP over IPv6 without a checksum not found")
	}
	if accepted(TCP(client4, service4)[:40]) || accepted(nil) {
		t.Error("truncated frame not found")
	}
}

func TestCheckers(t *testing.T) {
	seg := TCP(client4, service4, Flags("SEC"), SeqAck(5, 6), TTL(9), TOS(0xb8), VLAN(7), Priority(3), PayloadSize(2))
	dgram := UDP(client6, service6, TTL(9), TOS(0xb8))
	echo := Echo("192.0.2.1", "192.0.2.2", PayloadSize(3))
	echo6 := Echo("2001:db8::1", "2001:db8::2", PayloadSize(3))
	other := [6]byte{2, 9}
	for _, c := range []struct {
		name         string
		frame        []byte
		right, wrong Checker
	}{
		{"source and port", seg, WantSrc(client4), WantSrc("192.0.2.1:40001")},
		{"source", seg, WantSrc("192.0.2.1"), WantSrc("192.0.2.2")},
		{"destination and port", seg, WantDst(service4), WantDst("198.51.100.1:81")},
		{"source v6", dgram, WantSrc(client6), WantSrc("[2001:db8::2]:40000")},
		{"destination v6", dgram, WantDst(service6), WantDst("2001:db8::9")},
		{"MACs", seg, WantMACs(SrcMAC, DstMAC), WantMACs(SrcMAC, other)},
		{"VLAN", seg, WantVLAN(7, 3), WantVLAN(7, 2)},
		{"tag", dgram, WantUntagged(), WantVLAN(7, 3)},
		{"no tag", dgram, WantUntagged(), WantVLAN(0, 0)},
		{"TTL", seg, WantTTL(9), WantTTL(8)},
		{"hop limit", dgram, WantTTL(9), WantTTL(8)},
		{"TOS", seg, WantTOS(0xb8), WantTOS(0)},
		{"traffic class", dgram, WantTOS(0xb8), WantTOS(0)},
		{"flags", seg, WantFlags("SEC"), WantFlags("S")},
		{"sequence", seg, WantSeqAck(5, 6), WantSeqAck(5, 7)},
		{"payload", seg, WantPayload([]byte{0, 1}), WantPayload([]byte{0, 2})},
		{"payload length", echo6, WantPayloadLen(3), WantPayloadLen(7)},
		{"ICMP", echo, WantICMP(8, 0), WantICMP(8, 1)},
		{"ICMPv6", echo6, WantICMP(128, 0), WantICMP(129, 0)},
		{"flags of no segment", dgram, WantTTL(9), WantFlags("")},
		{"sequence of no segment", dgram, WantTTL(9), WantSeqAck(0, 0)},
		{"ICMP of no message", dgram, WantTTL(9), WantICMP(0, 0)},
		{"tagged", seg, WantTTL(9), WantUntagged()},
	} {
		if !accepted(c.frame, c.right) {
			t.Errorf("%s: refused what it wants", c.name)
		}
		if accepted(c.frame, c.wrong) {
			t.Errorf("%s: accepted what it doesn't want", c.name)
		}
	}
}

func TestSlowChecksum(t *testing.T) {
	if got := SlowChecksum([]byte{0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7}); got != 0x220d {
		t.Errorf("RFC 1071's example: %#04x, want 0x220d", got)
	}
	if got := SlowChecksum([]byte{0x12}); got != 0xedff {
		t.Errorf("odd byte: %#04x, want 0xedff", got)
	}
}
