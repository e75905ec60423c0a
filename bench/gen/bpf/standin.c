// SPDX-License-Identifier: Apache-2.0
/* Stand-in: takes marked TCP segments off the wire, and answers SYNs among them
 * as a server would that has processors of its own. What bears no mark passes.
 *
 * The mark is the IPv4 type of service, which survives the way and is in the
 * answer, too.
 */
#include "frame.h"

#define SYN 0x02
#define ACK 0x10

volatile const __u8 mark;
volatile const __u8 answers; /* whether SYNs are answered, or dropped as all else */

struct taken {
	__u64 syns;
	__u64 others;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct taken);
} taken SEC(".maps");

/* answer turns a SYN into its SYN+ACK, without what may lie behind its header.
 * Exchanging addresses and ports changes no checksum. */
static __always_inline void answer(struct ethhdr *eth, struct iphdr *ip, struct tcphdr *tcp)
{
	__u8 mac[ETH_ALEN];
	__be32 addr = ip->saddr;
	__be16 port = tcp->source, offset_flags = bpf_htons(5 << 12 | SYN | ACK);
	__u32 sum;

	__builtin_memcpy(mac, eth->h_source, ETH_ALEN);
	__builtin_memcpy(eth->h_source, eth->h_dest, ETH_ALEN);
	__builtin_memcpy(eth->h_dest, mac, ETH_ALEN);
	ip->saddr = ip->daddr;
	ip->daddr = addr;
	ip->tot_len = bpf_htons(sizeof(*ip) + sizeof(*tcp));
	ip->ttl = 64;
	ip->check = 0;
	sum = words(ip->saddr) + words(ip->daddr);
	ip->check = ~fold(sum + bpf_htons(0x4500 | ip->tos) + ip->tot_len + ip->id +
			  ip->frag_off + bpf_htons(64 << 8 | IPPROTO_TCP));
	tcp->source = tcp->dest;
	tcp->dest = port;
	tcp->ack_seq = bpf_htonl(bpf_ntohl(tcp->seq) + 1);
	tcp->seq = bpf_htonl(5000);
	*(__be16 *)((void *)tcp + 12) = offset_flags;
	tcp->urg_ptr = 0;
	tcp->check = 0;
	tcp->check = ~fold(sum + bpf_htons(IPPROTO_TCP) + bpf_htons(sizeof(*tcp)) + tcp->source +
			   tcp->dest + words(tcp->seq) + words(tcp->ack_seq) + offset_flags + tcp->window);
}

SEC("xdp")
int stand_in(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	struct ethhdr *eth = data;
	struct iphdr *ip = (void *)(eth + 1);
	struct tcphdr *tcp = (void *)(ip + 1);
	__u32 zero = 0;
	struct taken *t = bpf_map_lookup_elem(&taken, &zero);

	if (!t)
		return XDP_ABORTED;
	if ((void *)(tcp + 1) > end || eth->h_proto != bpf_htons(ETH_P_IP) ||
	    *(__u8 *)ip != 0x45 || ip->tos != mark || ip->protocol != IPPROTO_TCP)
		return XDP_PASS;
	if (((__u8 *)tcp)[13] != SYN) {
		t->others++;
		return XDP_DROP;
	}
	t->syns++;
	if (!answers)
		return XDP_DROP;
	answer(eth, ip, tcp);
	return XDP_TX;
}

char _license[] SEC("license") = "Apache-2.0";
