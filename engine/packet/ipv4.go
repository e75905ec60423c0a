package packet

import "encoding/binary"

// Transport protocols (IANA protocol numbers).
const (
	ProtoICMP   = 1
	ProtoTCP    = 6
	ProtoUDP    = 17
	ProtoICMPv6 = 58
)

// Bits of IPv4's fragmentation word, IPv4.FragmentWord.
const (
	DontFragment   = 0x4000
	MoreFragments  = 0x2000
	fragmentOffset = 0x1fff // in units of 8 bytes
	fragmentMask   = MoreFragments | fragmentOffset
)

// An IPv4 is an IPv4 packet seen from its header (RFC 791 section 3.1):
//
//	 0                   1                   2                   3
//	 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//	+-------+-------+---------------+-------------------------------+
//	|   4   |  IHL  |      TOS      |          total length         |  0
//	+-------+-------+---------------+-----+-------------------------+
//	|         identification        |flags|     fragment offset     |  4
//	+---------------+---------------+-----+-------------------------+
//	|      TTL      |   protocol    |         checksum              |  8
//	+---------------+---------------+-------------------------------+
//	|                            source                             | 12
//	|                          destination                          | 16
//	|                       options, if IHL > 5                     | 20
//	+---------------------------------------------------------------+
type IPv4 []byte

// HeaderLen returns the header's length in bytes, options included.
func (h IPv4) HeaderLen() int { return int(h[0]&15) << 2 }

// TOS returns the type-of-service byte: DSCP and ECN.
func (h IPv4) TOS() uint8 { return h[1] }

// TotalLen returns the datagram's length in bytes, header included.
func (h IPv4) TotalLen() uint16 { return binary.BigEndian.Uint16(h[2:]) }

// ID returns the identification.
func (h IPv4) ID() uint16 { return binary.BigEndian.Uint16(h[4:]) }

// FragmentWord returns the flags DontFragment and MoreFragments and, in the
// low 13 bits, the fragment offset in units of 8 bytes.
func (h IPv4) FragmentWord() uint16 { return binary.BigEndian.Uint16(h[6:]) }

// TTL returns the time to live.
func (h IPv4) TTL() uint8 { return h[8] }

// Proto returns the transport protocol.
func (h IPv4) Proto() uint8 { return h[9] }

// Checksum returns the header checksum.
func (h IPv4) Checksum() uint16 { return binary.BigEndian.Uint16(h[10:]) }

// Src returns the source address, first byte highest.
func (h IPv4) Src() uint32 { return binary.BigEndian.Uint32(h[12:]) }

// Dst returns the destination address, first byte highest.
func (h IPv4) Dst() uint32 { return binary.BigEndian.Uint32(h[16:]) }

// Addrs returns both addresses, the source in the high half: what an RSS hash
// takes.
func (h IPv4) Addrs() uint64 { return binary.BigEndian.Uint64(h[12:]) }

// SetTotalLen sets the datagram's length in bytes.
func (h IPv4) SetTotalLen(n uint16) { binary.BigEndian.PutUint16(h[2:], n) }

// SetID sets the identification.
func (h IPv4) SetID(id uint16) { binary.BigEndian.PutUint16(h[4:], id) }

// SetFragmentWord sets flags and fragment offset.
func (h IPv4) SetFragmentWord(w uint16) { binary.BigEndian.PutUint16(h[6:], w) }

// SetTTL sets the time to live.
func (h IPv4) SetTTL(ttl uint8) { h[8] = ttl }

// SetChecksum sets the header checksum.
func (h IPv4) SetChecksum(sum uint16) { binary.BigEndian.PutUint16(h[10:], sum) }

// SetAddrs sets both addresses, the source in the high half.
func (h IPv4) SetAddrs(addrs uint64) { binary.BigEndian.PutUint64(h[12:], addrs) }

// DecrementTTL takes one from the time to live and updates the checksum: the
// word that holds the TTL shrinks by 1<<8, so its complement grows by as much,
// with the carry added back in (RFC 1141; RFC 1624 is why 0xffff becomes 0).
// The TTL must not be 0.
func (h IPv4) DecrementTTL() {
	h[8]--
	sum := uint32(h.Checksum()) + 1<<8
	if sum >= 0xffff {
		sum++
	}
	h.SetChecksum(uint16(sum))
}

// UpdateChecksum computes the header checksum anew.
func (h IPv4) UpdateChecksum() {
	h.SetChecksum(0)
	h.SetChecksum(Checksum(h[:h.HeaderLen()], 0))
}
