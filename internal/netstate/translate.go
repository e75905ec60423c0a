package netstate

import (
	"cmp"
	"net"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"appliance/internal/fib"
)

// This file turns the kernel's terms into those of the forwarding table. All
// of it is pure.

// routeKinds are the kinds of the kernel's route types. Types that are missing
// here are not for forwarding.
var routeKinds = map[int]fib.Kind{
	unix.RTN_UNICAST:     fib.Unicast,
	unix.RTN_LOCAL:       fib.Local,
	unix.RTN_ANYCAST:     fib.Local,
	unix.RTN_BROADCAST:   fib.Broadcast,
	unix.RTN_BLACKHOLE:   fib.Blackhole,
	unix.RTN_UNREACHABLE: fib.Unreachable,
	unix.RTN_PROHIBIT:    fib.Prohibit,
	unix.RTN_THROW:       fib.Unreachable,
	unix.RTN_NAT:         fib.Unsupported,
	unix.RTN_XRESOLVE:    fib.Unsupported,
}

// input returns what the forwarding table is to be compiled from. Equal views
// give equal inputs.
func (v *view) input(cfg *Config) fib.Input {
	in := fib.Input{Links: v.fibLinks(cfg)}
	for _, a := range v.addrs {
		in.Routes = append(in.Routes, addrRoutes(a)...)
	}
	for _, r := range v.routes {
		if route, ok := fibRoute(r); ok {
			in.Routes = append(in.Routes, route)
		}
	}
	for key, n := range v.neighbours {
		if n.valid {
			in.Neighbours = append(in.Neighbours, fib.Neighbour{Addr: key.addr, Link: key.link, MAC: n.mac})
		}
	}
	slices.SortFunc(in.Neighbours, func(a, b fib.Neighbour) int {
		return cmp.Or(a.Addr.Compare(b.Addr), cmp.Compare(a.Link, b.Link))
	})
	return in
}

// fibLinks returns the links that the engine can send on: configured
// interfaces, and 802.1Q links over them.
func (v *view) fibLinks(cfg *Config) []fib.Link {
	numbers := map[int]uint8{} // by link index
	var links []fib.Link
	for _, l := range v.links {
		at := slices.IndexFunc(cfg.Interfaces, func(i Interface) bool { return i.Name == l.Attrs().Name })
		if at >= 0 {
			numbers[l.Attrs().Index] = uint8(at)
			links = append(links, fibLink(l, uint8(at), 0))
		}
	}
	for _, l := range v.links {
		vlan, ok := l.(*netlink.Vlan)
		if !ok || vlan.VlanProtocol != netlink.VLAN_PROTOCOL_8021Q || vlan.NetNsID >= 0 {
			continue // not a VLAN, or one whose parent is in another namespace
		}
		number, ours := numbers[vlan.ParentIndex]
		if _, itself := numbers[vlan.Index]; ours && !itself {
			links = append(links, fibLink(l, number, uint16(vlan.VlanId)))
		}
	}
	return links
}

func fibLink(l netlink.Link, number uint8, vlan uint16) fib.Link {
	a := l.Attrs()
	return fib.Link{Index: a.Index, Interface: number, VLAN: vlan, MAC: macOf(a.HardwareAddr), MTU: a.MTU, Up: isUp(a)}
}

// isUp reports whether a link is administratively up and has carrier.
func isUp(a *netlink.LinkAttrs) bool {
	const up = unix.IFF_UP | unix.IFF_LOWER_UP
	return a.RawFlags&up == up
}

// addrRoutes returns the entries of an address: itself, and the broadcast
// addresses of its prefix (net/ipv4/fib_frontend.c fib_add_ifaddr).
func addrRoutes(a netlink.Addr) []fib.Route {
	own := prefixOf(a.IPNet)
	if !own.IsValid() {
		return nil
	}
	host := func(addr netip.Addr, kind fib.Kind) fib.Route {
		return fib.Route{Prefix: netip.PrefixFrom(addr, addr.BitLen()), Kind: kind}
	}
	routes := []fib.Route{host(own.Addr(), fib.Local)}
	if own.Addr().Is4() && own.Bits() < 31 {
		last := own.Masked().Addr().As4()
		for bit := own.Bits(); bit < 32; bit++ {
			last[bit/8] |= 0x80 >> (bit % 8)
		}
		routes = append(routes, host(own.Masked().Addr(), fib.Broadcast), host(netip.AddrFrom4(last), fib.Broadcast))
	}
	return routes
}

// fibRoute translates a route of the main table; ok is false for one that
// plays no part in forwarding by destination.
func fibRoute(r netlink.Route) (route fib.Route, ok bool) {
	kind, known := routeKinds[r.Type]
	prefix := prefixOf(r.Dst)
	if !known || !prefix.IsValid() || r.Tos != 0 {
		return fib.Route{}, false
	}
	route = fib.Route{Prefix: prefix, Kind: kind, Metric: uint32(r.Priority)}
	if kind != fib.Unicast {
		return route, true
	}
	encapsulated := r.Encap != nil || r.NewDst != nil
	if len(r.MultiPath) == 0 && r.LinkIndex > 0 {
		route.Hops = []fib.Hop{{Link: r.LinkIndex, Via: viaOf(r.Gw, r.Via), Weight: 1, MTU: r.MTU}}
	}
	for _, h := range r.MultiPath {
		encapsulated = encapsulated || h.Encap != nil || h.NewDst != nil
		route.Hops = append(route.Hops, fib.Hop{Link: h.LinkIndex, Via: viaOf(h.Gw, h.Via), Weight: h.Hops + 1, MTU: r.MTU})
	}
	if encapsulated {
		return fib.Route{Prefix: prefix, Kind: fib.Unsupported, Metric: route.Metric}, true
	}
	return route, true
}

// viaOf returns the gateway: RTA_GATEWAY, or RTA_VIA when its family is another
// one than the route's.
func viaOf(gateway net.IP, via netlink.Destination) netip.Addr {
	if v, ok := via.(*netlink.Via); ok && v != nil {
		return addrOf(v.Addr)
	}
	return addrOf(gateway)
}

// addrOf returns ip, or the zero Addr for none.
func addrOf(ip net.IP) netip.Addr {
	a, _ := netip.AddrFromSlice(ip)
	return a.Unmap()
}

// prefixOf returns n with its address as it is, or the zero Prefix for none.
func prefixOf(n *net.IPNet) netip.Prefix {
	if n == nil {
		return netip.Prefix{}
	}
	a := addrOf(n.IP)
	bits, size := n.Mask.Size()
	if !a.IsValid() || size != a.BitLen() {
		return netip.Prefix{}
	}
	return netip.PrefixFrom(a, bits)
}

func macOf(h net.HardwareAddr) (mac [6]byte) {
	if len(h) == len(mac) {
		mac = [6]byte(h)
	}
	return mac
}
