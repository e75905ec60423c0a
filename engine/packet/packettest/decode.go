package packettest

import (
	"errors"
	"fmt"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
)

// A Packet is a frame as gopacket decodes it. Headers that it doesn't have are
// nil.
type Packet struct {
	Ethernet *layers.Ethernet
	Dot1Q    *layers.Dot1Q
	IPv4     *layers.IPv4
	IPv6     *layers.IPv6
	TCP      *layers.TCP
	UDP      *layers.UDP
	ICMPv4   *layers.ICMPv4
	ICMPv6   *layers.ICMPv6
	Payload  []byte // behind the transport header, or the IP header of a fragment
}

// Decode decodes a frame. It returns an error when the frame is no IP packet,
// is shorter than it says, or has a wrong checksum. gopacket doesn't look behind
// IPv6 fragment headers, and refuses routing headers of other types than 0.
func Decode(frame []byte) (*Packet, error) {
	p := new(Packet)
	for _, l := range gopacket.NewPacket(frame, layers.LayerTypeEthernet, gopacket.NoCopy).Layers() {
		if failure, ok := l.(gopacket.ErrorLayer); ok {
			return p, failure.Error()
		}
		if p.take(l) {
			break
		}
	}
	switch {
	case p.IPv4 != nil:
		return p, p.verify4()
	case p.IPv6 != nil:
		return p, p.verify6()
	}
	return p, errors.New("no IP packet")
}

// take files a layer and reports whether it was a transport header. What
// gopacket makes of the bytes behind that (DNS, tunnels) is not our concern.
func (p *Packet) take(l gopacket.Layer) (transport bool) {
	switch l := l.(type) {
	case *layers.Ethernet:
		p.Ethernet = l
	case *layers.Dot1Q:
		p.Dot1Q = l
	case *layers.IPv4:
		p.IPv4, p.Payload = l, l.Payload
	case *layers.IPv6:
		p.IPv6, p.Payload = l, l.Payload
	case *layers.TCP:
		p.TCP, p.Payload = l, l.Payload
	case *layers.UDP:
		p.UDP, p.Payload = l, l.Payload
	case *layers.ICMPv4:
		p.ICMPv4, p.Payload = l, l.Payload
	case *layers.ICMPv6:
		p.ICMPv6, p.Payload = l, l.Payload[min(4, len(l.Payload)):] // gopacket's header has 4 bytes
	}
	return p.TCP != nil || p.UDP != nil || p.ICMPv4 != nil || p.ICMPv6 != nil
}

func (p *Packet) verify4() error {
	ip := p.IPv4
	if have := len(ip.Contents) + len(ip.Payload); int(ip.Length) != have {
		return fmt.Errorf("IPv4 total length %d, have %d bytes", ip.Length, have)
	}
	if sum := SlowChecksum(ip.Contents); sum != 0 {
		return fmt.Errorf("IPv4 header checksum %#04x is off by %#04x", ip.Checksum, sum)
	}
	pseudo := append(append([]byte{}, ip.SrcIP.To4()...), ip.DstIP.To4()...)
	if p.ICMPv4 != nil {
		pseudo = nil
	}
	return p.verifyTransport(pseudo, uint8(ip.Protocol))
}

func (p *Packet) verify6() error {
	have := len(p.IPv6.Payload)
	if p.IPv6.HopByHop != nil {
		have += len(p.IPv6.HopByHop.Contents) // gopacket counts them to the header
	}
	if int(p.IPv6.Length) != have {
		return fmt.Errorf("IPv6 payload length %d, have %d bytes", p.IPv6.Length, have)
	}
	pseudo := append(append([]byte{}, p.IPv6.SrcIP...), p.IPv6.DstIP...)
	switch {
	case p.TCP != nil:
		return p.verifyTransport(pseudo, 6)
	case p.UDP != nil && p.UDP.Checksum == 0:
		return errors.New("UDP over IPv6 without a checksum")
	case p.UDP != nil:
		return p.verifyTransport(pseudo, 17)
	}
	return p.verifyTransport(pseudo, 58)
}

// verifyTransport verifies the transport checksum, which covers the addresses
// in pseudo unless that is nil, and the lengths that cover the payload.
func (p *Packet) verifyTransport(pseudo []byte, proto uint8) error {
	var l layers.BaseLayer
	switch {
	case p.TCP != nil:
		l = p.TCP.BaseLayer
	case p.UDP != nil && p.UDP.Checksum == 0:
		return nil
	case p.UDP != nil:
		l = p.UDP.BaseLayer
		if int(p.UDP.Length) != len(l.Contents)+len(l.Payload) {
			return fmt.Errorf("UDP length %d, have %d bytes", p.UDP.Length, len(l.Contents)+len(l.Payload))
		}
	case p.ICMPv4 != nil:
		l = p.ICMPv4.BaseLayer
	case p.ICMPv6 != nil:
		l = p.ICMPv6.BaseLayer
	default:
		return nil // fragment or unknown protocol
	}
	n := len(l.Contents) + len(l.Payload)
	covered := append([]byte{}, pseudo...)
	if pseudo != nil {
		covered = append(covered, 0, proto, byte(n>>8), byte(n))
	}
	covered = append(append(covered, l.Contents...), l.Payload...)
	if sum := SlowChecksum(covered); sum != 0 {
		return fmt.Errorf("transport checksum is off by %#04x", sum)
	}
	return nil
}

// SlowChecksum returns the Internet checksum of b, word by word as RFC 1071
// section 4.1 writes it: the oracle of package packet's fast one.
func SlowChecksum(b []byte) uint16 {
	sum := uint32(0)
	for i, c := range b {
		if i%2 == 0 {
			sum += uint32(c) << 8
		} else {
			sum += uint32(c)
		}
		sum = sum&0xffff + sum>>16
	}
	return ^uint16(sum)
}
