package e2e

import (
	"slices"

	pt "appliance/engine/packet/packettest"
	"appliance/internal/lab"
	"appliance/internal/lab/origin"
)

// flagsAndPorts are transport headers that no stack sends.
func (v *target) flagsAndPorts() []hostile {
	flags := func(f byte) []byte { return patch(v.syn4(), l4At4+13, f) }
	return []hostile{
		{"no TCP flags", "", flags(0), "bad_tcp_flags"},
		{"ECE and CWR alone", "", flags(0xc0), "bad_tcp_flags"},
		{"SYN and FIN", "", flags(0x03), "bad_tcp_flags"},
		{"SYN and RST", "", flags(0x06), "bad_tcp_flags"},
		{"SYN, FIN and ACK", "", flags(0x13), "bad_tcp_flags"},
		{"all flags", "", patch(v.syn6(), l4At6+13, 0xff), "bad_tcp_flags"},
		{"Christmas tree", "", pt.TCP(hostile4+":4001", v.vip4(origin.HTTPPort), pt.Flags("FPU")), answered("no_flow")},
		{"TCP from port 0", "", patch(v.syn4(), l4At4, 0, 0), "bad_port"},
		{"TCP to port 0", "", patch(v.syn6(), l4At6+2, 0, 0), "bad_port"},
		{"UDP from port 0", "", pt.UDP(hostile4+":0", v.vip4(origin.EchoPort)), "bad_port"},
		{"UDP to port 0", "", pt.UDP("["+hostile6+"]:9", "["+v.vip6(0)+"]:0"), "bad_port"},
	}
}

// sources are packets from where no packet comes from.
func (v *target) sources() []hostile {
	from := func(a string) []byte { return pt.TCP(a+":4000", v.vip4(origin.HTTPPort), pt.Flags("S")) }
	from6 := func(a string) []byte { return pt.TCP("["+a+"]:4000", v.vip6(origin.HTTPPort), pt.Flags("S")) }
	echo4, echo6 := v.vip4(origin.EchoPort), v.vip6(origin.EchoPort)
	return []hostile{
		{"0.0.0.0", "", from("0.0.0.0"), "bad_source"},
		{"this network", "", from("0.1.2.3"), "bad_source"},
		{"loopback", "", from("127.0.0.1"), "bad_source"},
		{"multicast", "", from("224.0.0.5"), "bad_source"},
		{"class E", "", from("240.0.0.1"), "bad_source"},
		{"broadcast", "", from("255.255.255.255"), "bad_source"},
		{"::", "", from6("::"), "bad_source"},
		{"::1", "", from6("::1"), "bad_source"},
		{"multicast, IPv6", "", from6("ff02::1"), "bad_source"},
		{"IPv4-mapped", "", from6("::ffff:198.18.0.1"), "bad_source"},
		{"IPv4-compatible", "", from6("::198.18.0.1"), "bad_source"},
		// Answers to these would come back as requests.
		{"the VIP", "", from(v.vip4(0)), "bad_source"},
		{"the VIP, IPv6", "", from6(v.vip6(0)), "bad_source"},
		{"a SNIP", "", from(v.snip4(0)), "bad_source"},
		{"a SNIP, IPv6", lab.ServerPlane, from6(v.snip6(0)), "bad_source"},
		{"LAND, TCP", "", pt.TCP(echo4, echo4, pt.Flags("S")), "bad_source"},
		{"LAND, TCP over IPv6", "", pt.TCP(echo6, echo6, pt.Flags("S")), "bad_source"},
		{"LAND, UDP", "", pt.UDP(echo4, echo4), "bad_source"},
		{"LAND, UDP over IPv6", lab.ServerPlane, pt.UDP(echo6, echo6), "bad_source"},
		{"the node", "", pt.Echo(at(v.lab.Nodes[0].ClientAddr.V4, 0), v.vip4(0)), "no_route"},
		{"a neighbour that isn't there", "", pt.Echo("10.2.77.77", v.vip4(0)), "no_neighbour"},
	}
}

// sourceRoutes are packets that want to go where they say.
func (v *target) sourceRoutes() []hostile {
	via := []byte{4, 10, 0, 1, 2} // pointer and one address
	return []hostile{
		{"loose source route", "", v.syn4(pt.IPOption(131, via...)), "source_route"},
		{"strict source route", "", v.syn4(pt.IPOption(1), pt.IPOption(137, via...)), "source_route"},
		{"routing header of type 0", "", v.syn6(pt.Routing(0, 1)), "source_route"},
		{"routing header of type 0, used up", "", v.syn6(pt.Routing(0, 0)), "source_route"},
		{"segment routing, segments left", "", v.syn6(pt.DestinationOptions(8), pt.Routing(4, 1)), "source_route"},
		{"segment routing, used up", "", v.syn6(pt.Routing(4, 0)), forwarded},
		{"record route", "", v.syn4(pt.IPOption(7, via...)), forwarded},
	}
}

// extensionHeaders are chains of IPv6 extension headers.
func (v *target) extensionHeaders() []hostile {
	chain := func(n int) []byte { return v.syn6(slices.Repeat([]pt.Option{pt.DestinationOptions(8)}, n)...) }
	return []hostile{
		{"eight", "", chain(8), forwarded},
		{"nine", "", chain(9), "bad_extension"},
		{"a hundred", "", chain(100), "bad_extension"},
		{"hop-by-hop options of 256 bytes", "", v.syn6(pt.HopByHop(256)), forwarded},
		{"hop-by-hop options of 264 bytes", "", v.syn6(pt.HopByHop(264)), "bad_extension"},
		{"destination options of 1400 bytes", "", v.syn6(pt.DestinationOptions(1400)), "bad_extension"},
		{"264 bytes in two", "", v.syn6(pt.HopByHop(128), pt.DestinationOptions(136)), "bad_extension"},
		{"hop-by-hop options in second place", "", v.syn6(pt.DestinationOptions(8), pt.HopByHop(8)), "bad_extension"},
		{"hop-by-hop options twice", "", v.syn6(pt.HopByHop(8), pt.HopByHop(8)), "bad_extension"},
		{"two fragment headers", "", v.syn6(pt.Fragment(0, false), pt.Fragment(0, false)), "bad_extension"},
		{"five, to a SNIP", lab.ServerPlane, v.toSNIP6(slices.Repeat([]pt.Option{pt.DestinationOptions(8)}, 5)...), "no_flow"},
	}
}

// toSNIP6 is a segment of a backend to a SNIP's port that nobody has.
func (v *target) toSNIP6(opts ...pt.Option) []byte {
	return pt.TCP(at(v.lab.Backends[0].Addr.V6, 7777), v.snip6(5000), opts...)
}

// protocols are packets of other protocols, under the right EtherType or not.
func (v *target) protocols() []hostile {
	raw4 := func(proto uint8) []byte { return pt.Raw(proto, hostile4, v.vip4(0), pt.PayloadSize(40)) }
	raw6 := func(proto uint8) []byte { return pt.Raw(proto, hostile6, v.vip6(0), pt.PayloadSize(40)) }
	return []hostile{
		{"IGMP", "", raw4(2), "unknown_proto"},
		{"IP in IP", "", raw4(4), "unknown_proto"},
		{"GRE", "", raw6(47), "unknown_proto"},
		{"ESP", "", raw6(50), "unknown_proto"},
		{"AH", "", raw4(51), "unknown_proto"},
		{"ICMPv6 over IPv4", "", raw4(58), "unknown_proto"},
		{"ICMP over IPv6", "", raw6(1), "unknown_proto"},
		{"no next header", "", raw6(59), "unknown_proto"},
		{"SCTP", "", raw4(132), "unknown_proto"},
		{"mobility header", "", raw6(135), "unknown_proto"},
		{"protocol 255", "", raw4(255), "unknown_proto"},
		{"hop-by-hop options over IPv4", "", raw4(0), "unknown_proto"},
		{"IPv4 under the EtherType of IPv6", "", patch(v.syn6(), ipAt, 0x45), "bad_version"},
		{"IPv6 under the EtherType of IPv4", "", patch(v.syn4(), ipAt, 0x65), "bad_version"},
		{"IP version 0", "", patch(v.syn4(), ipAt, 0x05), "bad_version"},
		{"IP version 15", "", patch(v.syn6(), ipAt, 0xf0), "bad_version"},
	}
}

// timeToLive are packets that have gone too far.
func (v *target) timeToLive() []hostile {
	return []hostile{
		{"TTL 1", "", v.syn4(pt.TTL(1)), answered("ttl_exceeded")},
		{"TTL 0", "", v.syn4(pt.TTL(0)), answered("ttl_exceeded")},
		{"hop limit 1", "", v.datagram6(pt.TTL(1)), answered("ttl_exceeded")},
		{"TTL 0, damaged", "", flip(v.syn4(pt.TTL(0)), l4At4+16), "ttl_exceeded"},
		{"hop limit 1, damaged", "", flip(v.datagram6(pt.TTL(1)), l4At6+6), "ttl_exceeded"},
	}
}

// tags are VLAN tags and other EtherTypes.
func (v *target) tags() []hostile {
	syn := v.syn4()
	typed := func(typ ...byte) []byte { return slices.Concat(syn[:12], typ, syn[14:]) }
	return []hostile{
		{"tagged for a VLAN that isn't ours", "", v.syn4(pt.VLAN(6)), "unknown_vlan"},
		{"priority tag", "", v.syn6(pt.VLAN(0), pt.Priority(7)), forwarded},
		{"VLAN 4095", "", v.syn6(pt.VLAN(4095)), "unknown_vlan"},
		{"bad length behind a tag", "", cut(v.syn4(pt.VLAN(6)), l4At4+4), "bad_length"},
		{"tag and nothing behind", "", cut(v.syn4(pt.VLAN(6)), 16), toKernel},
		{"two tags", "", slices.Concat(syn[:12], []byte{0x81, 0, 0, 5}, v.syn4(pt.VLAN(6))[12:]), toKernel},
		{"a provider's tag", "", slices.Concat(syn[:12], []byte{0x88, 0xa8, 0, 5}, syn[12:]), toKernel},
		{"LLC", "", typed(0, 26), toKernel},
		{"MPLS", "", typed(0x88, 0x47), toKernel},
		{"EtherType 0xffff", "", typed(0xff, 0xff), toKernel},
	}
}
