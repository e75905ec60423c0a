/* SPDX-License-Identifier: Apache-2.0 */
/* Checksum arithmetic shared by the generator and the sink (RFC 1071). */
#pragma once

#include <linux/types.h>
#include <stddef.h>

#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/tcp.h>
#include <linux/udp.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

/* fold reduces a 32-bit sum of 16-bit words to 16 bits. Two steps suffice: the
 * first leaves at most 0x1fffe. */
static __always_inline __u16 fold(__u32 sum)
{
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return sum;
}

/* words returns the sum of the two 16-bit halves of a 32-bit field. */
static __always_inline __u32 words(__be32 field)
{
	return (field & 0xffff) + (field >> 16);
}
