package packet

import (
	"encoding/binary"
	"math/bits"
)

// Sum adds the 16-bit big-endian words of b to initial in one's complement
// arithmetic (RFC 1071); an odd last byte counts as the high half of a word.
// The result has at most 17 bits, so that sums of parts add up without
// overflow. Parts other than the last must have even length.
//
// One's complement addition doesn't care for byte order (RFC 1071 section
// 2(B)): the loop adds eight bytes at a time as the machine loads them, and
// the bytes are swapped once at the end.
func Sum(b []byte, initial uint32) uint32 {
	var sum, carry uint64
	for len(b) >= 32 {
		sum, carry = bits.Add64(sum, binary.LittleEndian.Uint64(b), 0)
		sum, carry = bits.Add64(sum, binary.LittleEndian.Uint64(b[8:]), carry)
		sum, carry = bits.Add64(sum, binary.LittleEndian.Uint64(b[16:]), carry)
		sum, carry = bits.Add64(sum, binary.LittleEndian.Uint64(b[24:]), carry)
		sum += carry // cannot overflow: a sum that carried is not all ones
		b = b[32:]
	}
	for len(b) >= 8 {
		sum, carry = bits.Add64(sum, binary.LittleEndian.Uint64(b), 0)
		sum += carry
		b = b[8:]
	}
	sum = sum&0xffffffff + sum>>32
	if len(b) >= 4 {
		sum += uint64(binary.LittleEndian.Uint32(b))
		b = b[4:]
	}
	if len(b) >= 2 {
		sum += uint64(binary.LittleEndian.Uint16(b))
		b = b[2:]
	}
	if len(b) > 0 {
		sum += uint64(b[0])
	}
	return uint32(bits.ReverseBytes16(fold64(sum))) + initial&0xffff + initial>>16
}

// Fold brings a sum down to 16 bits by adding the carries back in: with its
// halves swapped and added to itself, each half gets the other's carry.
func Fold(sum uint32) uint16 { return uint16((sum + bits.RotateLeft32(sum, 16)) >> 16) }

// fold64 is Fold for a 64-bit sum.
func fold64(sum uint64) uint16 { return Fold(uint32((sum + bits.RotateLeft64(sum, 32)) >> 32)) }

// Checksum returns the Internet checksum of b (RFC 1071), with initial the sum
// of what else it covers, such as a pseudo-header. Over bytes that hold their
// own right checksum it returns 0.
func Checksum(b []byte, initial uint32) uint16 { return ^Fold(Sum(b, initial)) }

// A Delta is how much a checksum's words grew or shrank, in one's complement
// arithmetic. It turns a checksum of the old bytes into one of the new bytes
// without reading the bytes in between (RFC 1624). What addresses and ports
// change is the same for all packets of a flow and direction, and the IP and
// the transport checksum share the addresses' part.
//
// It adds words of 32 bits, which that arithmetic takes as well as those of 16,
// and leaves their carries to Apply.
//
// The zero Delta changes nothing. A Delta has room for over a billion words.
type Delta uint64

// Word adds the change of a 16-bit word from old to new.
func (d Delta) Word(old, new uint16) Delta { return d + Delta(^old) + Delta(new) }

// Long adds the change of 32 bits, at an even offset, from old to new.
func (d Delta) Long(old, new uint32) Delta { return d + Delta(^old) + Delta(new) }

// Quad adds the change of 64 bits, at an even offset, from old to new: in IPv4,
// of both addresses.
func (d Delta) Quad(old, new uint64) Delta {
	return d.Long(uint32(old>>32), uint32(new>>32)).Long(uint32(old), uint32(new))
}

// Addr adds the change of 16 bytes, at an even offset, from old to new.
func (d Delta) Addr(old, new *[16]byte) Delta {
	return d.Quad(binary.BigEndian.Uint64(old[:8]), binary.BigEndian.Uint64(new[:8])).
		Quad(binary.BigEndian.Uint64(old[8:]), binary.BigEndian.Uint64(new[8:]))
}

// Apply returns checksum sum after the change: HC' = ~(~HC + ~m + m'), RFC
// 1624 equation 3. Like every sum of a packet that isn't all zeros, the result
// stands for a sum other than +0, hence is never 0xffff unless sum lied.
func (d Delta) Apply(sum uint16) uint16 { return ^fold64(uint64(d) + uint64(^sum)) }

// ApplyUDP is Apply for UDP: a checksum of zero says that there is none and
// stays, and one that comes out as zero is sent as 0xffff (RFC 768).
func (d Delta) ApplyUDP(sum uint16) uint16 {
	if sum == 0 {
		return 0
	}
	if sum = d.Apply(sum); sum == 0 {
		return 0xffff
	}
	return sum
}

// Update16 returns checksum sum after a 16-bit word changed from old to new
// (RFC 1624).
func Update16(sum, old, new uint16) uint16 { return Delta(0).Word(old, new).Apply(sum) }

// Update32 returns checksum sum after 32 bits at an even offset changed from
// old to new (RFC 1624).
func Update32(sum uint16, old, new uint32) uint16 { return Delta(0).Long(old, new).Apply(sum) }

// UpdateAddr16 returns checksum sum after 16 bytes at an even offset changed
// from old to new: an IPv6 address (RFC 1624).
func UpdateAddr16(sum uint16, old, new *[16]byte) uint16 {
	return Delta(0).Addr(old, new).Apply(sum)
}
