package fib

import (
	"errors"
	"fmt"
	"math"
	"net/netip"
	"slices"
)

// ErrBadInput reports an Input that contradicts itself: a link listed twice, an
// invalid prefix or address, a number out of range. The kernel never says such
// a thing; keep the old Table.
var ErrBadInput = errors.New("bad input")

// martians are destinations that are never forwarded (RFC 1812 section 5.3.7,
// RFC 4291 sections 2.4 and 2.5.3). Link-local IPv6 is among them because its
// addresses mean nothing without a link; as gateways they are welcome.
var martians = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"),
	netip.MustParsePrefix("127.0.0.0/8"),
	netip.MustParsePrefix("224.0.0.0/4"),
	netip.MustParsePrefix("255.255.255.255/32"),
	netip.MustParsePrefix("::/128"),
	netip.MustParsePrefix("::1/128"),
	netip.MustParsePrefix("fe80::/10"),
	netip.MustParsePrefix("ff00::/8"),
}

// Compile returns the Table of in, of which it keeps nothing. Errors wrap
// ErrBadInput.
func Compile(in Input) (*Table, error) {
	c, err := newCompiler(in)
	if err != nil {
		return nil, fmt.Errorf("fib: compile: %w", err)
	}
	best, err := c.choose(in.Routes)
	if err != nil {
		return nil, fmt.Errorf("fib: compile: %w", err)
	}
	t := &Table{links: slices.Clone(in.Links)}
	for prefix, route := range best {
		t.trie.Insert(prefix, c.entry(route, netip.Addr{}))
	}
	for _, prefix := range martians {
		t.trie.Insert(prefix, &entry{reason: ReasonMartian})
	}
	c.addHosts(t, best)
	return t, nil
}

// adjacency names a neighbour: an address means nothing without its link.
type adjacency struct {
	addr netip.Addr
	link int
}

// A compiler holds the indexed Input while a Table is built.
type compiler struct {
	links      map[int]Link
	neighbours map[adjacency][6]byte
}

func newCompiler(in Input) (*compiler, error) {
	c := &compiler{
		links:      make(map[int]Link, len(in.Links)),
		neighbours: make(map[adjacency][6]byte, len(in.Neighbours)),
	}
	for _, l := range in.Links {
		if _, twice := c.links[l.Index]; twice {
			return nil, fmt.Errorf("%w: link %d is listed twice", ErrBadInput, l.Index)
		}
		if l.VLAN > 4094 {
			return nil, fmt.Errorf("%w: link %d: VLAN id %d is above 4094", ErrBadInput, l.Index, l.VLAN)
		}
		c.links[l.Index] = l
	}
	for _, n := range in.Neighbours {
		if !n.Addr.IsValid() {
			return nil, fmt.Errorf("%w: a neighbour on link %d has no address", ErrBadInput, n.Link)
		}
		c.neighbours[adjacency{n.Addr.Unmap().WithZone(""), n.Link}] = n.MAC
	}
	return c, nil
}

// choose returns the route that wins each prefix.
func (c *compiler) choose(routes []Route) (map[netip.Prefix]*Route, error) {
	best := make(map[netip.Prefix]*Route, len(routes))
	for i := range routes {
		r := &routes[i]
		if err := r.check(); err != nil {
			return nil, err
		}
		prefix := r.Prefix.Masked()
		if isMartian(prefix) {
			continue
		}
		if was, ok := best[prefix]; !ok || c.better(r, was) {
			best[prefix] = r
		}
	}
	return best, nil
}

func (r *Route) check() error {
	if !r.Prefix.IsValid() {
		return fmt.Errorf("%w: a route has no valid prefix", ErrBadInput)
	}
	if r.Kind > Unsupported {
		return fmt.Errorf("%w: route %s: kind %d doesn't exist", ErrBadInput, r.Prefix, r.Kind)
	}
	for _, h := range r.Hops {
		if h.Weight < 0 || h.Weight > math.MaxUint16 {
			return fmt.Errorf("%w: route %s: weight %d is out of range", ErrBadInput, r.Prefix, h.Weight)
		}
	}
	return nil
}

// isMartian reports whether all of prefix lies in one of the martians.
func isMartian(prefix netip.Prefix) bool {
	return slices.ContainsFunc(martians, func(m netip.Prefix) bool {
		return m.Bits() <= prefix.Bits() && m.Contains(prefix.Addr())
	})
}

// better reports whether a, listed after b, takes b's place.
func (c *compiler) better(a, b *Route) bool {
	if a.own() || b.own() {
		return a.own() && !b.own()
	}
	if down := c.down(b); down != c.down(a) {
		return down
	}
	return a.Metric < b.Metric
}

// own reports whether the route stands in the kernel's local table.
func (r *Route) own() bool { return r.Kind == Local || r.Kind == Broadcast }

// down reports whether the route would work but for its links being down.
func (c *compiler) down(r *Route) bool {
	down := false
	for _, h := range r.Hops {
		link, ours := c.links[h.Link]
		if ours && link.Up {
			return false
		}
		down = down || ours
	}
	return down && r.Kind == Unicast
}

// addHosts adds a host entry for each neighbour that a route reaches without a
// gateway. A neighbour that the routes put elsewhere, on another link or behind
// a gateway, gets none: the kernel wouldn't send to it either.
func (c *compiler) addHosts(t *Table, best map[netip.Prefix]*Route) {
	for n := range c.neighbours {
		host := netip.PrefixFrom(n.addr, n.addr.BitLen())
		prefix, _, ok := t.trie.LookupPrefixLPM(host)
		if !ok {
			continue
		}
		// Martians have no route, nor has a host entry that another link's
		// neighbour of the same address has made: it covers all links.
		r, ok := best[prefix]
		if ok && r.connectedOn(n.link) {
			t.trie.Insert(host, c.entry(r, n.addr))
		}
	}
}

func (r *Route) connectedOn(link int) bool {
	return r.Kind == Unicast && slices.ContainsFunc(r.Hops, func(h Hop) bool {
		return h.Link == link && !h.Via.IsValid()
	})
}
