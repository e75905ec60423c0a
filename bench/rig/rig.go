package rig

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"

	"github.com/safchain/ethtool"
	"github.com/vishvananda/netlink"

	"appliance/bench/space"
)

// Interface names; see the package comment.
const (
	GenIf  = "gen0"
	CliIf  = "cli0"
	SrvIf  = "srv0"
	SinkIf = "sink0"
)

// Addresses of the interfaces, and what the traffic uses besides.
var (
	GenAddr  = netip.MustParsePrefix("198.18.0.2/16")
	CliAddr  = netip.MustParsePrefix("198.18.0.1/16")
	SrvAddr  = netip.MustParsePrefix("198.19.0.1/16")
	SinkAddr = netip.MustParsePrefix("198.19.0.2/16")

	FirstClient  = netip.MustParseAddr("198.18.128.0")
	VIP          = netip.MustParseAddr("198.18.0.100")
	firstBackend = netip.MustParseAddr("198.19.1.1")
	firstSNIP    = netip.MustParseAddr("198.19.2.1")
)

// The fixed MAC addresses, locally administered.
var (
	GenMAC  = [6]byte{0x02, 0xbe, 0, 0, 0, 1}
	CliMAC  = [6]byte{0x02, 0xbe, 0, 0, 0, 2}
	SrvMAC  = [6]byte{0x02, 0xbe, 0, 0, 0, 3}
	SinkMAC = [6]byte{0x02, 0xbe, 0, 0, 0, 4}
)

// Backends is how many backend addresses resolve to the sink.
const Backends = 16

// SNIPs is how many source addresses a NAT may use toward the backends. With 16
// backends they give a flow bucket room for about 1,000 flows.
const SNIPs = 4

// Backend returns the address of backend i, 0 <= i < Backends.
func Backend(i int) netip.Addr { return nth(firstBackend, i) }

// SNIP returns NAT source address i, 0 <= i < SNIPs.
func SNIP(i int) netip.Addr { return nth(firstSNIP, i) }

func nth(first netip.Addr, i int) netip.Addr {
	b := first.As4()
	b[3] += byte(i)
	return netip.AddrFrom4(b)
}

// A Rig is the topology of the package comment.
type Rig struct {
	Client, Node, Server *space.Space
}

// New builds the topology: all of it, or nothing and an error. It needs root.
func New() (*Rig, error) {
	if err := space.Sweep(); err != nil {
		return nil, err
	}
	r := new(Rig)
	if err := r.build(); err != nil {
		return nil, errors.Join(err, r.Close())
	}
	return r, nil
}

func (r *Rig) build() error {
	var err error
	for _, s := range []struct {
		at   **space.Space
		role string
	}{{&r.Client, "client"}, {&r.Node, "node"}, {&r.Server, "server"}} {
		if *s.at, err = space.New(s.role); err != nil {
			return err
		}
		if err := (*s.at).Do(quiet); err != nil {
			return err
		}
	}
	return errors.Join(
		r.Node.Do(func() error {
			return errors.Join(addPair(CliIf, GenIf, r.Client), addPair(SrvIf, SinkIf, r.Server))
		}),
		r.Client.Do(func() error {
			return setUp(GenIf, GenMAC, GenAddr, neighbour{CliAddr.Addr(), CliMAC})
		}),
		r.Node.Do(func() error {
			return errors.Join(
				setUp(CliIf, CliMAC, CliAddr, neighbour{GenAddr.Addr(), GenMAC}),
				setUp(SrvIf, SrvMAC, SrvAddr, backends()...))
		}),
		r.Server.Do(func() error {
			return setUp(SinkIf, SinkMAC, SinkAddr, neighbour{SrvAddr.Addr(), SrvMAC})
		}),
	)
}

// quiet keeps the kernel from sending anything of its own, such as router
// solicitations.
func quiet() error {
	for _, which := range []string{"all", "default"} {
		if err := os.WriteFile("/proc/sys/net/ipv6/conf/"+which+"/disable_ipv6", []byte("1"), 0); err != nil {
			return fmt.Errorf("rig: switch IPv6 off: %w", err)
		}
	}
	return nil
}

// addPair makes a veth pair with one queue, its peer in another namespace.
func addPair(name, peer string, there *space.Space) error {
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.NumTxQueues, attrs.NumRxQueues = name, 1, 1
	veth := &netlink.Veth{
		LinkAttrs:       attrs,
		PeerName:        peer,
		PeerNumTxQueues: 1,
		PeerNumRxQueues: 1,
		PeerNamespace:   netlink.NsFd(there.FD()),
	}
	if err := netlink.LinkAdd(veth); err != nil {
		return fmt.Errorf("rig: add veth pair %s and %s: %w", name, peer, err)
	}
	return nil
}

type neighbour struct {
	addr netip.Addr
	mac  [6]byte
}

func backends() []neighbour {
	all := []neighbour{{SinkAddr.Addr(), SinkMAC}}
	for i := range Backends {
		all = append(all, neighbour{Backend(i), SinkMAC})
	}
	return all
}

// setUp gives an interface its addresses and static neighbours, switches its
// offloads off and brings it up.
func setUp(name string, mac [6]byte, addr netip.Prefix, neighbours ...neighbour) error {
	l, err := netlink.LinkByName(name)
	if err != nil {
		return fmt.Errorf("rig: find %s: %w", name, err)
	}
	ipnet := &net.IPNet{IP: addr.Addr().AsSlice(), Mask: net.CIDRMask(addr.Bits(), 32)}
	errs := []error{
		netlink.LinkSetHardwareAddr(l, mac[:]),
		netlink.AddrAdd(l, &netlink.Addr{IPNet: ipnet}),
		offloadsOff(name),
		netlink.LinkSetUp(l),
	}
	for _, n := range neighbours {
		errs = append(errs, netlink.NeighSet(&netlink.Neigh{
			LinkIndex: l.Attrs().Index, State: netlink.NUD_PERMANENT, Family: netlink.FAMILY_V4,
			IP: n.addr.AsSlice(), HardwareAddr: n.mac[:],
		}))
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("rig: set %s up: %w", name, err)
	}
	return nil
}

// offloadsOff makes the interface carry frames as a wire would: whole checksums,
// no segments to be cut later.
func offloadsOff(name string) error {
	e, err := ethtool.NewEthtool()
	if err != nil {
		return err
	}
	defer e.Close()
	return e.Change(name, map[string]bool{
		"rx-checksum": false, "tx-checksum-ip-generic": false,
		"tx-tcp-segmentation": false, "tx-tcp6-segmentation": false, "tx-generic-segmentation": false,
		"rx-gro": false, "rx-vlan-hw-parse": false, "tx-vlan-hw-insert": false,
	})
}

// Index returns the index of an interface of the calling thread's namespace.
func Index(name string) (int, error) {
	l, err := netlink.LinkByName(name)
	if err != nil {
		return 0, fmt.Errorf("rig: find %s: %w", name, err)
	}
	return l.Attrs().Index, nil
}

// Close removes the namespaces and all in them.
func (r *Rig) Close() error {
	var errs []error
	for _, s := range []*space.Space{r.Client, r.Node, r.Server} {
		if s != nil {
			errs = append(errs, s.Close())
		}
	}
	return errors.Join(errs...)
}
