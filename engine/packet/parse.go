package packet

import (
	"encoding/binary"
	"net/netip"
)

// maxFrame is the longest frame that Info's offsets can describe.
const maxFrame = 1<<16 - 1

// Parse checks the headers of an Ethernet frame and fills info. It returns OK,
// or why the frame must be dropped; info then holds what was learnt so far.
//
// What it checks is what every later stage relies on. After OK,
//
//	EthernetSize <= L3 < L4 < End <= len(frame),
//
// the bytes from L3 to L4 are whole IP headers, and those from L4 to End begin
// with a whole transport header, unless they are a later fragment. Both
// addresses are those of a single host.
//
// The transport checksum isn't read, for it covers the payload: see VerifyL4.
func Parse(frame []byte, info *Info) Reason {
	*info = Info{}
	if len(frame) < EthernetSize {
		return Truncated
	}
	if len(frame) > maxFrame {
		return BadLength
	}
	typ := binary.BigEndian.Uint16(frame[12:])
	l3 := EthernetSize
	if typ == EtherTypeVLAN {
		if len(frame) < EthernetSize+VLANSize {
			return Truncated
		}
		info.Flags = FlagTagged
		info.VLAN = binary.BigEndian.Uint16(frame[14:]) & vlanID
		typ = binary.BigEndian.Uint16(frame[16:])
		l3 = EthernetSize + VLANSize
	}
	info.L3 = uint16(l3)
	switch typ {
	case EtherTypeIPv4:
		return parseIPv4(frame[l3:], info)
	case EtherTypeIPv6:
		return parseIPv6(frame[l3:], info)
	}
	return BadEthertype
}

// HostAddr reports whether Parse takes a for the address of a single host, as
// source and as destination. IPv4-mapped addresses aren't: they name IPv4
// packets, which don't hold them.
func HostAddr(a netip.Addr) bool {
	if a.Is4() {
		b := a.As4()
		return hostIPv4(binary.BigEndian.Uint32(b[:]))
	}
	b := a.As16()
	return a.IsValid() && hostIPv6(&b)
}

// parseTransport checks the transport header of a whole datagram, whose
// payload l4 is. icmp is the protocol number that ICMP has over this version
// of IP; the other version's is as unknown as any.
func parseTransport(l4 []byte, icmp uint8, info *Info) Reason {
	switch info.Proto {
	case ProtoUDP:
		return parseUDP(l4, info)
	case ProtoTCP:
		return parseTCP(l4, info)
	case icmp:
		if len(l4) < ICMPSize {
			return Truncated
		}
		info.ICMPType = l4[0]
		return OK
	}
	return UnknownProto
}

// parseUDP checks a UDP datagram. Bytes that IP carries behind the UDP length
// are legal: UDP options live there (RFC 9868).
func parseUDP(l4 []byte, info *Info) Reason {
	if len(l4) < UDPSize {
		return Truncated
	}
	h := binary.BigEndian.Uint64(l4)
	if n := int(h >> 16 & 0xffff); n < UDPSize || n > len(l4) {
		return BadLength
	}
	if h&0xffff == 0 && info.Flags&FlagIPv6 != 0 {
		return BadL4Checksum // none where one is due: RFC 8200 section 8.1
	}
	return parsePorts(uint32(h>>32), info)
}

// parseTCP checks a TCP segment.
func parseTCP(l4 []byte, info *Info) Reason {
	if len(l4) < TCPSize {
		return Truncated
	}
	if n := TCP(l4).HeaderLen(); n < TCPSize || n > len(l4) {
		return BadLength
	}
	info.TCPFlags = l4[13]
	if badTCPFlags(info.TCPFlags) {
		return BadTCPFlags
	}
	return parsePorts(binary.BigEndian.Uint32(l4), info)
}

// badTCPFlags reports flags that no stack sends: none, or SYN together with
// FIN or RST. ECE and CWR go with any.
func badTCPFlags(f uint8) bool {
	return f&(TCPCwr-1)&^TCPEce == 0 || f&TCPSyn != 0 && f&(TCPFin|TCPRst) != 0
}

// parsePorts stores the ports, the source in the high half of ports.
func parsePorts(ports uint32, info *Info) Reason {
	info.SrcPort, info.DstPort = uint16(ports>>16), uint16(ports)
	if info.SrcPort == 0 || info.DstPort == 0 {
		return BadPort
	}
	info.Flags |= FlagPorts
	return OK
}

// parseFragment checks a fragment whose payload is l4, at byte offset of its
// datagram's; more says that it isn't the last. The ports stay unread even in
// a first one: they are the datagram's, which nobody has put together.
func parseFragment(l4 []byte, offset int, more bool, icmp uint8, info *Info) Reason {
	info.Flags |= FlagFragment
	if offset > 0 {
		info.Flags |= FlagLater
	}
	header := 0
	switch info.Proto {
	case ProtoTCP:
		header = TCPSize
	case ProtoUDP, icmp:
		header = UDPSize
	default:
		return UnknownProto
	}
	switch {
	case offset == 0 && len(l4) < header:
		return Truncated // RFC 1858 section 3, RFC 7112 section 5
	case offset > 0 && offset < header:
		return BadLength // would overwrite that header: RFC 3128
	case len(l4) == 0, more && len(l4)%8 != 0, offset+len(l4) > maxFrame:
		return BadLength // RFC 791 section 3.2, RFC 8200 section 4.5
	}
	return OK
}
