package lab

import (
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/safchain/ethtool"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// An end is one end of a link: an interface of a host.
type end struct {
	at   *Namespace
	name string
}

// mac returns the interface's MAC address: always the same, so that captures
// read alike and an interface that comes back is the same card to its
// neighbours. 40 bits of hash behind "locally administered, unicast" (IEEE 802c)
// don't collide among a few hundred interfaces.
func (e end) mac() net.HardwareAddr {
	hash := fnv.New64a()
	io.WriteString(hash, e.at.host+"/"+e.name)
	return append(net.HardwareAddr{0x02}, hash.Sum(nil)[:5]...)
}

// wire joins two hosts by a veth pair, with the same number of queues at both
// ends: the kernel refuses an XDP program on an end with fewer receive queues
// than its peer has transmit queues (drivers/net/veth.c, veth_xdp_set). Both
// ends are born inside their namespaces, so the host never sees them.
func wire(a, b end, queues, mtu int) error {
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.MTU = a.name, mtu
	attrs.NumRxQueues, attrs.NumTxQueues = queues, queues
	veth := netlink.NewVeth(attrs)
	veth.HardwareAddr = a.mac()
	veth.PeerName = b.name
	veth.PeerHardwareAddr = b.mac()
	veth.PeerNamespace = netlink.NsFd(b.at.handle)
	if err := a.at.links.LinkAdd(veth); err != nil {
		return fmt.Errorf("lab: link %s of %s with %s of %s: %w", a.name, a.at.name, b.name, b.at.name, err)
	}
	for _, e := range []end{a, b} {
		if err := e.at.plainPackets(e.name); err != nil {
			return err
		}
		if err := e.at.SetLink(e.name, true); err != nil {
			return err
		}
	}
	return errors.Join(a.awaitUp(), b.awaitUp())
}

// awaitUp waits until an interface carries packets. The kernel gets it ready a
// moment after both ends are up (net/core/link_watch.c) and drops silently what
// is sent before: a lost SYN or solicitation would cost its sender a second.
func (e end) awaitUp() error {
	up := func() (bool, error) {
		link, err := e.at.links.LinkByName(e.name)
		return err == nil && link.Attrs().OperState == netlink.OperUp, err
	}
	if err := await(up); err != nil {
		return fmt.Errorf("lab: wait for %s of %s to be up: %w", e.name, e.at.name, err)
	}
	return nil
}

// kernelPause and kernelPatience are how often the kernel is asked whether it has
// finished something, and how long that may take. It takes milliseconds.
const (
	kernelPause    = time.Millisecond
	kernelPatience = 5 * time.Second
)

// await waits until the kernel has finished something.
func await(finished func() (bool, error)) error {
	for deadline := time.Now().Add(kernelPatience); ; time.Sleep(kernelPause) {
		ok, err := finished()
		if ok || err != nil {
			return err
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("not after %s", kernelPatience)
		}
	}
}

// plainPackets turns off every offload of an interface, so that what crosses it
// is what would cross a wire: packets no longer than the MTU, with their VLAN
// tags and their checksums inside, and every checksum verified on arrival. With
// them on, an AF_XDP socket at the other end would meet 64 KiB packets without
// checksums, which no network card ever delivers.
func (n *Namespace) plainPackets(link string) error {
	err := n.In(func() error {
		tool, err := ethtool.NewEthtool()
		if err != nil {
			return err
		}
		defer tool.Close()
		features, err := tool.FeaturesWithState(link)
		if err != nil {
			return err
		}
		off := make(map[string]bool)
		for name, state := range features {
			if isOffload(name) && state.Available {
				off[name] = false
			}
		}
		return tool.Change(link, off)
	})
	if err != nil {
		return fmt.Errorf("lab: turn offloads off on %s of %s: %w", link, n.name, err)
	}
	return nil
}

// isOffload reports whether an interface feature, by its ethtool name, makes
// packets differ from those on a wire.
func isOffload(feature string) bool {
	return strings.HasPrefix(feature, "rx-") || strings.HasPrefix(feature, "tx-")
}

// SetLink sets an interface of the namespace up or down.
func (n *Namespace) SetLink(link string, up bool) error {
	set, verb := n.links.LinkSetDown, "down"
	if up {
		set, verb = n.links.LinkSetUp, "up"
	}
	found, err := n.links.LinkByName(link)
	if err == nil {
		err = set(found)
	}
	if err != nil {
		return fmt.Errorf("lab: set %s of %s %s: %w", link, n.name, verb, err)
	}
	return nil
}

// removeLink deletes an interface, and with it the other end of its pair.
func (n *Namespace) removeLink(link string) error {
	found, err := n.links.LinkByName(link)
	if err == nil {
		err = n.links.LinkDel(found)
	}
	if err != nil {
		return fmt.Errorf("lab: remove %s of %s: %w", link, n.name, err)
	}
	return nil
}

// join makes an interface a port of a bridge of the same namespace.
func (n *Namespace) join(link, bridge string) error {
	port, err := n.links.LinkByName(link)
	if err == nil {
		var master netlink.Link
		if master, err = n.links.LinkByName(bridge); err == nil {
			err = n.links.LinkSetMaster(port, master)
		}
	}
	if err != nil {
		return fmt.Errorf("lab: join %s of %s to %s: %w", link, n.name, bridge, err)
	}
	return nil
}

// address gives an interface its addresses and waits until they can be used: an
// IPv6 address is tentative until the interface has joined the multicast group
// in which neighbours ask for it.
func (n *Namespace) address(link string, addrs ...netip.Prefix) error {
	found, err := n.links.LinkByName(link)
	if err != nil {
		return fmt.Errorf("lab: find %s of %s: %w", link, n.name, err)
	}
	for _, a := range addrs {
		if err := n.links.AddrReplace(found, &netlink.Addr{IPNet: ipNet(a)}); err != nil {
			return fmt.Errorf("lab: give %s of %s address %s: %w", link, n.name, a, err)
		}
	}
	settled := func() (bool, error) {
		all, err := n.links.AddrList(found, netlink.FAMILY_ALL)
		tentative := func(a netlink.Addr) bool { return a.Flags&unix.IFA_F_TENTATIVE != 0 }
		return !slices.ContainsFunc(all, tentative), err
	}
	if err := await(settled); err != nil {
		return fmt.Errorf("lab: wait for the addresses of %s of %s: %w", link, n.name, err)
	}
	return nil
}

// route sends dst over gateways, flow by flow when there are several. The zero
// dst is the default route. It replaces the route that dst had.
func (n *Namespace) route(dst netip.Prefix, gateways ...netip.Addr) error {
	r := &netlink.Route{}
	if dst.IsValid() {
		r.Dst = ipNet(dst)
	}
	if len(gateways) == 1 {
		r.Gw = gateways[0].AsSlice()
	} else {
		for _, g := range gateways {
			r.MultiPath = append(r.MultiPath, &netlink.NexthopInfo{Gw: g.AsSlice()})
		}
	}
	if err := n.links.RouteReplace(r); err != nil {
		return fmt.Errorf("lab: route %s over %s in %s: %w", dst, gateways, n.name, err)
	}
	return nil
}

// LinkPackets are the packets that crossed an interface since it was made.
type LinkPackets struct {
	Rx, Tx uint64
}

// Packets counts what crossed an interface of the namespace.
func (n *Namespace) Packets(link string) (LinkPackets, error) {
	found, err := n.links.LinkByName(link)
	if err != nil {
		return LinkPackets{}, fmt.Errorf("lab: count packets of %s of %s: %w", link, n.name, err)
	}
	s := found.Attrs().Statistics
	return LinkPackets{Rx: s.RxPackets, Tx: s.TxPackets}, nil
}

// ipNet converts to what the netlink package understands.
func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{
		IP:   p.Addr().AsSlice(),
		Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen()),
	}
}
