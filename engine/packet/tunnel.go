package packet

import (
	"encoding/binary"
	"net/netip"
)

// Protocols of a packet in a packet (IANA protocol numbers).
const (
	ProtoIPv4 = 4  // RFC 2003, RFC 2473
	ProtoIPv6 = 41 // RFC 2473, RFC 4213
)

// GUESize is the length of a GUE header without optional fields, in bytes.
const GUESize = 4

// TunnelHeadroom is how many bytes Wrap needs in front of the frame at most.
const TunnelHeadroom = IPv6Size + UDPSize + GUESize

// firstEphemeral is the lowest UDP source port that a tunnel uses. There are
// 1<<14 of them, up to the last (RFC 7605 section 7.2, RFC 6335 section 6).
const firstEphemeral = 0xc000

// A TunnelConfig says where packets are tunnelled to, and how.
type TunnelConfig struct {
	Sources netip.Prefix // outer source addresses, from which each flow gets one
	Far     netip.Addr   // who takes the packets out again; of the family of Sources
	Inner6  bool         // what goes in is IPv6, else IPv4
	GUEPort uint16       // UDP port at the far end; 0: the packet follows the outer IP header
}

// Overhead returns how many bytes packets grow by.
func (c *TunnelConfig) Overhead() int {
	size := IPv6Size
	if c.Far.Is4() {
		size = IPv4Size
	}
	if c.GUEPort != 0 {
		size += UDPSize + GUESize
	}
	return size
}

// A Tunnel puts packets into packets to one far end. NewTunnel makes one; it is
// immutable, so any number of goroutines may use it.
//
//	+--------------+--------------+
//	| IPv4 or IPv6 | packet       |                          RFC 2003, 2473, 4213
//	+--------------+--------------+
//	| IPv4 or IPv6 | UDP | GUE    | packet |                 draft-ietf-intarea-gue
//	+--------------+-----+--------+--------+
//
// The GUE header is that of version 0, without optional fields, and says which
// protocol follows:
//
//	 0                   1                   2                   3
//	 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//	+---+-+---------+---------------+-------------------------------+
//	| 0 |C|  Hlen   |   protocol    |             flags             |
//	+---+-+---------+---------------+-------------------------------+
type Tunnel struct {
	head   [TunnelHeadroom]byte // the outer headers, as far as all packets have them in common
	size   int                  // of them, in bytes
	sum    uint32               // of what a checksum in them covers of head
	first  uint32               // least host part of a source
	hosts  uint64               // how many there are
	v6     bool                 // the outer header is IPv6
	inner6 bool
	udp    bool
}

// NewTunnel returns the Tunnel of c, whose addresses are valid and of one
// family.
func NewTunnel(c *TunnelConfig) *Tunnel {
	t := &Tunnel{size: c.Overhead(), v6: c.Far.Is6(), inner6: c.Inner6, udp: c.GUEPort != 0}
	t.first, t.hosts = hosts(c.Sources)
	proto := uint8(ProtoIPv4)
	if c.Inner6 {
		proto = ProtoIPv6
	}
	if t.udp {
		udp := t.head[t.size-UDPSize-GUESize:]
		UDP(udp).SetDstPort(c.GUEPort)
		udp[UDPSize+1] = proto
		proto = ProtoUDP
	}
	if t.v6 {
		h := IPv6(t.head[:])
		h.SetNextHeader(proto)
		h.SetHopLimit(answerTTL)
		src, dst := c.Sources.Masked().Addr().As16(), c.Far.As16()
		h.SetSrc(&src)
		h.SetDst(&dst)
		t.sum = Sum(t.head[8:t.size], ProtoUDP) // the pseudo-header and what follows it
		return t
	}
	h := IPv4(t.head[:IPv4Size])
	h[0] = 4<<4 | IPv4Size>>2
	h.SetFragmentWord(DontFragment)
	h.SetTTL(answerTTL)
	h[9] = proto
	src, dst := c.Sources.Masked().Addr().As4(), c.Far.As4()
	copy(h[12:], src[:])
	copy(h[16:], dst[:])
	t.sum = Sum(h, 0)
	return t
}

// hosts returns the least host part of a prefix's addresses, in its low 32 bits,
// and how many there are in a row. The first and the last host of a subnet are no
// single host's: the network and its broadcast address in IPv4, the routers'
// anycast address in IPv6.
func hosts(p netip.Prefix) (first uint32, n uint64) {
	switch bits := min(p.Addr().BitLen()-p.Bits(), 32); bits {
	case 0, 1: // RFC 3021, RFC 6164
		return 0, 1 << bits
	default:
		return 1, 1<<bits - 2
	}
}

// Size returns how many bytes packets grow by: what Wrap needs in front of the
// frame.
func (t *Tunnel) Size() int { return t.size }

// Wrap puts the packet of the frame at buf[off:] into one to the far end. The
// packet doesn't move, nor change: the outer headers go in front of it, and the
// Ethernet header, tag included, in front of those; off must be at least Size.
// info must be what Parse found in the frame, returning OK; it describes the
// outer packet on return. Wrap returns by how many bytes the frame grew.
//
// entropy is a number that packets of a flow share and those of other flows
// don't, spread over all its bits: source address, UDP source port and IPv6 flow
// label (RFC 6438) come from it, by which the far end's network card and the
// routers on the way tell flows apart.
//
// DSCP and ECN are the packet's (RFC 2983, uniform model; RFC 6040 section 4.1,
// normal mode). IPv4 packets carry Don't Fragment and so need no identification
// (RFC 6864 section 4.1). UDP over IPv4 has no checksum, for the packet inside
// has its own; over IPv6 it has (RFC 8200 section 8.1).
func (t *Tunnel) Wrap(buf []byte, off int, info *Info, entropy uint32) (grew int) {
	inner := buf[off+int(info.L3) : off+int(info.End)]
	frame := buf[off-t.size:]
	copy(frame, buf[off:off+int(info.L3)])
	outer := frame[info.L3:][:t.size]
	copy(outer, t.head[:t.size])
	host, port := t.variable(entropy)
	if t.v6 {
		t.wrap6(outer, inner, info, entropy, host, port)
	} else {
		t.wrap4(outer, inner, info, host, port)
	}
	t.describe(frame, info, port)
	return t.size
}

// Source returns where the packets of a flow with this entropy come from: the
// outer source address and, if there is one, the UDP port; else port 0.
func (t *Tunnel) Source(entropy uint32) netip.AddrPort {
	host, port := t.variable(entropy)
	if !t.udp {
		port = 0
	}
	if !t.v6 {
		a := [4]byte(t.head[12:])
		binary.BigEndian.PutUint32(a[:], binary.BigEndian.Uint32(a[:])|host)
		return netip.AddrPortFrom(netip.AddrFrom4(a), port)
	}
	a := *IPv6(t.head[:]).Src()
	binary.BigEndian.PutUint32(a[12:], binary.BigEndian.Uint32(a[12:])|host)
	return netip.AddrPortFrom(netip.AddrFrom16(a), port)
}

// variable returns what of the source a flow's entropy says: the host part of
// the address, in its low 32 bits, and the UDP port.
func (t *Tunnel) variable(entropy uint32) (host uint32, port uint16) {
	return t.first + uint32(uint64(entropy)*t.hosts>>32), firstEphemeral | uint16(entropy)
}

// wrap4 completes the outer headers over IPv4.
func (t *Tunnel) wrap4(outer, inner []byte, info *Info, host uint32, port uint16) {
	h := IPv4(outer[:IPv4Size])
	tos, total := tosOf(inner, info), uint16(len(outer)+len(inner))
	h[1] = tos
	h.SetTotalLen(total)
	binary.BigEndian.PutUint32(h[12:], h.Src()|host)
	h.SetChecksum(^Fold(t.sum + uint32(tos) + uint32(total) + host>>16 + host&0xffff))
	if t.udp {
		udp := UDP(outer[IPv4Size:])
		udp.SetSrcPort(port)
		udp.setLen(total - IPv4Size)
	}
}

// wrap6 completes the outer headers over IPv6.
func (t *Tunnel) wrap6(outer, inner []byte, info *Info, entropy, host uint32, port uint16) {
	const label = 1<<20 - 1
	tos, n := tosOf(inner, info), uint16(len(outer)-IPv6Size+len(inner))
	binary.BigEndian.PutUint32(outer, 6<<28|uint32(tos)<<20|entropy&label)
	IPv6(outer).SetPayloadLen(n)
	binary.BigEndian.PutUint32(outer[20:], binary.BigEndian.Uint32(outer[20:])|host)
	if t.udp {
		udp := UDP(outer[IPv6Size:])
		udp.SetSrcPort(port)
		udp.setLen(n)
		sum := t.sum + host>>16 + host&0xffff + uint32(port) + 2*uint32(n)
		if sum := ^Fold(sum + packetSum(inner, info)); sum != 0 {
			udp.SetChecksum(sum)
		} else {
			udp.SetChecksum(0xffff)
		}
	}
}

// describe makes info describe the outer packet, and the frame say its family.
func (t *Tunnel) describe(frame []byte, info *Info, port uint16) {
	info.End += uint16(t.size)
	info.Flags &^= FlagIPv6 | FlagFragment | FlagLater | FlagICMPError | FlagPorts
	info.SrcPort, info.DstPort, info.TCPFlags, info.ICMPType = 0, 0, 0, 0
	info.QuoteL4, info.QuoteEnd, info.QuoteProto = 0, 0, 0
	typ := uint16(EtherTypeIPv4)
	if t.v6 {
		typ = EtherTypeIPv6
		info.Flags |= FlagIPv6
	}
	binary.BigEndian.PutUint16(frame[info.L3-2:], typ)
	info.L4 = info.L3 + uint16(info.ipSize())
	switch {
	case t.udp:
		info.Proto, info.SrcPort = ProtoUDP, port
		info.DstPort = UDP(frame[info.L4:]).DstPort()
		info.Flags |= FlagPorts
	case t.inner6:
		info.Proto = ProtoIPv6
	default:
		info.Proto = ProtoIPv4
	}
}

// tosOf returns the TOS or traffic class of the packet ip.
func tosOf(ip []byte, info *Info) uint8 {
	if info.Flags&FlagIPv6 != 0 {
		return IPv6(ip).TrafficClass()
	}
	return IPv4(ip).TOS()
}

// packetSum is the sum of all words of the packet ip, as a checksum in front of
// it covers them. It need not read them: what a right checksum covers adds up to
// zero, and with it the pseudo-header, so the transport part adds up to what that
// leaves; an IPv4 header adds up to zero too. A packet whose transport checksum
// is wrong so gets a wrong one outside, and is dropped at the far end all the
// same. (Linux does likewise: "LCO" in its checksum-offloads.rst.)
func packetSum(ip []byte, info *Info) uint32 {
	n := info.End - info.L4
	if info.Flags&(FlagPorts|FlagFragment|FlagICMPError) != FlagPorts {
		return Sum(ip, 0) // a fragment's transport checksum covers the others too
	}
	if udp := UDP(ip[info.L4-info.L3:]); info.Proto == ProtoUDP && (udp.Checksum() == 0 || udp.Len() != n) {
		return Sum(ip, 0) // none, or behind it are bytes that it doesn't cover
	}
	less := uint32(^n) + uint32(^uint16(info.Proto)) // ^x is -x
	if info.Flags&FlagIPv6 == 0 {
		return less + uint32(^fold64(binary.BigEndian.Uint64(ip[12:])))
	}
	// The addresses are in both, header and pseudo-header.
	return less + Sum(ip[:8], 0) + Sum(ip[IPv6Size:info.L4-info.L3], 0)
}
