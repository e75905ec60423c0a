package netstate

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink"
)

// A view is what is known of the kernel's configuration, in the kernel's terms.
type view struct {
	links      []netlink.Link
	addrs      []netlink.Addr
	routes     []netlink.Route
	neighbours map[adjacency]neighbour
	queues     map[string]queues // of the configured interfaces that exist
	guarded    map[string]int    // configured interfaces, by name, to the index for which Guard was called
}

// adjacency names a neighbour.
type adjacency struct {
	addr netip.Addr // without a zone
	link int
}

// A neighbour is an entry of the kernel's neighbour tables.
type neighbour struct {
	mac     [6]byte
	valid   bool // mac may be sent to
	managed bool // the kernel keeps it resolved
	fixed   bool // an administrator entered it; it needs no resolution
}

// Neighbour states whose address the kernel itself would send to: NUD_VALID in
// include/net/neighbour.h.
const nudValid = netlink.NUD_PERMANENT | netlink.NUD_NOARP | netlink.NUD_REACHABLE |
	netlink.NUD_PROBE | netlink.NUD_STALE | netlink.NUD_DELAY

// load loads the parts again. On an error some of them may be as before.
func (v *view) load(k *kernel, which parts) (err error) {
	if which&linkPart != 0 {
		if v.links, err = k.links(); err != nil {
			return fmt.Errorf("list links: %w", err)
		}
	}
	if which&addrPart != 0 {
		if v.addrs, err = k.addrs(); err != nil {
			return fmt.Errorf("list addresses: %w", err)
		}
	}
	if which&routePart != 0 {
		if v.routes, err = k.routes(); err != nil {
			return fmt.Errorf("list routes: %w", err)
		}
	}
	if which&neighbourPart != 0 {
		all, err := k.neighbours()
		if err != nil {
			return fmt.Errorf("list neighbours: %w", err)
		}
		v.neighbours = make(map[adjacency]neighbour, len(all))
		for i := range all {
			v.learn(&all[i], false)
		}
	}
	return nil
}

// learn enters one neighbour, or removes it, and reports whether that matters
// to the forwarding table.
func (v *view) learn(n *netlink.Neigh, gone bool) bool {
	key := adjacency{addrOf(n.IP), n.LinkIndex}
	was := v.neighbours[key]
	if gone {
		delete(v.neighbours, key)
		return was.valid
	}
	now := neighbour{
		valid:   n.State&nudValid != 0 && len(n.HardwareAddr) == 6,
		managed: n.FlagsExt&netlink.NTF_EXT_MANAGED != 0,
		fixed:   n.State&(netlink.NUD_PERMANENT|netlink.NUD_NOARP) != 0,
	}
	if now.valid {
		now.mac = [6]byte(n.HardwareAddr)
	}
	v.neighbours[key] = now
	return now.valid != was.valid || now.mac != was.mac
}

// loadQueues reads the queue counts of the configured interfaces again and
// reports whether one changed.
func (v *view) loadQueues(k *kernel, cfg *Config) bool {
	all := make(map[string]queues, len(cfg.Interfaces))
	for _, i := range cfg.Interfaces {
		if l := v.link(i.Name); l != nil {
			all[i.Name] = k.queues(i.Name, queues{l.Attrs().NumRxQueues, l.Attrs().NumTxQueues})
		}
	}
	changed := !maps.Equal(all, v.queues)
	v.queues = all
	return changed
}

// link returns the link of that name, or nil.
func (v *view) link(name string) netlink.Link {
	for _, l := range v.links {
		if l.Attrs().Name == name {
			return l
		}
	}
	return nil
}

// state returns the view as the State it amounts to, but for the forwarding
// table, the SNIPs and the generation.
func (v *view) state(cfg *Config) State {
	s := State{Links: make([]Link, len(cfg.Interfaces))}
	for i, configured := range cfg.Interfaces {
		s.Links[i].Name = configured.Name
		if l := v.link(configured.Name); l != nil {
			a := l.Attrs()
			s.Links[i] = Link{
				Name: a.Name, Exists: true, Up: isUp(a), Index: a.Index, MTU: a.MTU,
				MAC: macOf(a.HardwareAddr), Kind: l.Type(), RxQueues: v.queues[a.Name].rx, TxQueues: v.queues[a.Name].tx,
			}
		}
	}
	for _, a := range v.addrs {
		if p := prefixOf(a.IPNet); p.IsValid() {
			s.Addresses = append(s.Addresses, p)
		}
	}
	slices.SortFunc(s.Addresses, netip.Prefix.Compare)
	return s
}

// linkByIndex returns the link of that index, or nil.
func (v *view) linkByIndex(index int) netlink.Link {
	for _, l := range v.links {
		if l.Attrs().Index == index {
			return l
		}
	}
	return nil
}
