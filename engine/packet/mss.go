package packet

import (
	"encoding/binary"
	"math/bits"
)

// TCP options that ClampMSS reads (RFC 9293 section 3.2).
const (
	tcpOptionEnd = 0
	tcpOptionNop = 1
	tcpOptionMSS = 2
)

// ClampMSS lowers the maximum segment size that a segment with SYN announces to
// most bytes, and keeps its checksum right. It reports whether it did: anything
// else, a smaller size, none at all and malformed options it leaves alone. info
// is what Parse found in frame, returning OK.
//
// A segment without the option asks for 536 bytes at most (1220 over IPv6; RFC
// 9293 section 3.7.1), so there is nothing to lower.
func ClampMSS(frame []byte, info *Info, most uint16) bool {
	if info.Flags&FlagPorts == 0 || info.TCPFlags&TCPSyn == 0 {
		return false
	}
	h := info.TCP(frame)
	options := h[:h.HeaderLen()]
	for at := TCPSize; at+1 < len(options); {
		kind, size := options[at], int(options[at+1])
		switch {
		case kind == tcpOptionEnd:
			return false
		case kind == tcpOptionNop:
			at++
			continue
		case size < 2 || at+size > len(options):
			return false
		case kind == tcpOptionMSS && size == 4:
			return h.lower(at+2, most)
		}
		at += size
	}
	return false
}

// lower lowers the 16 bits at an offset to most. At an odd offset they lie
// across two of the words that the checksum adds, which is as if their bytes
// were swapped (RFC 1071 section 2(B)).
func (h TCP) lower(at int, most uint16) bool {
	old := binary.BigEndian.Uint16(h[at:])
	if old <= most {
		return false
	}
	binary.BigEndian.PutUint16(h[at:], most)
	if at%2 == 1 {
		old, most = bits.ReverseBytes16(old), bits.ReverseBytes16(most)
	}
	h.SetChecksum(Update16(h.Checksum(), old, most))
	return true
}
