package fib

import "net/netip"

// Input is all that [Compile] needs to know of the kernel's state.
type Input struct {
	Links      []Link
	Routes     []Route
	Neighbours []Neighbour
}

// A Link is a kernel link that the engine can send on: a configured interface
// or an 802.1Q sub-interface of one. Links that are not listed are foreign.
type Link struct {
	Index     int     // the kernel's interface index; unique in an Input
	Interface uint8   // number of the interface, in the order of the configuration
	VLAN      uint16  // 802.1Q VLAN id, 1 to 4094, or 0: untagged
	MAC       [6]byte // source address of the frames that leave here
	MTU       int     // longest IP packet, bytes
	Up        bool    // administratively up and with carrier
}

// A Kind is what becomes of packets that a route matches.
type Kind uint8

// The kinds of route, after the kernel's RTN_ types (include/uapi/linux/rtnetlink.h).
const (
	Unicast     Kind = iota // forwarded to one of the route's hops
	Local                   // an address of the node itself
	Broadcast               // a broadcast address of one of the node's prefixes
	Blackhole               // dropped silently
	Unreachable             // dropped; also what a throw route means in the main table
	Prohibit                // dropped by administration
	Unsupported             // a route that the engine can't follow: encapsulation, or no next hop given
)

// A Route is one entry of the kernel's main table, or one of its own addresses.
type Route struct {
	Prefix netip.Prefix
	Kind   Kind
	Metric uint32 // lowest wins; not compared for Local and Broadcast, which always win
	Hops   []Hop  // Unicast only
}

// A Hop is one next hop of a Route.
type Hop struct {
	Link   int        // kernel index of the link
	Via    netip.Addr // the gateway, of either family; invalid: destinations are on the link itself
	Weight int        // relative share, from 1; 0 counts as 1
	MTU    int        // the route's own MTU in bytes; 0: the link's
}

// A Neighbour is a link-layer address that the kernel vouches for.
type Neighbour struct {
	Addr netip.Addr
	Link int // kernel index of the link
	MAC  [6]byte
}

// A NextHop says how a packet leaves. It is part of an immutable Table.
type NextHop struct {
	Interface uint8      // number of the interface to send on
	Resolved  bool       // Dst is set
	VLAN      uint16     // 802.1Q VLAN id to tag with, or 0: untagged
	MTU       uint16     // longest IP packet, bytes
	Dst, Src  [6]byte    // link-layer addresses; Dst is zero unless Resolved
	Addr      netip.Addr // neighbour: the gateway, or the destination itself; invalid: the destination, of which nothing is known yet
	Link      int        // kernel index of the link that Addr is a neighbour on
}

// A Result says what Lookup found.
type Result uint8

// The results.
const (
	NoRoute     Result = iota // the packet can't leave; Explain says why
	NoNeighbour               // the next hop's link-layer address is not known (yet)
	Found                     // the next hop is complete
)

// String returns the result as status pages show it.
func (r Result) String() string {
	switch r {
	case NoRoute:
		return "no route"
	case NoNeighbour:
		return "not resolved"
	}
	return "found"
}

// A Reason says why a destination has no route.
type Reason uint8

// The reasons for NoRoute.
const (
	ReasonNone        Reason = iota // there is a route
	ReasonNoPrefix                  // no route covers the address
	ReasonForeign                   // the route leaves through an interface that is not configured
	ReasonDown                      // every link of the route is down
	ReasonLocal                     // the address is the node's own
	ReasonBroadcast                 // a broadcast address
	ReasonMartian                   // loopback, multicast, link-local IPv6 or unspecified
	ReasonBlackhole                 // a blackhole route
	ReasonUnreachable               // an unreachable or throw route
	ReasonProhibit                  // a prohibit route
	ReasonUnsupported               // a route with encapsulation or without next hops
)

var reasonNames = [...]string{
	ReasonNone:        "",
	ReasonNoPrefix:    "no route covers the address",
	ReasonForeign:     "the route leaves through an interface that is not configured",
	ReasonDown:        "every link of the route is down",
	ReasonLocal:       "the address is this node's own",
	ReasonBroadcast:   "a broadcast address",
	ReasonMartian:     "loopback, multicast, link-local or unspecified address",
	ReasonBlackhole:   "a blackhole route",
	ReasonUnreachable: "an unreachable route",
	ReasonProhibit:    "a prohibit route",
	ReasonUnsupported: "a route that the engine can't follow (encapsulation, or no next hop)",
}

// String returns the reason as status pages show it; empty for ReasonNone.
func (r Reason) String() string {
	if int(r) < len(reasonNames) {
		return reasonNames[r]
	}
	return "unknown reason"
}
