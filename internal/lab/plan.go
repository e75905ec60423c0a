package lab

import "net/netip"

// Addrs is where something lives: its IPv4 address and the IPv6 twin. V6 is
// the zero Addr in a lab without IPv6.
type Addrs struct {
	V4, V6 netip.Addr
}

// All returns the addresses that are set, IPv4 first.
func (a Addrs) All() []netip.Addr {
	if !a.V6.IsValid() {
		return []netip.Addr{a.V4}
	}
	return []netip.Addr{a.V4, a.V6}
}

// prefixes is an interface's pair of addresses, with the length of the subnet
// each lies in.
type prefixes struct {
	v4, v6 netip.Prefix
}

func (p prefixes) addrs() Addrs { return Addrs{V4: p.v4.Addr(), V6: p.v6.Addr()} }

// all returns the prefixes that are set.
func (p prefixes) all() []netip.Prefix {
	if !p.v6.IsValid() {
		return []netip.Prefix{p.v4}
	}
	return []netip.Prefix{p.v4, p.v6}
}

// A plan gives out every address of a lab. Labs have namespaces of their own,
// so all use the same plan. It is a value without state: the same question has
// the same answer. Members are numbered from 1, as in their names.
//
//	client i        10.0.i.2/24       fd00:c:i::2/64     router .1, ::1
//	client plane i  10.1.i.2/30       fd00:a:i::2/64     router .1, ::1
//	server plane    10.2.0.0/16       fd00:b::/64        router .0.1, ::1
//	  node i        10.2.1.i          fd00:b::1:i
//	  SNIP of i     10.2.2.i          fd00:b::2:i
//	  backend i     10.2.3.i          fd00:b::3:i
//	outer sources   10.200.i.0/24     fd00:e:i::/64      of node i, in ipip and gue
//	VIP i           203.0.113.i       2001:db8:113::i    RFC 5737, RFC 3849
type plan struct {
	ipv6 bool
}

// The groups of hosts on the server plane: the third byte of an IPv4 address,
// the seventh group of an IPv6 one.
const (
	groupRouter = iota
	groupNode
	groupSNIP
	groupBackend
)

// The subnets that the plan is cut from.
var (
	vipV4 = netip.MustParsePrefix("203.0.113.0/24")
	vipV6 = netip.MustParsePrefix("2001:db8:113::/64")
)

// vips returns the subnets that the router sends to the nodes.
func (p plan) vips() []netip.Prefix {
	return prefixes{v4: vipV4, v6: p.only6(vipV6)}.all()
}

// vip returns service address i.
func (p plan) vip(i int) Addrs {
	v6 := vipV6.Addr().As16()
	v6[15] = byte(i)
	return prefixes{
		v4: netip.PrefixFrom(netip.AddrFrom4([4]byte{203, 0, 113, byte(i)}), 32),
		v6: p.only6(netip.PrefixFrom(netip.AddrFrom16(v6), 128)),
	}.addrs()
}

// client returns host 1 (the router) or 2 (the client) of client i's link.
func (p plan) client(i, host int) prefixes {
	return prefixes{
		v4: netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 0, byte(i), byte(host)}), 24),
		v6: p.only6(ula(0xc, i, 0, host)),
	}
}

// clientPlane returns host 1 (the router) or 2 (the node) of node i's link.
func (p plan) clientPlane(i, host int) prefixes {
	return prefixes{
		v4: netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 1, byte(i), byte(host)}), 30),
		v6: p.only6(ula(0xa, i, 0, host)),
	}
}

// serverPlane returns member i of a group on the server plane.
func (p plan) serverPlane(group, i int) prefixes {
	return prefixes{
		v4: netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 2, byte(group), byte(i)}), 16),
		v6: p.only6(ula(0xb, 0, group, i)),
	}
}

// sources returns the prefixes that node i sends tunnelled packets from.
func (p plan) sources(i int) []netip.Prefix {
	return prefixes{
		v4: netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 200, byte(i), 0}), 24),
		v6: p.only6(ula(0xe, i, 0, 0)),
	}.all()
}

// only6 returns v6 in a lab that has IPv6, the zero Prefix otherwise.
func (p plan) only6(v6 netip.Prefix) netip.Prefix {
	if !p.ipv6 {
		return netip.Prefix{}
	}
	return v6
}

// ula returns fd00:net:link::group:host/64 (RFC 4193).
func ula(net, link, group, host int) netip.Prefix {
	return netip.PrefixFrom(netip.AddrFrom16([16]byte{
		0: 0xfd, 3: byte(net), 5: byte(link), 13: byte(group), 15: byte(host),
	}), 64)
}
