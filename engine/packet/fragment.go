package packet

import "encoding/binary"

// A Part says which part of which datagram a fragment is. Offset and End
// count the bytes behind the headers that all fragments of the datagram repeat;
// those of the first include the IPv6 extension headers behind the fragment
// header.
type Part struct {
	ID     uint32 // identification, of 16 bits in IPv4
	Offset uint16 // of the first byte, a multiple of 8
	End    uint16 // one past the last byte
	More   bool   // it isn't the datagram's last
}

// PartOf reads which part of its datagram the fragment in frame is. info is
// what Parse found in frame, returning OK and setting FlagFragment.
func PartOf(frame []byte, info *Info) Part {
	if info.Flags&FlagIPv6 == 0 {
		h := IPv4(frame[info.L3:])
		word := h.FragmentWord()
		offset := word & fragmentOffset << 3
		return Part{ID: uint32(h.ID()), Offset: offset, End: offset + info.End - info.L4, More: word&MoreFragments != 0}
	}
	at := fragmentHeader(frame, info)
	word := binary.BigEndian.Uint16(frame[at+2:])
	offset := word & fragmentOffset6
	return Part{
		ID: binary.BigEndian.Uint32(frame[at+4:]), Offset: offset,
		End: offset + info.End - uint16(at+extensionUnit), More: word&moreFragments6 != 0,
	}
}

// SetFragmentID gives the fragment in frame another identification, and keeps
// the IPv4 header checksum right. info is as for PartOf; of id IPv4 takes
// the low 16 bits.
func SetFragmentID(frame []byte, info *Info, id uint32) {
	if info.Flags&FlagIPv6 != 0 {
		binary.BigEndian.PutUint32(frame[fragmentHeader(frame, info)+4:], id)
		return
	}
	h := IPv4(frame[info.L3:])
	h.SetChecksum(Update16(h.Checksum(), h.ID(), uint16(id)))
	h.SetID(uint16(id))
}

// fragmentHeader returns where the IPv6 fragment header of a fragment is. Parse
// has seen to it that there is one and that what comes before it is whole.
func fragmentHeader(frame []byte, info *Info) int {
	at := int(info.L3) + IPv6Size
	for next := IPv6(frame[info.L3:]).NextHeader(); next != extFragment; {
		next, at = frame[at], at+extensionUnit+int(frame[at+1])*extensionUnit
	}
	return at
}

// FirstFragment checks the transport header of a datagram's first fragment as
// Parse checks that of a whole packet, as far as the datagram's length doesn't
// matter, and writes ports and TCP flags down in info. It returns OK, or why the
// fragment must be dropped. info is what Parse found in frame, returning OK: a
// fragment of TCP or UDP, not a later one.
func FirstFragment(frame []byte, info *Info) Reason {
	l4 := frame[info.L4:info.End]
	if info.Proto == ProtoTCP {
		return parseTCP(l4, info)
	}
	h := UDP(l4)
	if h.Len() < UDPSize {
		return BadLength
	}
	if h.Checksum() == 0 && info.Flags&FlagIPv6 != 0 {
		return BadL4Checksum // none where one is due: RFC 8200 section 8.1
	}
	return parsePorts(binary.BigEndian.Uint32(h), info)
}

// headless reports whether the packet is a fragment of which no transport header
// is known.
func (i *Info) headless() bool {
	return i.Flags&FlagFragment != 0 && i.Flags&(FlagPorts|FlagLater) != FlagPorts
}
