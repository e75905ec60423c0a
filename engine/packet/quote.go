package packet

import "encoding/binary"

// minQuote is how much of a packet's transport part an ICMP error quotes at
// least, in bytes (RFC 792): the ports, and what tells TCP segments apart.
const minQuote = 8

// quotes reports whether an ICMP message is an error about a packet, which it
// quotes. Redirects quote one too, but concern the hosts of a link only, as do
// source quenches, which are obsolete (RFC 6633).
func (i *Info) quotes() bool {
	if i.Flags&FlagIPv6 != 0 {
		return i.ICMPType >= ICMPv6Unreachable && i.ICMPType <= ICMPv6ParameterProblem
	}
	switch i.ICMPType {
	case ICMPUnreachable, ICMPTimeExceeded, ICMPParameterProblem:
		return true
	}
	return false
}

// QuoteL3 returns the offset of the IP header that an ICMP error quotes. Valid
// iff FlagICMPError.
func (i *Info) QuoteL3() int { return int(i.L4) + ICMPSize }

// parseQuote reads the packet that the ICMP error at offset header of IP packet
// p quotes. The error of a router about a packet from S to D looks like this:
//
//	+--------------------+------+--------------+------------------+------------+---------+------------+
//	| IP: router to S    | ICMP | IP: S to D   | options or       | ports of S | and so  | extensions |
//	|                    |      |              | extension headers| and D      | on      | (RFC 4884) |
//	+--------------------+------+--------------+------------------+------------+---------+------------+
//	L3                   L4     QuoteL3()                         QuoteL4                QuoteEnd     End
//
// It sets FlagICMPError if that packet is TCP or UDP and the ports are in it.
// Errors about other protocols and about later fragments stay as they are. What
// is checked follows RFC 5508 REQ-3; the quoted transport checksum isn't, for
// hardly any quote holds all that it covers.
func parseQuote(p []byte, header int, info *Info) Reason {
	h := ICMP(p[header:])
	quote := h[ICMPSize:]
	if n := h.extended(info.Flags&FlagIPv6 != 0); n > len(quote) {
		return BadQuote
	} else if n > 0 {
		quote = quote[:n]
	}
	inner := Info{Flags: info.Flags & FlagIPv6}
	if !parseQuoted(p, quote, &inner) {
		return BadQuote
	}
	if inner.Flags&FlagFragment != 0 || inner.Proto != ProtoTCP && inner.Proto != ProtoUDP {
		return OK
	}
	ports := binary.BigEndian.Uint32(quote[inner.L4:])
	info.SrcPort, info.DstPort = uint16(ports), uint16(ports>>16)
	if info.SrcPort == 0 || info.DstPort == 0 {
		return BadQuote
	}
	at := info.L4 + ICMPSize
	info.QuoteL4, info.QuoteEnd, info.QuoteProto = at+inner.L4, at+inner.End, inner.Proto
	info.Flags |= FlagICMPError
	return OK
}

// extended returns the length of the quoted packet in bytes as an error states
// it that has extensions behind that (RFC 4884 section 4), 0 if it states none.
func (h ICMP) extended(ipv6 bool) int {
	if !ipv6 {
		return int(h[5]) << 2
	}
	if t := h.Type(); t == ICMPv6Unreachable || t == ICMPv6TimeExceeded {
		return int(h[4]) << 3
	}
	return 0
}

// parseQuoted checks the beginning of a packet that an error in IP packet p
// quotes and fills inner, with offsets from the quote's first byte. It reports
// whether the quote holds what it must, and whether the quoted packet can be
// one that the error's receiver sent (RFC 1122 section 3.2.2, RFC 4443 section
// 2.2). FlagFragment says that it is a later fragment, without ports.
func parseQuoted(p, quote []byte, inner *Info) bool {
	if inner.Flags&FlagIPv6 == 0 {
		return parseQuotedIPv4(quote, IPv4(p).Dst(), inner)
	}
	return parseQuotedIPv6(quote, IPv6(p).Dst(), inner)
}

func parseQuotedIPv4(quote []byte, sender uint32, inner *Info) bool {
	h := IPv4(quote)
	if len(h) < IPv4Size || h[0]>>4 != 4 || h.HeaderLen() < IPv4Size {
		return false
	}
	end := min(len(h), int(h.TotalLen()))
	if h.HeaderLen()+minQuote > end || !soundIPv4(h[:h.HeaderLen()]) {
		return false
	}
	inner.L4, inner.End, inner.Proto = uint16(h.HeaderLen()), uint16(end), h.Proto()
	if h.FragmentWord()&fragmentOffset != 0 {
		inner.Flags |= FlagFragment
	}
	return h.Src() == sender && hostIPv4(h.Dst())
}

func parseQuotedIPv6(quote []byte, sender *[16]byte, inner *Info) bool {
	h := IPv6(quote)
	if len(h) < IPv6Size || h[0]>>4 != 6 {
		return false
	}
	end := min(len(h), IPv6Size+int(h.PayloadLen()))
	inner.L4, inner.End, inner.Proto = IPv6Size, uint16(end), h.NextHeader()
	l4, fragment, why := walkExtensions(h[IPv6Size:end], inner)
	if why != OK || len(l4) < minQuote {
		return false
	}
	if fragment&fragmentOffset6 != 0 {
		inner.Flags |= FlagFragment
	}
	return *h.Src() == *sender && hostIPv6(h.Dst())
}
