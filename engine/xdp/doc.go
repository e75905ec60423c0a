// Package xdp gives a network interface's frames to AF_XDP sockets, as far as
// they are the appliance's, and leaves all others to the kernel.
//
// It loads redirect.c, the XDP program whose head says which frames are ours,
// and keeps the four maps that it reads and writes.
//
// # Parts
//
// [Addresses] is the set of VIPs and SNIPs: one map, shared by the programs of
// all interfaces, so that they agree at any moment. [Denied] is the set of
// sources that VIPs get nothing from, shared likewise. [Load] makes a [Program]
// for one interface, with its own table of sockets by rx queue and its own
// counters. [Program.Attach] puts it onto the interface, [Program.Register]
// puts a socket behind a queue.
//
// # Order
//
// A frame of ours that arrives on a queue without a socket is dropped and
// counted, so a node comes up without leaking a packet to its kernel: attach
// with no addresses, register sockets, then set addresses. It goes down the
// other way round.
//
// # Lifetime
//
// A Program hangs on a BPF link that is pinned nowhere: it leaves the interface
// at Close, or when the process ends, however it ends. The kernel takes a
// socket out of the table when the socket is closed.
//
// # Limits
//
// Linux 5.9 or later, for BPF links to XDP, with CAP_NET_ADMIN and CAP_BPF (before
// 5.8 CAP_SYS_ADMIN). Native mode needs a driver that has it. On veth it needs
// an MTU of the peer of at most about 3500, and no more tx queues on the peer
// than rx queues here. In generic mode each packet costs an skb, and frames
// that the kernel has merged (GRO, LRO) are longer than our frames: turn
// receive offloads off.
package xdp
