package e2e

import (
	"encoding/binary"
	"slices"

	pt "appliance/engine/packet/packettest"
	"appliance/internal/lab"
	"appliance/internal/lab/origin"
)

// fragments are whole sets of them, parts that don't fit together, and parts
// that would hide a header.
func (v *target) fragments() []hostile {
	data := pt.PayloadSize(208)
	id := uint32(0) // of the next case, so that none has to do with another
	part := func(datagram []byte, number int) []byte {
		id++
		return pt.Cut(datagram, id, 72, 144)[number]
	}
	raw := func(proto uint8, size, offset int, more bool) []byte {
		return pt.Raw(proto, hostile4, v.vip4(0), pt.PayloadSize(size), pt.Fragment(offset, more))
	}
	backend4, backend6 := at(v.lab.Backends[0].Addr.V4, 7777), at(v.lab.Backends[0].Addr.V6, 7777)
	return []hostile{
		{"first", "", part(v.datagram4(data), 0), forwarded},
		{"middle", "", part(v.datagram4(data), 1), "fragment_orphan"},
		{"last", "", part(v.datagram4(data), 2), "fragment_orphan"},
		{"first, IPv6", "", part(v.datagram6(data), 0), forwarded},
		{"middle, IPv6", "", part(v.datagram6(data), 1), "fragment_orphan"},
		{"last, IPv6", "", part(v.datagram6(data), 2), "fragment_orphan"},
		{"first and last, IPv6", "", v.datagram6(pt.Fragment(0, false)), forwarded}, // an atomic fragment: RFC 6946
		{"to a SNIP", lab.ServerPlane, part(pt.UDP(backend4, v.snip4(5000), data), 0), "no_flow"},
		{"to a SNIP, IPv6", lab.ServerPlane, part(pt.UDP(backend6, v.snip6(5000), data), 1), "fragment_orphan"},
		{"to no service", "", part(pt.UDP(hostile4+":4000", v.vip4(9), data), 0), answered("no_service")},
		{"from port 0", "", part(patch(v.datagram4(data), l4At4, 0, 0), 0), "bad_port"},
		{"of a ping", "", part(pt.Echo(hostile4, v.vip4(0), data), 0), "fragment"},
		{"of a ping, to a SNIP", lab.ServerPlane, part(pt.Echo(hostile6, v.snip6(0), data), 1), "fragment"},
		{"TCP header in two fragments", "", raw(6, 16, 0, true), "truncated"},
		{"over the TCP header", "", raw(6, 16, 8, true), "bad_length"},
		{"beyond 64 KiB", "", raw(1, 64, 65528, false), "bad_length"}, // the ping of death
		{"length not divisible by 8", "", raw(17, 63, 72, true), "bad_length"},
		{"empty", "", raw(17, 0, 72, false), "bad_length"},
		{"of ESP", "", raw(50, 64, 0, true), "unknown_proto"},
	}
}

// icmp are messages that a virtual server has no use for.
func (v *target) icmp() []hostile {
	message := func(typ byte, dst string) []byte {
		quoted := v.datagram4()[ipAt:]
		return icmpSum(pt.Raw(1, hostile4, dst, pt.Payload(slices.Concat([]byte{typ, 0, 0, 0, 0, 0, 5, 0}, quoted))))
	}
	ping := pt.Echo(hostile4, v.vip4(0))
	cases := []hostile{
		{"ping", "", ping, ponged},
		{"ping by broadcast", "", patch(ping, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff), "other_station"},
		{"ping by multicast", "", patch(ping, 0, 0x01, 0, 0x5e, 0, 0, 1), "other_station"},
		{"unreachable to a SNIP", lab.ServerPlane, message(3, v.snip4(0)), "icmp_unhandled"},
		{"time exceeded to a SNIP", lab.ServerPlane, message(11, v.snip4(0)), "icmp_unhandled"},
	}
	for name, typ := range map[string]byte{
		"echo reply": 0, "unreachable": 3, "source quench": 4, "redirect": 5, "router advertisement": 9,
		"router solicitation": 10, "time exceeded": 11, "parameter problem": 12, "timestamp request": 13,
		"address mask request": 17, "type 255": 255,
	} {
		cases = append(cases, hostile{name, "", message(typ, v.vip4(0)), "icmp_unhandled"})
	}
	return cases
}

// icmp6 are the same for IPv6; those of neighbour discovery are for the VIP,
// which has no neighbours.
func (v *target) icmp6() []hostile {
	message := func(typ byte, dst string) []byte {
		quoted := v.datagram6()[ipAt:]
		return icmpSum(pt.Raw(58, hostile6, dst, pt.Payload(slices.Concat([]byte{typ, 0, 0, 0, 0, 0, 5, 0}, quoted))))
	}
	cases := []hostile{
		{"ping", "", pt.Echo(hostile6, v.vip6(0)), ponged},
		{"packet too big to a SNIP", lab.ServerPlane, message(2, v.snip6(0)), "icmp_unhandled"},
	}
	for name, typ := range map[string]byte{
		"type 0": 0, "unreachable": 1, "packet too big": 2, "time exceeded": 3, "parameter problem": 4,
		"echo reply": 129, "multicast listener query": 130, "router advertisement": 134,
		"neighbour solicitation": 135, "neighbour advertisement": 136, "redirect": 137, "type 255": 255,
	} {
		cases = append(cases, hostile{name, "", message(typ, v.vip6(0)), "icmp_unhandled"})
	}
	return cases
}

// icmpSum gives an ICMP or ICMPv6 message its checksum.
func icmpSum(frame []byte) []byte {
	at, pseudo := l4At4, []byte(nil)
	if frame[ipAt]>>4 == 6 {
		at = l4At6
		n := len(frame) - at
		pseudo = slices.Concat(frame[ipAt+8:at], []byte{byte(n >> 8), byte(n), 0, 58})
	}
	binary.BigEndian.PutUint16(frame[at+2:], pt.SlowChecksum(append(pseudo, frame[at:]...)))
	return frame
}

// strays are packets of flows that nobody has, to ports that nobody serves.
func (v *target) strays() []hostile {
	const server = lab.ServerPlane
	http4, http6 := v.vip4(origin.HTTPPort), v.vip6(origin.HTTPPort)
	backend4, backend6 := at(v.lab.Backends[0].Addr.V4, 7777), at(v.lab.Backends[0].Addr.V6, 7777)
	segment := func(dst, flags string) []byte { return pt.TCP(hostile4+":4002", dst, pt.Flags(flags)) }
	segment6 := func(dst, flags string) []byte { return pt.TCP("["+hostile6+"]:4002", dst, pt.Flags(flags)) }
	return []hostile{
		{"SYN to no service", "", segment(v.vip4(9), "S"), answered("no_service")},
		{"datagram to no service", "", pt.UDP("["+hostile6+"]:4002", v.vip6(9)), answered("no_service")},
		{"reset to no service", "", segment(v.vip4(9), "R"), "no_service"},
		{"reset to no service, IPv6", "", segment6(v.vip6(9), "RA"), "no_service"},
		{"segment of no connection", "", segment(http4, "A"), answered("no_flow")},
		{"SYN and ACK of no connection", "", segment6(http6, "SA"), answered("no_flow")},
		{"reset of no connection", "", segment(http4, "R"), "no_flow"},
		{"reset of no connection, IPv6", "", segment6(http6, "RA"), "no_flow"},
		{"damaged segment of no connection", "", flip(segment(http4, "A"), l4At4+16), "no_flow"},
		{"SYN to a SNIP", server, pt.TCP(backend4, v.snip4(5000), pt.Flags("S")), "no_flow"},
		{"SYN and ACK to a SNIP", server, pt.TCP(backend6, v.snip6(5000), pt.Flags("SA")), "no_flow"},
		{"datagram to a SNIP", server, pt.UDP(backend4, v.snip4(5000)), "no_flow"},
		{"SYN to a SNIP from the client plane", "", segment(v.snip4(5000), "S"), "wrong_plane"},
		{"bad length to a SNIP", server, cut(pt.UDP(backend4, v.snip4(5000), pt.PayloadSize(64)), 60), "bad_length"},
		{"bad length to a SNIP, IPv6", server, patch(pt.UDP(backend6, v.snip6(5000)), l4At6+4, 0, 7), "bad_length"},
		{"no checksum to a SNIP, IPv6", server, pt.UDP(backend6, v.snip6(5000), pt.NoChecksum()), "bad_l4_checksum"},
	}
}
