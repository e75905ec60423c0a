package lab

import (
	"errors"
	"fmt"
	"io/fs"
	"net/netip"

	"github.com/vishvananda/netlink"
)

// Interfaces of the lab that callers name.
const (
	ClientPlane = "client0" // of a node, toward the router
	ServerPlane = "server0" // of a node, toward the backends
	HostLink    = "eth0"    // of a client or a backend: its only one
)

// bridge is the server plane's switch, in the fabric.
const bridge = "br0"

// quiet sets what every host of the lab has in common: no reverse path filter
// (a DSR reply comes from the server plane with a source that the router
// reaches over the client plane) and no duplicate address detection (the plan has
// no duplicates, and it would cost a second).
func (n *Namespace) quiet(ipv6 bool) error {
	settings := [][2]string{
		{"net/ipv4/conf/all/rp_filter", "0"},
		{"net/ipv4/conf/default/rp_filter", "0"},
	}
	if err := n.sysctls(settings); err != nil {
		return err
	}
	if !ipv6 {
		return n.disableIPv6()
	}
	return n.sysctls([][2]string{
		{"net/ipv6/conf/default/accept_dad", "0"},
		{"net/ipv6/conf/default/accept_ra", "0"},
	})
}

// disableIPv6 takes even link-local addresses away. A kernel without IPv6 has
// nothing to disable.
func (n *Namespace) disableIPv6() error {
	err := n.sysctls([][2]string{
		{"net/ipv6/conf/all/disable_ipv6", "1"},
		{"net/ipv6/conf/default/disable_ipv6", "1"},
	})
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// sysctls sets several kernel parameters, in order.
func (n *Namespace) sysctls(settings [][2]string) error {
	for _, s := range settings {
		if err := n.Sysctl(s[0], s[1]); err != nil {
			return err
		}
	}
	return nil
}

// addRouter makes the upstream router: the only host that forwards. It spreads
// flows over several next hops by the hash of addresses and ports.
func (l *Lab) addRouter() (err error) {
	if l.Router, err = l.addNamespace("r"); err != nil {
		return err
	}
	settings := [][2]string{
		{"net/ipv4/ip_forward", "1"},
		{"net/ipv4/fib_multipath_hash_policy", "1"},
	}
	if l.config.IPv6 {
		settings = append(settings, [][2]string{
			{"net/ipv6/conf/all/forwarding", "1"},
			{"net/ipv6/fib_multipath_hash_policy", "1"},
		}...)
	}
	return l.Router.sysctls(settings)
}

// addFabric makes the server plane's switch and the router's leg on it.
func (l *Lab) addFabric() (err error) {
	if l.Fabric, err = l.addNamespace("f"); err != nil {
		return err
	}
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.MTU = bridge, l.config.MTU
	// Without a querier, snooping would in time stop forwarding the multicast
	// that neighbour discovery lives on.
	snooping := false
	if err := l.Fabric.links.LinkAdd(&netlink.Bridge{LinkAttrs: attrs, MulticastSnooping: &snooping}); err != nil {
		return fmt.Errorf("lab: make bridge in %s: %w", l.Fabric.name, err)
	}
	if err := l.Fabric.SetLink(bridge, true); err != nil {
		return err
	}
	return l.plug(end{l.Router, ServerPlane}, oneQueue, l.plan.serverPlane(groupRouter, 1))
}

// oneQueue is how many queues the links of everyone but nodes have. With more, a
// veth link hands its receiver the number of the sender's transmit queue, which
// the next transmission takes, less one, for a receive queue to stick to
// (net/core/dev.c, skb_tx_hash): a node's last queue would never see a packet.
// With one there is nothing to stick to, and flows are spread by their hash.
const oneQueue = 1

// plug connects a host to the server plane and gives it its address there. The
// port of the bridge has the host's name.
func (l *Lab) plug(host end, queues int, addr prefixes) error {
	port := host.at.host
	if err := wire(host, end{l.Fabric, port}, queues, l.config.MTU); err != nil {
		return err
	}
	if err := l.Fabric.join(port, bridge); err != nil {
		return err
	}
	return host.at.address(host.name, addr.all()...)
}

// addClient makes client i and its own link to the router.
func (l *Lab) addClient(i int) error {
	n, err := l.addNamespace(fmt.Sprintf("c%d", i))
	if err != nil {
		return err
	}
	// Each connection takes a port, which then rests a minute: 500 new
	// connections a second don't fit the default range.
	if err := n.Sysctl("net/ipv4/ip_local_port_range", "1024 65535"); err != nil {
		return err
	}
	router, self := l.plan.client(i, 1), l.plan.client(i, 2)
	if err := l.legOfRouter(end{n, HostLink}, oneQueue, router, self); err != nil {
		return err
	}
	l.Clients = append(l.Clients, &Client{Namespace: n, Addr: self.addrs()})
	return nil
}

// legOfRouter connects a host to the router by a link of its own, over which
// the host's default route goes.
func (l *Lab) legOfRouter(host end, queues int, router, self prefixes) error {
	port := host.at.host
	if err := wire(host, end{l.Router, port}, queues, l.config.MTU); err != nil {
		return err
	}
	return l.numberLeg(host, router, self)
}

// numberLeg gives both ends of a leg their addresses, and its host the router as
// gateway.
func (l *Lab) numberLeg(host end, router, self prefixes) error {
	if err := l.Router.address(host.at.host, router.all()...); err != nil {
		return err
	}
	if err := host.at.address(host.name, self.all()...); err != nil {
		return err
	}
	return host.at.defaultRoute(router.addrs())
}

// defaultRoute sends everything else over a gateway.
func (n *Namespace) defaultRoute(gateway Addrs) error {
	for _, g := range gateway.All() {
		if err := n.route(netip.Prefix{}, g); err != nil {
			return err
		}
	}
	return nil
}

// addBackend makes backend i and starts its servers and, in a lab with tunnels,
// what takes packets out of them. The VIPs are on its
// loopback, where DSR needs them, and it keeps still about them: it answers no
// ARP request for an address that the asked interface doesn't have, and uses
// none as the source of its own.
func (l *Lab) addBackend(i int) error {
	n, err := l.addNamespace(fmt.Sprintf("b%d", i))
	if err != nil {
		return err
	}
	err = n.sysctls([][2]string{
		{"net/ipv4/conf/all/arp_ignore", "1"},
		{"net/ipv4/conf/all/arp_announce", "2"},
	})
	if err != nil {
		return err
	}
	self := l.plan.serverPlane(groupBackend, i)
	if err := l.plug(end{n, HostLink}, oneQueue, self); err != nil {
		return err
	}
	if err := n.defaultRoute(l.plan.serverPlane(groupRouter, 1).addrs()); err != nil {
		return err
	}
	serve := self.addrs().All()
	for _, both := range l.VIPs {
		for _, vip := range both.All() {
			if err := n.address("lo", netip.PrefixFrom(vip, vip.BitLen())); err != nil {
				return err
			}
			serve = append(serve, vip)
		}
	}
	b := newBackend(n, self.addrs(), serve)
	l.Backends = append(l.Backends, b)
	if l.config.Tunnels {
		if err := b.openTunnels(l.config.IPv6); err != nil {
			return err
		}
	}
	return b.Start()
}

// addNode makes the host of node i, with its two planes. Its kernel forwards
// nothing: what the appliance doesn't carry is not carried.
func (l *Lab) addNode(i int) error {
	n, err := l.addNamespace(fmt.Sprintf("n%d", i))
	if err != nil {
		return err
	}
	node := &Node{
		Namespace:  n,
		ID:         i,
		ClientAddr: l.plan.clientPlane(i, 2).addrs(),
		ServerAddr: l.plan.serverPlane(groupNode, i).addrs(),
		SNIP:       l.plan.serverPlane(groupSNIP, i).addrs(),
		Sources:    l.plan.sources(i),
		lab:        l,
	}
	l.Nodes = append(l.Nodes, node)
	if err := l.attach(node, ClientPlane); err != nil {
		return err
	}
	return l.attach(node, ServerPlane)
}

// attach connects a node to one of its planes.
func (l *Lab) attach(n *Node, plane string) error {
	host := end{n.Namespace, plane}
	switch plane {
	case ClientPlane:
		return l.legOfRouter(host, l.config.Queues, l.plan.clientPlane(n.ID, 1), l.plan.clientPlane(n.ID, 2))
	case ServerPlane:
		return l.plug(host, l.config.Queues, l.plan.serverPlane(groupNode, n.ID))
	}
	return fmt.Errorf("lab: attach %s: no plane %q", n.host, plane)
}

// raise sets a node's interface up and gives it back what it had.
func (l *Lab) raise(n *Node, plane string) error {
	host := end{n.Namespace, plane}
	if err := n.SetLink(plane, true); err != nil {
		return err
	}
	if err := host.awaitUp(); err != nil {
		return err
	}
	if plane == ServerPlane {
		return n.address(plane, l.plan.serverPlane(groupNode, n.ID).all()...)
	}
	return l.numberLeg(host, l.plan.clientPlane(n.ID, 1), l.plan.clientPlane(n.ID, 2))
}

// routeVIPs makes the router send the VIPs to the nodes that are attached to it,
// flow by flow when there are several, and to each its outer sources.
func (l *Lab) routeVIPs() error {
	var v4, v6 []netip.Addr
	for _, n := range l.Nodes {
		if _, err := l.Router.links.LinkByName(n.host); err == nil {
			v4 = append(v4, n.ClientAddr.V4)
			v6 = append(v6, n.ClientAddr.V6)
			for i, sources := range n.Sources {
				if err := l.Router.route(sources, n.ClientAddr.All()[i]); err != nil {
					return err
				}
			}
		}
	}
	for _, vips := range l.plan.vips() {
		gateways := v4
		if vips.Addr().Is6() {
			gateways = v6
		}
		if err := l.Router.route(vips, gateways...); err != nil {
			return err
		}
	}
	return nil
}
