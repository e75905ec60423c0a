package packettest

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"net/netip"
	"testing"

	"github.com/google/gopacket/layers"
)

// A Checker says what is wrong with a packet, or nil.
type Checker func(p *Packet) error

// Check fails t when frame doesn't decode, has a wrong length or checksum, or
// displeases a checker.
func Check(t testing.TB, frame []byte, checks ...Checker) {
	t.Helper()
	p, err := Decode(frame)
	if err != nil {
		t.Errorf("packettest: decode: %v\n%s", err, hex.Dump(frame))
		return
	}
	for _, check := range checks {
		if err := check(p); err != nil {
			t.Errorf("packettest: %v\n%s", err, hex.Dump(frame))
		}
	}
}

// equal is what most checkers end in.
func equal[T comparable](what string, got, want T) error {
	if got != want {
		return fmt.Errorf("%s is %v, want %v", what, got, want)
	}
	return nil
}

// WantSrc wants the source "address" or "address:port".
func WantSrc(want string) Checker {
	return func(p *Packet) error { return equal("source", p.end(true, want), want) }
}

// WantDst wants the destination "address" or "address:port".
func WantDst(want string) Checker {
	return func(p *Packet) error { return equal("destination", p.end(false, want), want) }
}

// end returns an end of the packet in the form that like has.
func (p *Packet) end(src bool, like string) string {
	var raw []byte
	switch {
	case p.IPv4 != nil && src:
		raw = p.IPv4.SrcIP.To4()
	case p.IPv4 != nil:
		raw = p.IPv4.DstIP.To4()
	case src:
		raw = p.IPv6.SrcIP
	default:
		raw = p.IPv6.DstIP
	}
	addr, _ := netip.AddrFromSlice(raw)
	if _, err := netip.ParseAddrPort(like); err != nil {
		return addr.String()
	}
	return netip.AddrPortFrom(addr, p.port(src)).String()
}

func (p *Packet) port(src bool) uint16 {
	switch {
	case p.TCP != nil && src:
		return uint16(p.TCP.SrcPort)
	case p.TCP != nil:
		return uint16(p.TCP.DstPort)
	case p.UDP != nil && src:
		return uint16(p.UDP.SrcPort)
	case p.UDP != nil:
		return uint16(p.UDP.DstPort)
	}
	return 0
}

// WantMACs wants the link-layer addresses.
func WantMACs(src, dst [6]byte) Checker {
	return func(p *Packet) error {
		got := [2][6]byte{[6]byte(p.Ethernet.SrcMAC), [6]byte(p.Ethernet.DstMAC)}
		return equal("pair of MAC addresses", got, [2][6]byte{src, dst})
	}
}

// WantVLAN wants the 802.1Q tag id and priority.
func WantVLAN(id uint16, priority uint8) Checker {
	return func(p *Packet) error {
		if p.Dot1Q == nil {
			return fmt.Errorf("untagged, want VLAN %d", id)
		}
		got := [2]uint16{p.Dot1Q.VLANIdentifier, uint16(p.Dot1Q.Priority)}
		return equal("VLAN and priority", got, [2]uint16{id, uint16(priority)})
	}
}

// WantUntagged wants no 802.1Q tag.
func WantUntagged() Checker {
	return func(p *Packet) error { return equal("tagged", p.Dot1Q != nil, false) }
}

// WantTTL wants the TTL or hop limit.
func WantTTL(want uint8) Checker {
	return func(p *Packet) error {
		if p.IPv4 != nil {
			return equal("TTL", p.IPv4.TTL, want)
		}
		return equal("hop limit", p.IPv6.HopLimit, want)
	}
}

// WantTOS wants the TOS or traffic class.
func WantTOS(want uint8) Checker {
	return func(p *Packet) error {
		if p.IPv4 != nil {
			return equal("TOS", p.IPv4.TOS, want)
		}
		return equal("traffic class", p.IPv6.TrafficClass, want)
	}
}

// WantFlags wants exactly the TCP flags in letters; see Flags.
func WantFlags(letters string) Checker {
	return func(p *Packet) error {
		if p.TCP == nil {
			return fmt.Errorf("no TCP segment")
		}
		var s spec
		Flags(letters)(&s)
		return equal("TCP flags", flagLetters(p.TCP), flagLetters(&s.tcp))
	}
}

func flagLetters(t *layers.TCP) string {
	var b []byte
	for i, set := range []bool{t.SYN, t.ACK, t.FIN, t.RST, t.PSH, t.URG, t.ECE, t.CWR} {
		if set {
			b = append(b, "SAFRPUEC"[i])
		}
	}
	return string(b)
}

// WantSeqAck wants the TCP sequence and acknowledgment numbers.
func WantSeqAck(seq, ack uint32) Checker {
	return func(p *Packet) error {
		if p.TCP == nil {
			return fmt.Errorf("no TCP segment")
		}
		return equal("pair of sequence numbers", [2]uint32{p.TCP.Seq, p.TCP.Ack}, [2]uint32{seq, ack})
	}
}

// WantICMP wants an ICMP or ICMPv6 message of that type and code.
func WantICMP(typ, code uint8) Checker {
	return func(p *Packet) error {
		want := [2]uint8{typ, code}
		switch {
		case p.ICMPv4 != nil:
			return equal("ICMP type and code", [2]uint8{p.ICMPv4.TypeCode.Type(), p.ICMPv4.TypeCode.Code()}, want)
		case p.ICMPv6 != nil:
			return equal("ICMPv6 type and code", [2]uint8{p.ICMPv6.TypeCode.Type(), p.ICMPv6.TypeCode.Code()}, want)
		}
		return fmt.Errorf("no ICMP message")
	}
}

// WantPayload wants the bytes behind the transport header.
func WantPayload(want []byte) Checker {
	return func(p *Packet) error {
		if !bytes.Equal(p.Payload, want) {
			return fmt.Errorf("payload is %x, want %x", p.Payload, want)
		}
		return nil
	}
}

// WantPayloadLen wants the number of bytes behind the transport header.
func WantPayloadLen(want int) Checker {
	return func(p *Packet) error { return equal("payload length", len(p.Payload), want) }
}
