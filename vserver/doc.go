// Package vserver balances packets over real servers: it decides what becomes
// of every packet that an engine owns. A virtual server (service) is a VIP, a
// port or several, and a protocol; its packets go to one of its backends, and
// all packets of a flow go to the same one.
//
// # Ports
//
// A service has one port, a range, or all. Of several that have a port, that of
// the one port gets its packets, else that of the range: the index of single
// ports is asked first, so these cost nothing more, and then the ranges of the
// VIP, which don't overlap, by binary search. A backend that names no port is
// reached on the one that the client asks for.
//
// # Modes
//
//	nat   client:cp -> VIP:vp   becomes   SNIP:sp -> backend:bp
//	      backend:bp -> SNIP:sp   becomes   VIP:vp -> client:cp
//
//	dsr   client:cp -> VIP:vp   stays, but for the MAC addresses;
//	      the backend answers the client by itself
//
//	ipip  source -> backend | client:cp -> VIP:vp
//	gue   source:mix -> backend:6080 | GUE | client:cp -> VIP:vp
//	      the packet stays, inside of one to the backend, which takes it out and
//	      answers the client by itself
//
// Nat takes one from the TTL, as a router does, and keeps checksums right
// incrementally (RFC 1624). Its source port sp is chosen so that the hash of
// the return packets falls into the bucket of the flow, and so to the same node
// and engine: no record is ever shared. Dsr touches nothing above Ethernet. Ipip
// and gue differ from it in what goes around the packet: a header whose source
// is one of many, by a mix of the flow's hash, so that backends spread flows over
// their receive queues. The backend may be behind routers and of either family.
//
// # Two halves
//
// The control half, a [Builder], turns a [Config], the verdicts of health checks
// and the routing table into immutable [Services], which the engines find in
// their Snapshot. The Builder remembers slots: a service or a backend that a
// reload doesn't concern keeps its place, and with it its flows and counters.
//
// The hot half, one [Handler] an engine, works on batches in stages: classify
// every packet, probe the flow table for every packet, then act on each. In
// between, the processor fetches what the next stage needs, so that in a table
// far larger than the caches, packets don't wait for memory one after another.
//
// # What a flow's packet meets
//
//   - A frame that is addressed to another station, or to a group of them, or that
//     comes in a VLAN of which the kernel has no interface, is dropped; so is one to
//     a SNIP that doesn't come from where backends are.
//   - A packet with a record goes to that record's backend, also when the backend
//     is down or its weight is 0: its health decides about new flows, those that
//     it has not answered, and how long a UDP flow lasts without its answers.
//     Where the service resets the flows of backends that are down, the client's
//     next packet ends it.
//   - A TCP SYN or any UDP packet without a record begins a flow.
//   - Any other TCP packet without a record is in the middle of a connection that
//     this node doesn't know. Nat can't guess its source port and resets it.
//     The other modes send it where the hash says, the same place on every node,
//     and record that. When the flow table is full, they go on by hash without
//     records; nat refuses new flows.
//   - A packet without a record that comes from a VIP or a SNIP is forged, and
//     dropped.
//   - A flow whose service, backend or SNIP has left the configuration is over. Its
//     next packet is one without a record.
//
// # Under a flood
//
// A new flow in a full table takes the place of one that is over or half open,
// and in nat the source port of one if all of its bucket are taken: roughly in
// the order in which they came, so that a client gets in whose handshake takes
// less time than the flood needs to fill what isn't in use. An established flow
// never gives way. [Limits] bound the new flows of an engine and those of a
// source; beyond the first, dsr goes on by hash without records and nat drops;
// beyond the second, packets that begin a flow are dropped in every mode. In dsr
// a packet in the middle of a connection that nobody knows counts as a new flow,
// but is never dropped for it: without a record, each packet of the connection
// is one.
//
// # Fragments
//
// No datagram is put together. All fragments of one come to one engine, for they
// are hashed by addresses alone; it learns the ports from the first fragment,
// holds those that come before it, and sends each on, as a packet of its own, to
// the engine that owns the flow (package fragments). There it is a packet of the
// flow like any other, in every mode, but for three things: a later fragment says
// nothing about the connection, nat gives the datagram a fresh identification,
// and an ICMP error is drawn by the first fragment only. Its checksum is nobody's
// to verify: it covers bytes of other fragments.
//
// # Which backend a new flow gets
//
// The method says, among the backends that are up and have a weight; backups are
// asked only when there is no other. With a slow start a backend that comes up has
// a tenth of its weight at first; the Builder, which remembers since when each is
// up, says when Services must be built anew for it to have more.
//
// Where the method, or a limit, goes by how many flows a backend has open, the
// engines of the node count them together: docs/decisions/0010 says how, and how
// exactly. A backend at its limit is passed over; a service at its limit, or all
// of whose backends are, refuses.
//
// With persistence the hash is that of the client's network and the VIP, not of
// the flow: no state, so it holds everywhere. A service may also have networks
// remembered for a time, on this node, to stay where they are when backends come.
//
// # Answers
//
// The Handler answers pings of VIPs and SNIPs. It refuses what can't be served by
// a TCP reset or ICMP port unreachable, and says so by ICMP when a TTL runs
// out or a packet doesn't fit the way out. Answers go by the routing table, in
// the place of the packet that drew them, at a limited rate.
//
// # ICMP errors about flows
//
// Routers and hosts on a flow's way send errors about its packets: too big,
// unreachable, TTL exceeded, bad parameter. They go to whom the quoted packet
// claims to be from, a VIP or a SNIP, and the Handler passes them on to whoever
// sent it in truth, so that path MTU discovery works through it:
//
//	       error                                 quotes
//	nat    router -> VIP     becomes             VIP:vp -> client:cp      becomes
//	       SNIP -> backend                       backend:bp -> SNIP:sp
//	nat    router -> SNIP    becomes             SNIP:sp -> backend:bp    becomes
//	       VIP -> client                         client:cp -> VIP:vp
//	dsr    router -> VIP     goes to the backend as it is
//
// An error about no flow is dropped; one about a flow in dsr without a record
// goes where the hash says, like the flow's packets. None opens, prolongs or
// ends a flow, and none is answered. Whether an error is true, the Handler can't
// know: it follows no sequence numbers that a quoted segment could be held
// against. Its receiver does, as it must on any path (RFC 5927 section 4), and
// finds them as it sent them. For each error that comes in at most one goes out,
// of the same length, so there is no rate limit: it would make path MTU
// discovery fail when somebody forges errors.
//
// # Invariants
//
//   - Services never change once built; any number of engines may read them.
//   - Every packet leaves Decide with a verdict, and a dropped one with a reason.
//   - Both directions of a flow fall into the same bucket and core entry.
//   - A client sees packets from VIP and port only.
//   - Decide allocates nothing, but once when Services are new to it.
//
// # Limits
//
// ICMP messages other than echo requests and errors about TCP and UDP packets are
// dropped, and so are fragments of ICMP, and errors about later fragments, which
// have no ports: the one about the first says the same. The quoted identification
// of a fragment is the one that nat gave it. In nat, what a backend's kernel
// learns of a path's MTU it learns of the SNIP, for all clients of that SNIP
// alike. A service that a reload gives a port out of another's range gets that
// port's established flows too, without knowing them. Round robin counts an
// engine for itself, and so do Limits. In dsr, where the backend's side isn't
// seen, two segments of a forged source make a flow that counts as established.
package vserver
