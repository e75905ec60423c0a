package e2e

import (
	"encoding/binary"
	"slices"

	pt "appliance/engine/packet/packettest"
	"appliance/internal/lab/origin"
)

// Where headers begin in frames without a VLAN tag, options and extensions.
const (
	ipAt  = 14
	l4At4 = ipAt + 20
	l4At6 = ipAt + 40
)

// syn4 and its siblings are packets of strangers that open a flow.
func (v *target) syn4(opts ...pt.Option) []byte {
	return pt.TCP(hostile4+":4000", v.vip4(origin.HTTPPort), append(opts, pt.Flags("S"))...)
}

func (v *target) syn6(opts ...pt.Option) []byte {
	return pt.TCP("["+hostile6+"]:4000", v.vip6(origin.HTTPPort), append(opts, pt.Flags("S"))...)
}

func (v *target) datagram4(opts ...pt.Option) []byte {
	return pt.UDP(hostile4+":4000", v.vip4(origin.EchoPort), opts...)
}

func (v *target) datagram6(opts ...pt.Option) []byte {
	return pt.UDP("["+hostile6+"]:4000", v.vip6(origin.EchoPort), opts...)
}

// cut returns the first n bytes of frame.
func cut(frame []byte, n int) []byte { return slices.Clone(frame[:n]) }

// patch returns frame with other bytes from offset at on.
func patch(frame []byte, at int, with ...byte) []byte {
	frame = slices.Clone(frame)
	copy(frame[at:], with)
	return frame
}

// flip returns frame with the byte at offset at inverted.
func flip(frame []byte, at int) []byte { return patch(frame, at, ^frame[at]) }

// mended is patch for an IPv4 header, whose checksum is right again: over what
// the header says that it is, as long as it can be.
func mended(frame []byte, at int, with ...byte) []byte {
	frame = patch(frame, at, with...)
	n := max(20, int(frame[ipAt]&0xf)*4)
	h := frame[ipAt:min(len(frame), ipAt+n)]
	h[10], h[11] = 0, 0
	binary.BigEndian.PutUint16(h[10:], pt.SlowChecksum(h))
	return frame
}

// cutShort are frames that end too early.
func (v *target) cutShort() []hostile {
	syn4, syn6 := v.syn4(), v.syn6()
	return []hostile{
		{"Ethernet header alone, IPv4", "", cut(syn4, ipAt), toKernel},
		{"Ethernet header alone, IPv6", "", cut(syn6, ipAt), toKernel},
		{"in the destination, IPv4", "", cut(syn4, l4At4-1), toKernel},
		{"in the destination, IPv6", "", cut(syn6, l4At6-1), toKernel},
		{"behind the IPv4 header", "", cut(syn4, l4At4), "bad_length"},
		{"behind the IPv6 header", "", cut(syn6, l4At6), "bad_length"},
		{"in the TCP header, IPv4", "", cut(syn4, l4At4+13), "bad_length"},
		{"in the TCP header, IPv6", "", cut(syn6, l4At6+13), "bad_length"},
		{"one byte of the payload", "", cut(v.datagram4(pt.PayloadSize(2)), l4At4+9), "bad_length"},
	}
}

// lengths4 are IPv4 headers that lie about lengths.
func (v *target) lengths4() []hostile {
	syn, datagram, ping := v.syn4(), v.datagram4(), pt.Echo(hostile4, v.vip4(0))
	options := v.syn4(pt.IPOption(148, 0, 0)) // router alert: 4 bytes
	return []hostile{
		{"total length inside of TCP", "", mended(syn, ipAt+2, 0, 39), "truncated"},
		{"total length inside of UDP", "", mended(datagram, ipAt+2, 0, 27), "truncated"},
		{"total length inside of ICMP", "", mended(ping, ipAt+2, 0, 27), "truncated"},
		{"total length of the header alone", "", mended(syn, ipAt+2, 0, 20), "truncated"},
		{"total length inside of the header", "", mended(syn, ipAt+2, 0, 19), "bad_length"},
		{"total length 0", "", mended(syn, ipAt+2, 0, 0), "bad_length"},
		{"total length beyond the frame", "", mended(syn, ipAt+2, 0, 41), "bad_length"},
		{"total length 65535", "", mended(syn, ipAt+2, 0xff, 0xff), "bad_length"},
		{"header of 16 bytes", "", mended(syn, ipAt, 0x44), "bad_length"},
		{"header of 0 bytes", "", mended(syn, ipAt, 0x40), "bad_length"},
		{"header beyond the packet", "", mended(syn, ipAt, 0x4f), "bad_length"},
		{"option of 0 bytes", "", mended(options, l4At4+1, 0), "bad_length"},
		{"option of 1 byte", "", mended(options, l4At4+1, 1), "bad_length"},
		{"option beyond the header", "", mended(options, l4At4+1, 5), "bad_length"},
	}
}

// lengths6 are IPv6 headers that lie about lengths.
func (v *target) lengths6() []hostile {
	syn, datagram, chain := v.syn6(), v.datagram6(), v.syn6(pt.DestinationOptions(16))
	return []hostile{
		{"payload inside of TCP", "", patch(syn, ipAt+4, 0, 19), "truncated"},
		{"payload inside of UDP", "", patch(datagram, ipAt+4, 0, 7), "truncated"},
		{"payload of 0 bytes", "", patch(syn, ipAt+4, 0, 0), "truncated"}, // as a jumbogram has it: RFC 2675
		{"payload beyond the frame", "", patch(syn, ipAt+4, 0, 21), "bad_length"},
		{"payload of 65535 bytes", "", patch(syn, ipAt+4, 0xff, 0xff), "bad_length"},
		{"payload ends in the first bytes of an extension header", "", patch(chain, ipAt+4, 0, 7), "truncated"},
		{"payload ends in an extension header", "", patch(chain, ipAt+4, 0, 15), "bad_length"},
		{"payload ends with an extension header", "", patch(chain, ipAt+4, 0, 16), "truncated"},
		{"extension header beyond the packet", "", patch(chain, l4At6+1, 9), "bad_length"},
		{"extension header of 2048 bytes", "", patch(chain, l4At6+1, 0xff), "bad_extension"},
	}
}

// transportLengths are TCP and UDP headers that lie about lengths.
func (v *target) transportLengths() []hostile {
	four, six := v.datagram4(pt.PayloadSize(8)), v.datagram6(pt.PayloadSize(8))
	return []hostile{
		{"TCP header of 16 bytes", "", patch(v.syn4(), l4At4+12, 0x40), "bad_length"},
		{"TCP header of 0 bytes", "", patch(v.syn6(), l4At6+12, 0), "bad_length"},
		{"TCP header beyond the segment", "", patch(v.syn4(), l4At4+12, 0xf0), "bad_length"},
		{"UDP length 0", "", patch(four, l4At4+4, 0, 0), "bad_length"}, // a jumbogram's: RFC 2675
		{"UDP length 7", "", patch(six, l4At6+4, 0, 7), "bad_length"},
		{"UDP length beyond the packet", "", patch(four, l4At4+4, 0, 17), "bad_length"},
		{"UDP length 65535", "", patch(six, l4At6+4, 0xff, 0xff), "bad_length"},
	}
}

// ipChecksums are packets that are refused whatever verify_checksums says.
func (v *target) ipChecksums() []hostile {
	return []hostile{
		{"IPv4 checksum inverted", "", flip(v.syn4(), ipAt+10), "bad_ip_checksum"},
		{"IPv4 checksum 0", "", patch(v.syn4(), ipAt+10, 0, 0), "bad_ip_checksum"},
		{"IPv4 header damaged", "", flip(v.syn4(), ipAt+4), "bad_ip_checksum"},
		{"IPv4 options damaged", "", flip(v.syn4(pt.IPOption(148, 0, 0)), l4At4+3), "bad_ip_checksum"},
		{"UDP over IPv6 without a checksum", "", v.datagram6(pt.NoChecksum()), "bad_l4_checksum"},
		{"damaged ping", "", flip(pt.Echo(hostile4, v.vip4(0)), l4At4+2), "icmp_unhandled"},
		{"damaged ping, IPv6", "", flip(pt.Echo(hostile6, v.vip6(0)), l4At6+2), "icmp_unhandled"},
	}
}

// damaged are packets that are wrong behind the IP header.
func (v *target) damaged(want string) []hostile {
	data := pt.PayloadSize(101)
	return []hostile{
		{"TCP checksum", "", flip(v.syn4(), l4At4+16), want},
		{"TCP checksum, IPv6", "", flip(v.syn6(), l4At6+16), want},
		{"TCP checksum 0", "", patch(v.syn4(), l4At4+16, 0, 0), want},
		{"TCP sequence number", "", flip(v.syn4(), l4At4+7), want},
		{"UDP checksum", "", flip(v.datagram4(data), l4At4+7), want},
		{"UDP checksum, IPv6", "", flip(v.datagram6(data), l4At6+7), want},
		{"UDP payload", "", flip(v.datagram4(data), l4At4+8+100), want},
		{"UDP payload, IPv6", "", flip(v.datagram6(data), l4At6+8+100), want},
		{"IPv6 source", "", flip(v.datagram6(data), ipAt+20), want},
		{"behind a priority tag", "", flip(v.syn4(pt.VLAN(0)), l4At4+4+16), want},
	}
}
