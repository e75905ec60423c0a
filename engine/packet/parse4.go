package packet

import "encoding/binary"

// IPv4 options that Parse reads (RFC 791 section 3.1).
const (
	optionEnd          = 0
	optionNop          = 1
	optionLooseSource  = 131
	optionStrictSource = 137
)

// parseIPv4 checks the IPv4 packet that p begins with; p runs to the end of
// the frame.
func parseIPv4(p []byte, info *Info) Reason {
	if len(p) < IPv4Size {
		return Truncated
	}
	if p[0]>>4 != 4 {
		return BadVersion
	}
	header, total := IPv4(p).HeaderLen(), int(IPv4(p).TotalLen())
	if header < IPv4Size || total < header || total > len(p) {
		return BadLength
	}
	info.L4 = info.L3 + uint16(header)
	info.End = info.L3 + uint16(total)
	info.Proto = IPv4(p).Proto()
	if !soundIPv4(p[:header]) {
		return BadIPChecksum
	}
	if !hostIPv4(IPv4(p).Src()) {
		return BadSource
	}
	if !hostIPv4(IPv4(p).Dst()) {
		return BadDestination
	}
	if header > IPv4Size {
		if why := parseOptions(p[IPv4Size:header]); why != OK {
			return why
		}
	}
	if w := IPv4(p).FragmentWord(); w&fragmentMask != 0 {
		return parseFragment(p[header:total], int(w&fragmentOffset)<<3, w&MoreFragments != 0, ProtoICMP, info)
	}
	return parseTransport(p[:total], header, ProtoICMP, info)
}

// soundIPv4 reports whether the checksum of IPv4 header h is right: whether its
// words add up to 0xffff in one's complement arithmetic. That arithmetic is
// arithmetic modulo 0xffff, in which words of 32 bits are as good as of 16, for
// 1<<16 is 1; and the sum of a header, whose version isn't 0, isn't 0 either.
// The compiler makes of the remainder's test one multiplication.
func soundIPv4(h []byte) bool {
	_ = h[IPv4Size-1]
	sum := uint64(binary.LittleEndian.Uint32(h)) +
		uint64(binary.LittleEndian.Uint32(h[4:])) +
		uint64(binary.LittleEndian.Uint32(h[8:])) +
		uint64(binary.LittleEndian.Uint32(h[12:])) +
		uint64(binary.LittleEndian.Uint32(h[16:]))
	for at := IPv4Size; at < len(h); at += 4 {
		sum += uint64(binary.LittleEndian.Uint32(h[at:]))
	}
	return sum%0xffff == 0
}

// hostIPv4 reports whether a can be the address of a single host: not in
// 0.0.0.0/8, 127.0.0.0/8, nor 224.0.0.0 and above, which is multicast, reserved
// and broadcast (RFC 1122 section 3.2.1.3, RFC 1812 section 5.3.7).
func hostIPv4(a uint32) bool {
	return a>>24-1 < 223 && a>>24 != 127
}

// parseOptions checks that IPv4 options end where they say, and that none
// routes the packet by its source.
func parseOptions(o []byte) Reason {
	for len(o) > 0 {
		switch o[0] {
		case optionEnd:
			return OK
		case optionNop:
			o = o[1:]
			continue
		case optionLooseSource, optionStrictSource:
			return SourceRoute
		}
		if len(o) < 2 || o[1] < 2 || int(o[1]) > len(o) {
			return BadLength
		}
		o = o[o[1]:]
	}
	return OK
}
