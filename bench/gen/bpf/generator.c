// SPDX-License-Identifier: Apache-2.0
/* Traffic generator: an XDP program that BPF_PROG_RUN calls with live frames.
 *
 * The kernel takes the frames from a pool and never cleans a page that comes
 * back, so what an earlier receiver did to the headers is still there. Hence
 * each frame gets all of its headers anew: nothing is left to the data that
 * user space passed in but the payload, whose checksum user space passed too.
 *
 * Flow i of 0..flows-1 comes from client (i & client_mask) and source port
 * src_port + (i >> client_bits). Flows take turns.
 */
#include "frame.h"

volatile const __u8 dst_mac[ETH_ALEN];
volatile const __u8 src_mac[ETH_ALEN];
volatile const __u32 first_client; /* host byte order, low client_bits clear */
volatile const __u32 client_bits;
volatile const __be32 dst_addr;
volatile const __u16 src_port; /* host byte order */
volatile const __be16 dst_port;
volatile const __u8 tos;	   /* IPv4 type of service, which nobody on the way changes */
volatile const __u8 proto;	   /* IPPROTO_UDP or IPPROTO_TCP */
volatile const __u8 tcp_flags;	   /* byte 13 of the TCP header */
volatile const __u16 payload_sum;  /* folded sum of all after the L4 header */
volatile const __u32 flows;
volatile const __u32 egress;	   /* ifindex to redirect to */

/* What one CPU has sent. User space reads it and adds the CPUs up. */
struct progress {
	__u64 frames;
	__u64 bytes;
	__u32 flow; /* flow of the next frame */
	__u32 pad;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct progress);
} progress SEC(".maps");

static __always_inline void write_ethernet(struct ethhdr *eth)
{
	for (int i = 0; i < ETH_ALEN; i++) {
		eth->h_dest[i] = dst_mac[i];
		eth->h_source[i] = src_mac[i];
	}
	eth->h_proto = bpf_htons(ETH_P_IP);
}

/* write_ip returns the sum over the pseudo header that TCP and UDP want. */
static __always_inline __u32 write_ip(struct iphdr *ip, __u16 len, __u16 id, __u32 flow)
{
	__u32 sum;

	ip->version = 4;
	ip->ihl = 5;
	ip->tos = tos;
	ip->tot_len = bpf_htons(len);
	ip->id = bpf_htons(id);
	ip->frag_off = bpf_htons(0x4000); /* don't fragment */
	ip->ttl = 64;
	ip->protocol = proto;
	ip->saddr = bpf_htonl(first_client | (flow & ((1u << client_bits) - 1)));
	ip->daddr = dst_addr;
	sum = words(ip->saddr) + words(ip->daddr);
	ip->check = ~fold(sum + bpf_htons(0x4500 | tos) + ip->tot_len + ip->id +
			  ip->frag_off + bpf_htons(64 << 8 | proto));
	return sum + bpf_htons(proto) + bpf_htons(len - sizeof(*ip));
}

static __always_inline void write_udp(struct udphdr *udp, __u16 len, __u16 port, __u32 sum)
{
	__u16 check;

	udp->source = bpf_htons(port);
	udp->dest = dst_port;
	udp->len = bpf_htons(len);
	check = ~fold(sum + udp->source + udp->dest + udp->len + payload_sum);
	udp->check = check ? check : 0xffff; /* RFC 768: zero means none */
}

static __always_inline void write_tcp(struct tcphdr *tcp, __u32 seq, __u16 port, __u32 sum)
{
	__be16 offset_flags = bpf_htons(5 << 12 | tcp_flags);

	tcp->source = bpf_htons(port);
	tcp->dest = dst_port;
	tcp->seq = bpf_htonl(seq);
	tcp->ack_seq = tcp_flags & 0x10 ? bpf_htonl(1) : 0;
	*(__be16 *)((void *)tcp + 12) = offset_flags;
	tcp->window = bpf_htons(65535);
	tcp->urg_ptr = 0;
	tcp->check = ~fold(sum + tcp->source + tcp->dest + words(tcp->seq) +
			   words(tcp->ack_seq) + offset_flags + tcp->window + payload_sum);
}

SEC("xdp")
int generate(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	struct ethhdr *eth = data;
	struct iphdr *ip = (void *)(eth + 1);
	void *l4 = ip + 1;
	__u16 ip_len = end - (void *)ip;
	__u32 zero = 0, sum, flow;
	struct progress *p;
	__u16 port;

	p = bpf_map_lookup_elem(&progress, &zero);
	if (!p || l4 + sizeof(struct tcphdr) > end) /* the longer of the two */
		return XDP_ABORTED;
	flow = p->flow;
	port = src_port + (flow >> client_bits);
	write_ethernet(eth);
	sum = write_ip(ip, ip_len, p->frames, flow);
	if (proto == IPPROTO_TCP)
		write_tcp(l4, p->frames, port, sum);
	else
		write_udp(l4, ip_len - sizeof(*ip), port, sum);
	p->flow = flow + 1 < flows ? flow + 1 : 0;
	p->frames++;
	p->bytes += end - data;
	return bpf_redirect(egress, 0);
}

char _license[] SEC("license") = "Apache-2.0";
