//go:build ignore

// SPDX-License-Identifier: Apache-2.0
//
// The XDP program of an interface: it gives the appliance's frames to the
// AF_XDP socket of their rx queue and lets the kernel have all others.
//
//	destination      what                                         goes to
//	VIP              IP from a denied source                      nobody
//	VIP              everything else that is IP                   socket
//	SNIP             TCP, UDP, every fragment, ICMP(v6) errors    socket
//	SNIP             the rest: echo, neighbour discovery          kernel
//	any other        everything: ARP, BGP, ssh                    kernel
//
// A socket's frame is dropped when its rx queue has no socket: the kernel must
// never answer for a VIP. A frame too short to tell its destination is the
// kernel's; any other malformed frame goes where its destination says, so that
// the appliance counts it.
//
// Sources are looked up for VIPs alone: what backends send to a SNIP and what is
// the host's own is never denied.
//
// Ethernet, at most one 802.1Q tag inside of the frame (rx VLAN offload must be
// off where tags are used), IPv4, IPv6.

#include <linux/bpf.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#define ETHERTYPE_IPV4 0x0800
#define ETHERTYPE_IPV6 0x86dd
#define ETHERTYPE_VLAN 0x8100

#define PROTO_HOPOPTS 0
#define PROTO_ICMP 1
#define PROTO_TCP 6
#define PROTO_UDP 17
#define PROTO_ROUTING 43
#define PROTO_FRAGMENT 44
#define PROTO_ICMPV6 58
#define PROTO_DSTOPTS 60

#define ICMP_DEST_UNREACH 3
#define ICMP_TIME_EXCEEDED 11
#define ICMP_PARAMETER_PROBLEM 12

// RFC 4443 section 2.1: ICMPv6 types below are errors.
#define ICMPV6_FIRST_INFORMATIONAL 128

#define IPV4_MORE_FRAGMENTS_OR_OFFSET 0x3fff

// How many IPv6 extension headers are looked through. Senders use at most one
// of each kind (RFC 8200 section 4.1), so more than these is no traffic of ours.
#define MAX_EXTENSION_HEADERS 6

// What an address is to us: the values of map addresses.
enum kind {
	KIND_VIP = 1,
	KIND_SNIP = 2,
};

// Why a frame went where it went: the indexes of map counters.
enum reason {
	REASON_PASSED_OTHER,      // neither IPv4 nor IPv6, or more than one VLAN tag
	REASON_PASSED_SHORT,      // ends before its destination address
	REASON_PASSED_FOREIGN,    // destination neither VIP nor SNIP
	REASON_PASSED_SNIP,       // to a SNIP, but the kernel's
	REASON_REDIRECTED_VIP,
	REASON_REDIRECTED_SNIP,
	REASON_DROPPED_NO_SOCKET, // ours, but the rx queue has no socket
	REASON_DROPPED_DENIED,    // to a VIP, from a denied source
	REASONS,
};

struct ethernet {
	__u8 dst[6], src[6];
	__be16 type;
} __attribute__((packed));

struct vlan {
	__be16 tci, type;
};

struct ipv4 {
	__u8 version_ihl, tos;
	__be16 length, id, fragment;
	__u8 ttl, proto;
	__be16 checksum;
	__be32 src, dst;
} __attribute__((packed));

struct address {
	__u8 bytes[16]; // IPv4 as ::ffff:a.b.c.d
};

struct ipv6 {
	__be32 version_class_label;
	__be16 length;
	__u8 next, hop_limit;
	struct address src, dst;
} __attribute__((packed));

struct extension {
	__u8 next, length; // length in units of 8 bytes, the first one not counted
};

// One for all interfaces: the loader replaces it by the shared one.
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16384);
	__type(key, struct address);
	__type(value, enum kind);
} addresses SEC(".maps");

// A prefix of addresses, as tries have it.
struct prefix {
	__u32 length; // in bits; of IPv4, 96 more
	struct address address;
};

// Denied sources. One for all interfaces, likewise.
struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, 65536);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct prefix);
	__type(value, __u8);
} denied SEC(".maps");

// By rx queue. The loader sets the size.
struct {
	__uint(type, BPF_MAP_TYPE_XSKMAP);
	__uint(max_entries, 64);
	__type(key, __u32);
	__type(value, __u32);
} sockets SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, REASONS);
	__type(key, enum reason);
	__type(value, __u64);
} counters SEC(".maps");

static __always_inline void count(enum reason why)
{
	__u64 *n = bpf_map_lookup_elem(&counters, &why);

	if (n)
		(*n)++;
}

static __always_inline int pass(enum reason why)
{
	count(why);
	return XDP_PASS;
}

static __always_inline int to_socket(struct xdp_md *ctx, enum reason why)
{
	int action = bpf_redirect_map(&sockets, ctx->rx_queue_index, XDP_DROP);

	count(action == XDP_REDIRECT ? why : REASON_DROPPED_NO_SOCKET);
	return action;
}

static __always_inline int to_vip(struct xdp_md *ctx, struct prefix *src)
{
	src->length = 8 * sizeof(src->address);
	if (bpf_map_lookup_elem(&denied, src)) {
		count(REASON_DROPPED_DENIED);
		return XDP_DROP;
	}
	return to_socket(ctx, REASON_REDIRECTED_VIP);
}

static __always_inline int ipv4(struct xdp_md *ctx, void *at, void *end)
{
	struct prefix src = { .address.bytes = { [10] = 0xff, [11] = 0xff } };
	struct address dst = { .bytes = { [10] = 0xff, [11] = 0xff } };
	struct ipv4 *ip = at;
	enum kind *kind;
	__u8 *icmp_type;

	if (at + sizeof(*ip) > end)
		return pass(REASON_PASSED_SHORT);
	__builtin_memcpy(&dst.bytes[12], &ip->dst, sizeof(ip->dst));
	kind = bpf_map_lookup_elem(&addresses, &dst);
	if (!kind)
		return pass(REASON_PASSED_FOREIGN);
	if (*kind == KIND_VIP) {
		__builtin_memcpy(&src.address.bytes[12], &ip->src, sizeof(ip->src));
		return to_vip(ctx, &src);
	}

	if (ip->fragment & bpf_htons(IPV4_MORE_FRAGMENTS_OR_OFFSET))
		return to_socket(ctx, REASON_REDIRECTED_SNIP);
	switch (ip->proto) {
	case PROTO_TCP:
	case PROTO_UDP:
		return to_socket(ctx, REASON_REDIRECTED_SNIP);
	case PROTO_ICMP:
		icmp_type = at + 4 * (ip->version_ihl & 0xf);
		if ((void *)(icmp_type + 1) > end)
			break;
		if (*icmp_type == ICMP_DEST_UNREACH || *icmp_type == ICMP_TIME_EXCEEDED ||
		    *icmp_type == ICMP_PARAMETER_PROBLEM)
			return to_socket(ctx, REASON_REDIRECTED_SNIP);
	}
	return pass(REASON_PASSED_SNIP);
}

// ipv6_to_snip looks through extension headers, which begin at at, the first
// one of kind next.
static __always_inline int ipv6_to_snip(struct xdp_md *ctx, void *at, void *end, __u8 next)
{
	struct extension *header;
	__u8 *icmp_type;

	for (int i = 0; i <= MAX_EXTENSION_HEADERS; i++) {
		switch (next) {
		case PROTO_TCP:
		case PROTO_UDP:
		case PROTO_FRAGMENT:
			return to_socket(ctx, REASON_REDIRECTED_SNIP);
		case PROTO_ICMPV6:
			icmp_type = at;
			if ((void *)(icmp_type + 1) <= end && *icmp_type < ICMPV6_FIRST_INFORMATIONAL)
				return to_socket(ctx, REASON_REDIRECTED_SNIP);
			return pass(REASON_PASSED_SNIP);
		case PROTO_HOPOPTS:
		case PROTO_ROUTING:
		case PROTO_DSTOPTS:
			header = at;
			if ((void *)(header + 1) > end)
				return pass(REASON_PASSED_SNIP);
			next = header->next;
			at += 8 * (1 + header->length);
			continue;
		}
		break;
	}
	return pass(REASON_PASSED_SNIP);
}

static __always_inline int ipv6(struct xdp_md *ctx, void *at, void *end)
{
	struct address dst;
	struct prefix src;
	struct ipv6 *ip = at;
	enum kind *kind;

	if (at + sizeof(*ip) > end)
		return pass(REASON_PASSED_SHORT);
	dst = ip->dst;
	kind = bpf_map_lookup_elem(&addresses, &dst);
	if (!kind)
		return pass(REASON_PASSED_FOREIGN);
	if (*kind == KIND_VIP) {
		src.address = ip->src;
		return to_vip(ctx, &src);
	}
	return ipv6_to_snip(ctx, at + sizeof(*ip), end, ip->next);
}

SEC("xdp")
int redirect(struct xdp_md *ctx)
{
	void *at = (void *)(long)ctx->data;
	void *end = (void *)(long)ctx->data_end;
	struct ethernet *eth = at;
	struct vlan *tag;
	__be16 type;

	at += sizeof(*eth);
	if (at > end)
		return pass(REASON_PASSED_SHORT);
	type = eth->type;
	if (type == bpf_htons(ETHERTYPE_VLAN)) {
		tag = at;
		at += sizeof(*tag);
		if (at > end)
			return pass(REASON_PASSED_SHORT);
		type = tag->type;
	}
	switch (type) {
	case bpf_htons(ETHERTYPE_IPV4):
		return ipv4(ctx, at, end);
	case bpf_htons(ETHERTYPE_IPV6):
		return ipv6(ctx, at, end);
	}
	return pass(REASON_PASSED_OTHER);
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
