package packettest

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
)

// An Outer is what stands in front of a packet in a packet.
type Outer struct {
	Src, Dst         netip.Addr
	TTL, TOS         uint8
	DF               bool
	ID               uint16
	Label            uint32 // IPv6: the flow label
	SrcPort, DstPort uint16 // 0: there is no UDP header
	Checksum         uint16 // of UDP
}

// Unwrap takes a packet out of the packet in frame, behind an IPv4 or IPv6
// header and perhaps UDP and GUE of version 0, and returns it in a frame of its
// own, with the same Ethernet header. The error says what is wrong with the
// outer headers, their lengths and checksums; the inside isn't looked at.
func Unwrap(frame []byte) (*Outer, []byte, error) {
	l3 := 14
	if len(frame) > 18 && binary.BigEndian.Uint16(frame[12:]) == uint16(layers.EthernetTypeDot1Q) {
		l3 = 18
	}
	if len(frame) < l3+20 {
		return nil, nil, errors.New("too short")
	}
	o := new(Outer)
	proto, rest, pseudo, err := o.network(frame[l3:], binary.BigEndian.Uint16(frame[l3-2:]))
	if err == nil && proto == layers.IPProtocolUDP {
		proto, rest, err = o.gue(rest, pseudo)
	}
	if err != nil {
		return nil, nil, err
	}
	typ := layers.EthernetTypeIPv4
	switch proto {
	case layers.IPProtocolIPv4:
	case layers.IPProtocolIPv6:
		typ = layers.EthernetTypeIPv6
	default:
		return nil, nil, fmt.Errorf("protocol %d is no packet in a packet", proto)
	}
	inner := binary.BigEndian.AppendUint16(slices.Clone(frame[:l3-2]), uint16(typ))
	return o, append(inner, rest...), nil
}

// network decodes the outer IP header. It returns what follows, and the part of
// the pseudo-header that is the addresses.
func (o *Outer) network(ip []byte, typ uint16) (proto layers.IPProtocol, rest, pseudo []byte, err error) {
	if typ == uint16(layers.EthernetTypeIPv6) {
		var h layers.IPv6
		if err := h.DecodeFromBytes(ip, gopacket.NilDecodeFeedback); err != nil {
			return 0, nil, nil, err
		}
		if h.Version != 6 || int(h.Length) != len(h.Payload) {
			return 0, nil, nil, fmt.Errorf("IPv6 version %d, payload length %d, have %d bytes", h.Version, h.Length, len(h.Payload))
		}
		o.TTL, o.TOS, o.Label = h.HopLimit, h.TrafficClass, h.FlowLabel
		o.Src, o.Dst = netip.AddrFrom16([16]byte(h.SrcIP)), netip.AddrFrom16([16]byte(h.DstIP))
		return h.NextHeader, h.Payload, slices.Concat(h.SrcIP, h.DstIP), nil
	}
	if typ != uint16(layers.EthernetTypeIPv4) {
		return 0, nil, nil, fmt.Errorf("EtherType %#04x", typ)
	}
	var h layers.IPv4
	if err := h.DecodeFromBytes(ip, gopacket.NilDecodeFeedback); err != nil {
		return 0, nil, nil, err
	}
	if h.Version != 4 || h.IHL != 5 || int(h.Length) != len(h.Payload)+20 {
		return 0, nil, nil, fmt.Errorf("IPv4 version %d, header %d, length %d, have %d bytes", h.Version, h.IHL, h.Length, len(h.Payload)+20)
	}
	if sum := SlowChecksum(h.Contents); sum != 0 {
		return 0, nil, nil, fmt.Errorf("IPv4 header checksum is off by %#04x", sum)
	}
	o.TTL, o.TOS, o.ID, o.DF = h.TTL, h.TOS, h.Id, h.Flags == layers.IPv4DontFragment
	o.Src, o.Dst = netip.AddrFrom4([4]byte(h.SrcIP.To4())), netip.AddrFrom4([4]byte(h.DstIP.To4()))
	return h.Protocol, h.Payload, slices.Concat(h.SrcIP.To4(), h.DstIP.To4()), nil
}

// gue decodes the headers of UDP and GUE.
func (o *Outer) gue(b, pseudo []byte) (proto layers.IPProtocol, rest []byte, err error) {
	if len(b) < 12 || int(binary.BigEndian.Uint16(b[4:])) != len(b) {
		return 0, nil, fmt.Errorf("UDP length %x, have %d bytes", b[4:min(6, len(b))], len(b))
	}
	o.SrcPort, o.DstPort, o.Checksum = binary.BigEndian.Uint16(b), binary.BigEndian.Uint16(b[2:]), binary.BigEndian.Uint16(b[6:])
	covered := slices.Concat(pseudo, []byte{0, 17}, b[4:6], b)
	switch {
	case o.Checksum == 0 && len(pseudo) == 32:
		return 0, nil, errors.New("UDP over IPv6 without a checksum")
	case o.Checksum != 0 && SlowChecksum(covered) != 0:
		return 0, nil, fmt.Errorf("UDP checksum is off by %#04x", SlowChecksum(covered))
	case b[8] != 0 || b[10] != 0 || b[11] != 0:
		return 0, nil, fmt.Errorf("GUE header %x, want version 0 without options", b[8:12])
	}
	return layers.IPProtocol(b[9]), b[12:], nil
}
