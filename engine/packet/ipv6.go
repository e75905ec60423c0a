package packet

import "encoding/binary"

// IPv6 extension headers (IANA protocol numbers).
const (
	extHopByHop    = 0
	extRouting     = 43
	extFragment    = 44
	extDestination = 60
)

// An IPv6 is an IPv6 packet seen from its header (RFC 8200 section 3):
//
//	 0                   1                   2                   3
//	 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//	+-------+---------------+---------------------------------------+
//	|   6   | traffic class |             flow label                |  0
//	+-------+---------------+-------+---------------+---------------+
//	|        payload length         |  next header  |   hop limit   |  4
//	+-------------------------------+---------------+---------------+
//	|                            source                             |  8
//	|                          destination                          | 24
//	+---------------------------------------------------------------+
type IPv6 []byte

// TrafficClass returns the traffic class: DSCP and ECN.
func (h IPv6) TrafficClass() uint8 { return h[0]<<4 | h[1]>>4 }

// PayloadLen returns the bytes behind this header, extension headers included.
func (h IPv6) PayloadLen() uint16 { return binary.BigEndian.Uint16(h[4:]) }

// NextHeader returns the protocol number of the header behind this one.
func (h IPv6) NextHeader() uint8 { return h[6] }

// HopLimit returns the hop limit.
func (h IPv6) HopLimit() uint8 { return h[7] }

// Src returns the source address. It aliases the packet.
func (h IPv6) Src() *[16]byte { return (*[16]byte)(h[8:24]) }

// Dst returns the destination address. It aliases the packet.
func (h IPv6) Dst() *[16]byte { return (*[16]byte)(h[24:40]) }

// Addrs returns both addresses, the source first: what an RSS hash takes. It
// aliases the packet.
func (h IPv6) Addrs() *[32]byte { return (*[32]byte)(h[8:40]) }

// SetTrafficClass sets the traffic class.
func (h IPv6) SetTrafficClass(tc uint8) {
	h[0] = h[0]&0xf0 | tc>>4
	h[1] = h[1]&0x0f | tc<<4
}

// SetPayloadLen sets the bytes behind this header.
func (h IPv6) SetPayloadLen(n uint16) { binary.BigEndian.PutUint16(h[4:], n) }

// SetNextHeader sets the protocol number of the header behind this one.
func (h IPv6) SetNextHeader(proto uint8) { h[6] = proto }

// SetHopLimit sets the hop limit.
func (h IPv6) SetHopLimit(hops uint8) { h[7] = hops }

// SetSrc sets the source address.
func (h IPv6) SetSrc(a *[16]byte) { *h.Src() = *a }

// SetDst sets the destination address.
func (h IPv6) SetDst(a *[16]byte) { *h.Dst() = *a }
