package packet

import "encoding/binary"

// Bounds on IPv6 extension headers. RFC 8504 section 5.3 lets a host set such
// limits. Real chains hold one to three headers of 8 to 24 bytes; a chain past
// either bound can only be meant to hide something or to cost us time.
const (
	maxExtensions     = 8
	maxExtensionBytes = 256
)

// Fields of the fragment header's bytes 2 and 3 (RFC 8200 section 4.5). The
// offset counts units of 8 bytes and stands three bits up, so it reads as bytes.
const (
	fragmentOffset6 = 0xfff8
	moreFragments6  = 0x0001
)

// extensionUnit is what lengths of extension headers count in, and the least
// that one has (RFC 8200 section 4).
const extensionUnit = 8

// parseIPv6 checks the IPv6 packet that p begins with; p runs to the end of
// the frame.
func parseIPv6(p []byte, info *Info) Reason {
	info.Flags |= FlagIPv6
	if len(p) < IPv6Size {
		return Truncated
	}
	if p[0]>>4 != 6 {
		return BadVersion
	}
	end := IPv6Size + int(IPv6(p).PayloadLen())
	if end > len(p) {
		return BadLength
	}
	info.L4 = info.L3 + IPv6Size
	info.End = info.L3 + uint16(end)
	info.Proto = IPv6(p).NextHeader()
	if !hostIPv6(IPv6(p).Src()) {
		return BadSource
	}
	if !hostIPv6(IPv6(p).Dst()) {
		return BadDestination
	}
	if isExtension(info.Proto) {
		return parseExtensions(p[:end], info)
	}
	return parseTransport(p[:end], IPv6Size, ProtoICMPv6, info)
}

// hostIPv6 reports whether a can be the address of a single host: neither
// multicast nor in ::/64, which holds the unspecified and the loopback address
// and everything that stands for an IPv4 address. The latter must not come off
// a wire (RFC 4291 section 2.5, RFC 4942 section 2.2): inside, an address of
// the form ::ffff:a.b.c.d is an IPv4 packet's.
func hostIPv6(a *[16]byte) bool {
	return a[0] != 0xff && binary.BigEndian.Uint64(a[:]) != 0
}

// parseExtensions walks the extension headers of IPv6 packet p, then checks
// what they lead to.
func parseExtensions(p []byte, info *Info) Reason {
	rest, fragment, why := walkExtensions(p[IPv6Size:], info)
	if why != OK {
		return why
	}
	if fragment != 0 {
		return parseFragment(rest, int(fragment&fragmentOffset6), fragment&moreFragments6 != 0, ProtoICMPv6, info)
	}
	return parseTransport(p, len(p)-len(rest), ProtoICMPv6, info)
}

// walkExtensions walks the extension headers that rest begins with, of which
// info.Proto names the first. It moves info.L4 and info.Proto on to what they
// lead to, and returns that with the fragment's offset in bytes and M bit.
// Behind the fragment header of a later fragment there is payload, whatever the
// next header says. A fragment header that fragments nothing (offset 0 and no
// more to come) is walked over: RFC 6946.
func walkExtensions(rest []byte, info *Info) (l4 []byte, fragment uint16, why Reason) {
	fragments, left := 0, maxExtensionBytes // headers of fragments seen; bytes allowed
	for n := 0; isExtension(info.Proto) && fragment&^moreFragments6 == 0; n++ {
		if len(rest) < extensionUnit {
			return nil, 0, Truncated
		}
		size := extensionUnit + int(rest[1])*extensionUnit
		switch info.Proto {
		case extHopByHop:
			if n > 0 {
				return nil, 0, BadExtension // must come first: RFC 8200 section 4.1
			}
		case extRouting:
			if rest[2] == 0 || rest[3] > 0 {
				return nil, 0, SourceRoute // type 0: RFC 5095; segments left
			}
		case extFragment:
			fragments++
			size = extensionUnit // its second byte is reserved
			fragment = binary.BigEndian.Uint16(rest[2:]) & (fragmentOffset6 | moreFragments6)
		}
		left -= size
		if n == maxExtensions || left < 0 || fragments > 1 {
			return nil, 0, BadExtension
		}
		if size > len(rest) {
			return nil, 0, BadLength
		}
		info.Proto = rest[0]
		info.L4 += uint16(size)
		rest = rest[size:]
	}
	return rest, fragment, OK
}

// isExtension reports whether proto is an extension header that we walk over.
// Authentication and encryption aren't: what they hide is no TCP or UDP of ours.
func isExtension(proto uint8) bool {
	switch proto {
	case extHopByHop, extRouting, extFragment, extDestination:
		return true
	}
	return false
}
