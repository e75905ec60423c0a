// SPDX-License-Identifier: Apache-2.0
/* Sink: counts and drops the test's frames at the far end, and verifies the
 * checksums of one in `sample` of them. What is not the test's (ARP, neighbour
 * discovery) goes on to the kernel.
 *
 * A frame is the test's if it is IPv4 without options, TCP or UDP, to port
 * dst_port.
 */
#include "frame.h"

/* Longest datagram the sink can verify: bounds the loop for the verifier. */
#define MAX_WORDS 750

volatile const __be16 dst_port;
volatile const __u64 sample_mask; /* verify when (frames & mask) == 0 */

struct counts {
	__u64 frames;
	__u64 bytes;
	__u64 verified;	  /* checksums looked at, right or wrong */
	__u64 bad_ip;	  /* wrong IPv4 header checksum, of those verified */
	__u64 bad_l4;	  /* wrong TCP or UDP checksum, of those verified */
	__u64 unexpected; /* not the test's: passed to the kernel */
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct counts);
} counts SEC(".maps");

/* sum adds up the 16-bit words of the len bytes from p on, which Ethernet
 * padding may follow; a last odd byte counts as the high half of a word (RFC
 * 1071). A datagram that the frame cuts short is summed as far as it goes. */
static __always_inline __u32 sum(const void *p, __u32 len, const void *end)
{
	__u32 total = 0;

	for (__u32 i = 0; i < MAX_WORDS && 2 * i + 1 < len && p + 2 <= end; i++, p += 2)
		total += *(const __u16 *)p;
	if ((len & 1) && p + 1 <= end)
		total += *(const __u8 *)p;
	return total;
}

static __always_inline void verify(struct counts *c, struct iphdr *ip, void *l4, void *end)
{
	__u16 len = bpf_ntohs(ip->tot_len) - sizeof(*ip);
	__u32 pseudo = words(ip->saddr) + words(ip->daddr) + bpf_htons(ip->protocol) + bpf_htons(len);
	__u16 check = ip->protocol == IPPROTO_UDP ? ((struct udphdr *)l4)->check : 1;

	c->verified++;
	if (fold(sum(ip, sizeof(*ip), end)) != 0xffff)
		c->bad_ip++;
	if (check == 0 || fold(pseudo + sum(l4, len, end)) != 0xffff)
		c->bad_l4++;
}

SEC("xdp")
int count(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	struct ethhdr *eth = data;
	struct iphdr *ip = (void *)(eth + 1);
	struct udphdr *ports = (void *)(ip + 1); /* TCP has its ports there too */
	__u32 zero = 0;
	struct counts *c = bpf_map_lookup_elem(&counts, &zero);

	if (!c)
		return XDP_ABORTED;
	if ((void *)(ports + 1) > end || eth->h_proto != bpf_htons(ETH_P_IP) ||
	    *(__u8 *)ip != 0x45 || ports->dest != dst_port ||
	    (ip->protocol != IPPROTO_UDP && ip->protocol != IPPROTO_TCP)) {
		c->unexpected++;
		return XDP_PASS;
	}
	if ((c->frames & sample_mask) == 0)
		verify(c, ip, ports, end);
	c->frames++;
	c->bytes += end - data;
	return XDP_DROP;
}

char _license[] SEC("license") = "Apache-2.0";
