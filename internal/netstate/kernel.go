package netstate

import (
	"errors"
	"fmt"

	"github.com/safchain/ethtool"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// receiveBuffer is how many bytes of messages the kernel keeps for us: some
// thousand, about what a routing daemon causes when it starts. Beyond it they
// are lost, and everything is loaded again.
const receiveBuffer = 4 << 20

// groups are what the Watcher subscribes to (include/uapi/linux/rtnetlink.h).
var groups = []uint{
	unix.RTNLGRP_LINK,
	unix.RTNLGRP_IPV4_IFADDR, unix.RTNLGRP_IPV6_IFADDR,
	unix.RTNLGRP_IPV4_ROUTE, unix.RTNLGRP_IPV6_ROUTE, unix.RTNLGRP_NEXTHOP,
	unix.RTNLGRP_NEIGH,
}

// A kernel holds the sockets through which a Watcher speaks to it. Each was
// made in one namespace and stays bound to it, whichever thread uses it.
type kernel struct {
	events  *nl.NetlinkSocket // one for all groups, so that messages keep their order
	route   *netlink.Handle   // requests
	ethtool *ethtool.Ethtool
	packets int // AF_PACKET socket, for announcements; it receives nothing
}

// openKernel opens the sockets in the namespace of the calling thread.
func openKernel() (*kernel, error) {
	k := &kernel{packets: -1}
	if err := k.open(); err != nil {
		k.close()
		return nil, err
	}
	return k, nil
}

// open opens what it can; close closes that.
func (k *kernel) open() (err error) {
	if k.events, err = nl.Subscribe(unix.NETLINK_ROUTE, groups...); err != nil {
		return fmt.Errorf("subscribe to rtnetlink: %w", err)
	}
	if err = k.events.SetReceiveBufferSize(receiveBuffer, true); err != nil {
		return fmt.Errorf("enlarge the rtnetlink buffer (CAP_NET_ADMIN?): %w", err)
	}
	if k.route, err = netlink.NewHandle(unix.NETLINK_ROUTE); err != nil {
		return fmt.Errorf("open rtnetlink: %w", err)
	}
	if k.ethtool, err = ethtool.NewEthtool(); err != nil {
		return fmt.Errorf("open a socket for ethtool: %w", err)
	}
	if k.packets, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0); err != nil {
		return fmt.Errorf("open a packet socket (CAP_NET_RAW?): %w", err)
	}
	return nil
}

func (k *kernel) close() {
	if k.events != nil {
		k.events.Close()
	}
	if k.route != nil {
		k.route.Close()
	}
	if k.ethtool != nil {
		k.ethtool.Close()
	}
	if k.packets >= 0 {
		unix.Close(k.packets)
	}
}

// queues are how many receive and transmit queues a link has.
type queues struct{ rx, tx int }

// queues returns the queues that the link has in use. allocated is what rtnetlink
// says, which counts queues that are switched off, too.
func (k *kernel) queues(name string, allocated queues) queues {
	c, err := k.ethtool.GetChannels(name)
	used := queues{int(c.RxCount + c.CombinedCount), int(c.TxCount + c.CombinedCount)}
	if err == nil && used.rx > 0 && used.tx > 0 {
		return used
	}
	return allocated
}

// dump calls list until it isn't interrupted by a change of what it lists, a
// few times at most.
func dump[T any](list func() ([]T, error)) ([]T, error) {
	for range 4 {
		all, err := list()
		if !errors.Is(err, netlink.ErrDumpInterrupted) {
			return all, err
		}
	}
	return nil, netlink.ErrDumpInterrupted
}

func (k *kernel) links() ([]netlink.Link, error) { return dump(k.route.LinkList) }

func (k *kernel) addrs() ([]netlink.Addr, error) {
	return dump(func() ([]netlink.Addr, error) { return k.route.AddrList(nil, netlink.FAMILY_ALL) })
}

func (k *kernel) routes() ([]netlink.Route, error) {
	return bothFamilies(func(family int) ([]netlink.Route, error) {
		main := &netlink.Route{Table: unix.RT_TABLE_MAIN}
		return k.route.RouteListFiltered(family, main, netlink.RT_FILTER_TABLE)
	})
}

func (k *kernel) neighbours() ([]netlink.Neigh, error) {
	return bothFamilies(func(family int) ([]netlink.Neigh, error) { return k.route.NeighList(0, family) })
}

func bothFamilies[T any](list func(family int) ([]T, error)) ([]T, error) {
	v4, err := dump(func() ([]T, error) { return list(netlink.FAMILY_V4) })
	if err != nil {
		return nil, err
	}
	v6, err := dump(func() ([]T, error) { return list(netlink.FAMILY_V6) })
	return append(v4, v6...), err
}
