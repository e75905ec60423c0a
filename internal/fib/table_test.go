package fib

import (
	"errors"
	"math"
	"net/netip"
	"testing"
)

var (
	addr   = netip.MustParseAddr
	prefix = netip.MustParsePrefix
)

func mac(last byte) [6]byte { return [6]byte{2, 0, 0, 0, 0, last} }

// The test node:
//
//	link 1 = interface 0, 10.0.0.0/24 and 2001:db8::/64, gateways .1 and ::1
//	link 2 = interface 1, 10.0.1.0/24, carrier down in some cases
//	link 3 = VLAN 100 on interface 0, 10.0.2.0/24
//	link 9 = not configured
func node() Input {
	return Input{
		Links: []Link{
			{Index: 1, Interface: 0, MAC: mac(0xa1), MTU: 1500, Up: true},
			{Index: 2, Interface: 1, MAC: mac(0xa2), MTU: 9000, Up: true},
			{Index: 3, Interface: 0, VLAN: 100, MAC: mac(0xa3), MTU: 1496, Up: true},
		},
		Routes: []Route{
			{Prefix: prefix("10.0.0.0/24"), Hops: []Hop{{Link: 1}}},
			{Prefix: prefix("10.0.1.0/24"), Hops: []Hop{{Link: 2}}},
			{Prefix: prefix("10.0.2.0/24"), Hops: []Hop{{Link: 3}}},
			{Prefix: prefix("2001:db8::/64"), Hops: []Hop{{Link: 1}}},
			{Prefix: prefix("10.0.0.9/32"), Kind: Local},
			{Prefix: prefix("10.0.0.255/32"), Kind: Broadcast},
		},
		Neighbours: []Neighbour{
			{addr("10.0.0.1"), 1, mac(1)},
			{addr("10.0.0.5"), 1, mac(5)},
			{addr("10.0.1.5"), 2, mac(15)},
			{addr("10.0.2.5"), 3, mac(25)},
			{addr("2001:db8::1"), 1, mac(0x61)},
			{addr("fe80::1"), 1, mac(0x62)},
		},
	}
}

func via(p, gateway string, link int, metric uint32) Route {
	return Route{Prefix: prefix(p), Metric: metric, Hops: []Hop{{Link: link, Via: addr(gateway)}}}
}

func kind(p string, k Kind) Route { return Route{Prefix: prefix(p), Kind: k} }

const other = 9 // the link that is not configured

var lookupCases = []struct {
	name   string
	change func(*Input)
	dst    string
	result Result
	dmac   byte   // of the next hop when Found
	iface  uint8  // of the next hop
	reason Reason // when NoRoute
}{
	{"connected neighbour", nil, "10.0.0.5", Found, 5, 0, 0},
	{"IPv4-mapped destination", nil, "::ffff:10.0.0.5", Found, 5, 0, 0},
	{"second interface", nil, "10.0.1.5", Found, 15, 1, 0},
	{"VLAN sub-interface", nil, "10.0.2.5", Found, 25, 0, 0},
	{"connected IPv6", nil, "2001:db8::1", Found, 0x61, 0, 0},
	{"connected, nothing known", nil, "10.0.0.6", NoNeighbour, 0, 0, 0},
	{"no default route", nil, "198.51.100.1", NoRoute, 0, 0, ReasonNoPrefix},
	{"gateway", add(via("0.0.0.0/0", "10.0.0.1", 1, 0)), "198.51.100.1", Found, 1, 0, 0},
	{"gateway not resolved", add(via("0.0.0.0/0", "10.0.0.2", 1, 0)), "198.51.100.1", NoNeighbour, 0, 0, 0},
	{"IPv6 link-local gateway", add(via("::/0", "fe80::1", 1, 0)), "2001:db8:9::1", Found, 0x62, 0, 0},
	{"IPv4 via IPv6", add(via("0.0.0.0/0", "fe80::1", 1, 0)), "198.51.100.1", Found, 0x62, 0, 0},
	{"onlink gateway of no prefix", func(in *Input) {
		in.Routes = append(in.Routes, via("0.0.0.0/0", "203.0.113.1", 2, 0))
		in.Neighbours = append(in.Neighbours, Neighbour{addr("203.0.113.1"), 2, mac(77)})
	}, "198.51.100.1", Found, 77, 1, 0},
	{"longest prefix", add(via("10.0.0.0/8", "10.0.0.1", 1, 0)), "10.0.1.5", Found, 15, 1, 0},
	{"host route beats the neighbour", add(via("10.0.0.5/32", "10.0.1.5", 2, 0)), "10.0.0.5", Found, 15, 1, 0},
	{"neighbour on another link than its route", add(via("10.0.2.0/25", "10.0.0.1", 1, 0)), "10.0.2.5", Found, 1, 0, 0},
	{"lowest metric", add(via("0.0.0.0/0", "10.0.1.5", 2, 20), via("0.0.0.0/0", "10.0.0.1", 1, 10)), "198.51.100.1", Found, 1, 0, 0},
	{"equal metric: the first", add(via("0.0.0.0/0", "10.0.1.5", 2, 10), via("0.0.0.0/0", "10.0.0.1", 1, 10)), "198.51.100.1", Found, 15, 1, 0},
	{"foreign link", add(via("0.0.0.0/0", "10.9.9.9", other, 0)), "198.51.100.1", NoRoute, 0, 0, ReasonForeign},
	{"foreign link is not stepped over", add(via("0.0.0.0/0", "10.0.0.1", 1, 0), via("198.51.100.0/24", "10.9.9.9", other, 0)),
		"198.51.100.1", NoRoute, 0, 0, ReasonForeign},
	{"link down", down(2), "10.0.1.5", NoRoute, 0, 0, ReasonDown},
	{"link down is not stepped over", both(down(2), add(via("0.0.0.0/0", "10.0.0.1", 1, 0))), "10.0.1.5", NoRoute, 0, 0, ReasonDown},
	{"link down, worse metric", both(down(2), add(via("10.0.1.0/24", "10.0.0.1", 1, 50))), "10.0.1.5", Found, 1, 0, 0},
	{"link down, gateway resolved", both(down(2), add(via("0.0.0.0/0", "10.0.1.5", 2, 0))), "198.51.100.1", NoRoute, 0, 0, ReasonDown},
	{"own address", nil, "10.0.0.9", NoRoute, 0, 0, ReasonLocal},
	{"own address beats a route", add(via("10.0.0.9/32", "10.0.0.1", 1, 0)), "10.0.0.9", NoRoute, 0, 0, ReasonLocal},
	{"subnet broadcast", nil, "10.0.0.255", NoRoute, 0, 0, ReasonBroadcast},
	{"limited broadcast", add(via("0.0.0.0/0", "10.0.0.1", 1, 0)), "255.255.255.255", NoRoute, 0, 0, ReasonMartian},
	{"multicast, even routed", add(via("224.0.0.0/4", "10.0.0.1", 1, 0), via("239.1.1.0/24", "10.0.0.1", 1, 0)), "239.1.1.1", NoRoute, 0, 0, ReasonMartian},
	{"loopback", add(via("0.0.0.0/0", "10.0.0.1", 1, 0)), "127.0.0.1", NoRoute, 0, 0, ReasonMartian},
	{"loopback IPv6", add(via("::/0", "fe80::1", 1, 0)), "::1", NoRoute, 0, 0, ReasonMartian},
	{"link-local destination", nil, "fe80::1", NoRoute, 0, 0, ReasonMartian},
	{"blackhole", add(kind("198.51.100.0/24", Blackhole)), "198.51.100.1", NoRoute, 0, 0, ReasonBlackhole},
	{"unreachable", add(kind("198.51.100.0/24", Unreachable)), "198.51.100.1", NoRoute, 0, 0, ReasonUnreachable},
	{"prohibit", add(kind("198.51.100.0/24", Prohibit)), "198.51.100.1", NoRoute, 0, 0, ReasonProhibit},
	{"unsupported", add(kind("198.51.100.0/24", Unsupported)), "198.51.100.1", NoRoute, 0, 0, ReasonUnsupported},
	{"no next hop at all", add(kind("198.51.100.0/24", Unicast)), "198.51.100.1", NoRoute, 0, 0, ReasonUnsupported},
	{"blackhole beats a worse metric", add(Route{Prefix: prefix("0.0.0.0/0"), Kind: Blackhole, Metric: 1}, via("0.0.0.0/0", "10.0.0.1", 1, 2)),
		"198.51.100.1", NoRoute, 0, 0, ReasonBlackhole},
}

func TestLookup(t *testing.T) {
	for _, c := range lookupCases {
		t.Run(c.name, func(t *testing.T) {
			in := node()
			if c.change != nil {
				c.change(&in)
			}
			table := compile(t, in)
			hop, result := table.Lookup(addr(c.dst), 0)
			if result != c.result || (hop == nil) != (result == NoRoute) {
				t.Fatalf("Lookup(%s) = %+v, %d, want result %d", c.dst, hop, result, c.result)
			}
			if why := table.Explain(addr(c.dst)); why.Reason != c.reason {
				t.Errorf("Explain(%s) says %q, want %q", c.dst, why.Reason, c.reason)
			}
			if hop != nil && hop.Interface != c.iface {
				t.Errorf("interface %d, want %d", hop.Interface, c.iface)
			}
			if result == Found && hop.Dst != mac(c.dmac) {
				t.Errorf("destination MAC %x, want %x", hop.Dst, mac(c.dmac))
			}
		})
	}
}

func add(routes ...Route) func(*Input) {
	return func(in *Input) { in.Routes = append(in.Routes, routes...) }
}

func down(link int) func(*Input) {
	return func(in *Input) { in.Links[link-1].Up = false }
}

func both(a, b func(*Input)) func(*Input) { return func(in *Input) { a(in); b(in) } }

func compile(t testing.TB, in Input) *Table {
	t.Helper()
	table, err := Compile(in)
	if err != nil {
		t.Fatal(err)
	}
	return table
}

func TestNextHopIsComplete(t *testing.T) {
	in := node()
	in.Routes = append(in.Routes, Route{Prefix: prefix("0.0.0.0/0"), Hops: []Hop{{Link: 3, Via: addr("10.0.2.5"), MTU: 1400}}})
	table := compile(t, in)
	want := NextHop{Interface: 0, Resolved: true, VLAN: 100, MTU: 1400, Dst: mac(25), Src: mac(0xa3), Addr: addr("10.0.2.5"), Link: 3}
	if hop, result := table.Lookup(addr("198.51.100.1"), 0); result != Found || *hop != want {
		t.Errorf("Lookup = %+v, %d, want %+v", hop, result, want)
	}
	want = NextHop{Interface: 1, MTU: 9000, Src: mac(0xa2), Link: 2}
	if hop, result := table.Lookup(addr("10.0.1.77"), 0); result != NoNeighbour || *hop != want {
		t.Errorf("unresolved: Lookup = %+v, %d, want %+v", hop, result, want)
	}
	if got := table.Explain(addr("10.0.1.5")); got.Prefix != prefix("10.0.1.5/32") || len(got.Hops) != 1 {
		t.Errorf("Explain of a neighbour = %+v, want its host entry", got)
	}
	in.Links[1].MTU = 1 << 17
	if hop, _ := compile(t, in).Lookup(addr("10.0.1.77"), 0); hop.MTU != math.MaxUint16 {
		t.Errorf("MTU %d, want it clamped", hop.MTU)
	}
}

func TestZeroTable(t *testing.T) {
	var table Table
	for _, dst := range []netip.Addr{addr("10.0.0.1"), addr("2001:db8::1"), {}} {
		if hop, result := table.Lookup(dst, 0); hop != nil || result != NoRoute {
			t.Errorf("Lookup(%s) = %+v, %d in the zero Table", dst, hop, result)
		}
		if why := table.Explain(dst); why.Reason != ReasonNoPrefix || why.Prefix.IsValid() {
			t.Errorf("Explain(%s) = %+v in the zero Table", dst, why)
		}
	}
}

func TestCompileRefuses(t *testing.T) {
	cases := map[string]Input{
		"link twice":         {Links: []Link{{Index: 1}, {Index: 1}}},
		"VLAN out of range":  {Links: []Link{{Index: 1, VLAN: 4095}}},
		"invalid prefix":     {Routes: []Route{{}}},
		"unknown kind":       {Routes: []Route{kind("10.0.0.0/8", Unsupported+1)}},
		"negative weight":    {Routes: []Route{{Prefix: prefix("10.0.0.0/8"), Hops: []Hop{{Weight: -1}}}}},
		"invalid neighbour":  {Neighbours: []Neighbour{{Link: 1}}},
		"weight that is big": {Routes: []Route{{Prefix: prefix("10.0.0.0/8"), Hops: []Hop{{Weight: 1 << 16}}}}},
	}
	for name, in := range cases {
		if _, err := Compile(in); !errors.Is(err, ErrBadInput) {
			t.Errorf("%s: error %v, want ErrBadInput", name, err)
		}
	}
}

func TestReasonNames(t *testing.T) {
	seen := map[string]Reason{}
	for r := ReasonNone; r <= ReasonUnsupported; r++ {
		if was, twice := seen[r.String()]; twice {
			t.Errorf("reasons %d and %d share the name %q", was, r, r)
		}
		seen[r.String()] = r
	}
	if got := (ReasonUnsupported + 1).String(); got != "unknown reason" {
		t.Errorf("name of a reason that doesn't exist: %q", got)
	}
}
