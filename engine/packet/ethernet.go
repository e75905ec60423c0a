package packet

import "encoding/binary"

// Sizes of headers without options, in bytes.
const (
	EthernetSize = 14
	VLANSize     = 4 // what one 802.1Q tag adds to the Ethernet header
	IPv4Size     = 20
	IPv6Size     = 40
	TCPSize      = 20
	UDPSize      = 8
	ICMPSize     = 8 // type, code, checksum and the four bytes that depend on them
)

// EtherTypes (IEEE 802 numbers).
const (
	EtherTypeIPv4 = 0x0800
	EtherTypeARP  = 0x0806
	EtherTypeVLAN = 0x8100 // 802.1Q customer tag
	EtherTypeIPv6 = 0x86dd
)

// vlanID masks the VLAN id in a tag's 16 bits; priority and DEI lie above it.
const vlanID = 0x0fff

// An Ethernet is a frame seen from its Ethernet header:
//
//	 0                   6                  12         14
//	+-------------------+------------------+----------+
//	| destination       | source           | type     | payload
//	+-------------------+------------------+----------+
//	                                       | 0x8100   | tag | type | payload
//	                                       +----------+-----+------+
//
// Methods panic when the slice is shorter than the field they touch, here and
// in every other header view: a view is taken of what Parse found sound.
type Ethernet []byte

// Dst returns the destination address.
func (e Ethernet) Dst() [6]byte { return [6]byte(e[0:6]) }

// Src returns the source address.
func (e Ethernet) Src() [6]byte { return [6]byte(e[6:12]) }

// Type returns the EtherType behind the addresses; EtherTypeVLAN in a tagged
// frame.
func (e Ethernet) Type() uint16 { return binary.BigEndian.Uint16(e[12:]) }

// SetDst sets the destination address.
func (e Ethernet) SetDst(a [6]byte) { copy(e[0:6], a[:]) }

// SetSrc sets the source address.
func (e Ethernet) SetSrc(a [6]byte) { copy(e[6:12], a[:]) }

// SetType sets the EtherType behind the addresses.
func (e Ethernet) SetType(t uint16) { binary.BigEndian.PutUint16(e[12:], t) }

// Group reports whether the frame is for more than one station: multicast or
// broadcast (IEEE 802 I/G bit).
func (e Ethernet) Group() bool { return e[0]&1 != 0 }

// swapAddrs sends the frame back to where it came from.
func (e Ethernet) swapAddrs() {
	dst, src := e.Dst(), e.Src()
	e.SetDst(src)
	e.SetSrc(dst)
}

// Retag makes the frame at buf[off:] carry the 802.1Q tag vlan, or no tag when
// vlan is 0: it pushes, pops or rewrites the tag, keeping the priority bits of
// one that was there. The addresses move, the packet doesn't: a push takes
// VLANSize bytes of headroom from in front of off. It returns how many bytes
// the frame grew at the front, negative when it shrank, and adjusts info. It
// panics when there is no headroom.
func Retag(buf []byte, off int, info *Info, vlan uint16) (grew int) {
	tagged := info.Flags&FlagTagged != 0
	switch {
	case tagged && vlan != 0:
		tag := buf[off+EthernetSize:]
		binary.BigEndian.PutUint16(tag, binary.BigEndian.Uint16(tag)&^vlanID|vlan&vlanID)
	case vlan != 0:
		copy(buf[off-VLANSize:], buf[off:off+12])
		binary.BigEndian.PutUint32(buf[off+12-VLANSize:], EtherTypeVLAN<<16|uint32(vlan&vlanID))
		info.Flags |= FlagTagged
		grew = VLANSize
	case tagged:
		copy(buf[off+VLANSize:], buf[off:off+12])
		info.Flags &^= FlagTagged
		grew = -VLANSize
	}
	info.VLAN = vlan & vlanID
	info.shift(grew)
	return grew
}
