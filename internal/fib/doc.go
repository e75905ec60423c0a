// Package fib is the forwarding table that engines consult for each packet
// that leaves the node: the kernel's routes and neighbours, compiled.
//
// The kernel remains the master. Whoever configures routes, be it ip route, a
// DHCP client or a routing daemon, needs to know nothing of the appliance;
// internal/netstate watches the result and compiles it anew when it changes.
//
// # Two halves
//
// The control half, [Compile], turns links, routes and neighbours into a
// [Table]. It allocates, sorts and may fail. The hot half, [Table.Lookup],
// finds the longest prefix and picks one of its next hops. It allocates
// nothing, takes no lock and cannot fail; what it returns points into the
// Table.
//
// As in a CEF adjacency table, a neighbour in a connected prefix is a host
// entry with the link-layer address filled in. A packet to a backend on the
// same segment, to a backend behind a gateway and to a client behind a default
// route therefore all cost one lookup.
//
// # What is compiled
//
//   - The main routing table, IPv4 and IPv6. Policy rules, other tables, routes
//     by type of service and by source prefix are not: an appliance that needs
//     them would need the packet's other fields too.
//   - For one prefix the lowest metric wins; of equal metrics, the one listed
//     first. The node's own addresses and broadcast addresses beat both, as
//     the kernel's local table does.
//   - Multipath routes with weights, by hash-threshold (RFC 2992, as
//     fib_select_multipath in net/ipv4/fib_semantics.c). The hash is mixed
//     first, because some of its bits are the same for all flows of one node
//     or engine. While any next hop of a route is resolved, only resolved ones
//     share its traffic, so that a dead gateway costs nothing.
//   - Gateways of the other address family (RTA_VIA, RFC 5549) and gateways
//     outside every connected prefix (onlink): a next hop is a link and an
//     address on it, whatever the routes say about that address.
//   - blackhole, unreachable, prohibit and throw: no route.
//   - Routes whose link is not an interface of the configuration, nor a VLAN
//     of one: no route. The engine could not send there, and the next shorter
//     prefix would be the wrong way.
//   - Routes whose link is down yield to other routes of the same prefix, and
//     to nothing else: packets wait for the link rather than leak elsewhere.
//
// # Invariants
//
//   - A Table is immutable; any number of engines may read it.
//   - Found implies a link-layer address. NoNeighbour names the link and, in
//     Addr, whom to resolve there.
//   - Loopback, multicast, link-local IPv6 and unspecified destinations have no
//     route, whatever the routing table holds.
package fib
