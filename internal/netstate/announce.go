package netstate

import (
	"encoding/binary"
	"net/netip"

	"golang.org/x/sys/unix"

	"appliance/engine/packet"
)

// The kernel doesn't announce addresses that are added to a link that is up,
// unless arp_notify and ndisc_notify say so. The frames here do, once.

const (
	etherTypeARP    = 0x0806
	arpSize         = 28
	advertisement   = 136 // ICMPv6 type (RFC 4861 section 4.4)
	advertiseSize   = 32  // with the target link-layer address option
	overrideFlag    = 1 << 29
	targetLinkLayer = 2 // option type
)

// announce broadcasts that a is at mac, on the link of that index.
func (k *kernel) announce(a netip.Addr, link int, mac [6]byte) error {
	frameOf := gratuitousARP
	if a.Is6() {
		frameOf = unsolicitedNA
	}
	to := &unix.SockaddrLinklayer{Ifindex: link, Halen: 6}
	return unix.Sendto(k.packets, frameOf(a, mac), 0, to)
}

// gratuitousARP returns an ARP announcement: a request whose sender and target
// are a (RFC 5227 section 2.3).
func gratuitousARP(a netip.Addr, mac [6]byte) []byte {
	frame := make([]byte, packet.EthernetSize+arpSize)
	e := packet.Ethernet(frame)
	e.SetDst([6]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff})
	e.SetSrc(mac)
	e.SetType(etherTypeARP)
	arp := frame[packet.EthernetSize:]
	ip := a.As4()
	copy(arp, []byte{0, 1, 8, 0, 6, 4, 0, 1}) // Ethernet, IPv4, their lengths, request
	copy(arp[8:], mac[:])
	copy(arp[14:], ip[:])
	copy(arp[24:], ip[:])
	return frame
}

// unsolicitedNA returns a neighbour advertisement to all nodes that overrides
// what they know of a (RFC 4861 section 7.2.6).
func unsolicitedNA(a netip.Addr, mac [6]byte) []byte {
	frame := make([]byte, packet.EthernetSize+packet.IPv6Size+advertiseSize)
	e := packet.Ethernet(frame)
	e.SetDst([6]byte{0x33, 0x33, 0, 0, 0, 1})
	e.SetSrc(mac)
	e.SetType(packet.EtherTypeIPv6)
	ip := packet.IPv6(frame[packet.EthernetSize:])
	src, allNodes := a.As16(), netip.IPv6LinkLocalAllNodes().As16()
	ip[0] = 6 << 4
	ip.SetPayloadLen(advertiseSize)
	ip.SetNextHeader(packet.ProtoICMPv6)
	ip.SetHopLimit(255) // receivers insist (section 7.1.2)
	ip.SetSrc(&src)
	ip.SetDst(&allNodes)
	body := frame[packet.EthernetSize+packet.IPv6Size:]
	na := packet.ICMP(body)
	na.SetType(advertisement)
	na.SetRest(overrideFlag)
	copy(body[8:], src[:])
	body[24], body[25] = targetLinkLayer, 1
	copy(body[26:], mac[:])
	na.SetChecksum(packet.Checksum(body, pseudoHeader(ip)))
	return frame
}

// pseudoHeader returns the sum of the pseudo-header (RFC 8200 section 8.1).
func pseudoHeader(ip packet.IPv6) uint32 {
	var rest [8]byte
	binary.BigEndian.PutUint32(rest[0:], uint32(ip.PayloadLen()))
	rest[7] = ip.NextHeader()
	return packet.Sum(rest[:], packet.Sum(ip.Addrs()[:], 0))
}
