package packet

// Flags that Parse sets in Info.Flags.
const (
	FlagIPv6     uint8 = 1 << iota // IPv6, else IPv4
	FlagTagged                     // one 802.1Q tag, whose VLAN id is Info.VLAN
	FlagFragment                   // part of a fragmented datagram (first, middle or last): ports are not set
	FlagPorts                      // SrcPort and DstPort are set: whole TCP or UDP, or a fragment whose ports somebody knows
	FlagLater                      // a fragment that is not its datagram's first: it has no transport header
)

// Info is what Parse learns about a frame. Offsets count from the first byte
// of the Ethernet header. Parse fills every field; the zero Info describes no
// packet.
type Info struct {
	L3       uint16 // IP header
	L4       uint16 // transport header: behind IPv4 options or IPv6 extension headers
	End      uint16 // one past the IP datagram: Ethernet padding lies behind it
	VLAN     uint16 // 802.1Q VLAN id, valid iff FlagTagged
	SrcPort  uint16 // valid iff FlagPorts; host byte order
	DstPort  uint16 // valid iff FlagPorts; host byte order
	Proto    uint8  // transport protocol (IANA number) after extension headers
	Flags    uint8
	TCPFlags uint8 // byte 13 of the TCP header, valid iff Proto is TCP and not a fragment
	ICMPType uint8 // valid iff Proto is ICMP or ICMPv6 and not a fragment
}

// Ports returns both ports, the source in the high half: what an RSS hash
// takes. Valid iff FlagPorts.
func (i *Info) Ports() uint32 { return uint32(i.SrcPort)<<16 | uint32(i.DstPort) }

// IPv4 returns the IPv4 packet in frame, up to its end. Valid iff not FlagIPv6.
func (i *Info) IPv4(frame []byte) IPv4 { return IPv4(frame[i.L3:i.End]) }

// IPv6 returns the IPv6 packet in frame, up to its end. Valid iff FlagIPv6.
func (i *Info) IPv6(frame []byte) IPv6 { return IPv6(frame[i.L3:i.End]) }

// TCP returns the segment in frame. Valid iff Proto is TCP, not a fragment.
func (i *Info) TCP(frame []byte) TCP { return TCP(frame[i.L4:i.End]) }

// UDP returns the datagram in frame. Valid iff Proto is UDP, not a fragment.
func (i *Info) UDP(frame []byte) UDP { return UDP(frame[i.L4:i.End]) }

// ICMP returns the message in frame. Valid iff Proto is ICMP or ICMPv6, not a
// fragment.
func (i *Info) ICMP(frame []byte) ICMP { return ICMP(frame[i.L4:i.End]) }

// shift moves the offsets of a frame that grew by n bytes at the front.
func (i *Info) shift(n int) {
	i.L3 += uint16(n)
	i.L4 += uint16(n)
	i.End += uint16(n)
}

// icmp reports whether the packet is ICMP, of either version.
func (i *Info) icmp() bool { return i.Proto == ProtoICMP || i.Proto == ProtoICMPv6 }

// ipSize returns the length of the packet's IP header without options.
func (i *Info) ipSize() int {
	if i.Flags&FlagIPv6 != 0 {
		return IPv6Size
	}
	return IPv4Size
}
