// Package netstate keeps an eye on the kernel's network configuration, and
// keeps there what the packet path needs.
//
// # What it watches
//
// A [Watcher] subscribes to links, addresses, routes, next hop objects and
// neighbours of one network namespace, and publishes a [State] whenever
// something changed that matters: the configured interfaces with their queue
// counts, and the forwarding table compiled from the rest.
//
// Neighbour messages carry all that is to be known and are applied as they
// come. Messages about links, addresses and routes only say what to load
// again, because the kernel doesn't tell all: it flushes IPv4 routes without a
// word when their link goes down or their address is removed. Messages are
// gathered until none has come for 5 ms, or for 50 ms at most, so that a storm
// costs one load. A lost message (ENOBUFS) loads everything again, and so does,
// once a second, a socket that fails: a Watcher never becomes blind.
//
// The subscription comes before the first load, hence whatever changes after
// the load is still in the socket.
//
// # What it keeps
//
//   - Neighbours ([Watcher.Manage]): packets that leave through AF_XDP never
//     confirm a neighbour, so the kernel would forget backends and gateways
//     under full load. They are made managed (NTF_EXT_MANAGED, Linux 5.16): the
//     kernel then resolves and confirms them on its own. An entry that lacks
//     the flag is asked for again every 5 s with NTF_USE, which on older
//     kernels is all that is needed to keep it resolved.
//   - SNIPs ([Watcher.SetSNIPs]): the addresses that NAT uses toward backends
//     are put on a server-plane link with a lifetime of 10 s and refreshed, so
//     that the kernel drops them soon after this process dies; others may adopt
//     them then. They are announced, and deprecated from the start, so that the
//     node's own connections (health checks among them) don't take them as
//     source.
//
// # Invariants
//
//   - All sockets belong to the namespace of the thread that called [New]; every
//     method works from any thread.
//   - A State is immutable, and its parts agree: the forwarding table was
//     compiled from the links that stand beside it.
//   - What the Watcher put into the kernel, [Watcher.Close] takes out. After a
//     kill, SNIPs expire; managed neighbours stay and do no harm.
//
// # Limits
//
// The main routing table only, as internal/fib says. Next hop objects are read
// through the routes that use them, which takes net.ipv4.nexthop_compat_mode=1,
// the default. IPv6 routes by source prefix look like ordinary ones, because
// the netlink library doesn't read RTA_SRC; so do routes through encapsulations
// that it doesn't know. Changes of the queue count are noticed within a second:
// rtnetlink doesn't report them. Links other than Ethernet have no link-layer
// addresses that could be used.
package netstate
