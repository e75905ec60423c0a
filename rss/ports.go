package rss

import (
	"fmt"
	"math/bits"
)

// The number of buckets is a power of two within these bounds. Below, one node
// of many would own too few buckets to be balanced; above, a bucket would have
// fewer than four ports.
const (
	MinBuckets = 1 << 10
	MaxBuckets = 1 << 14
)

// Ports finds the destination ports that bring a flow into a wanted bucket,
// bucket being the hash modulo the number of buckets. NAT picks its source
// port this way: that port is the destination of the return traffic, which is
// thereby owned by the same node and engine as the flow itself.
//
// The hash of a tuple is the hash of the tuple with destination port 0 plus
// (XOR) what the port adds. NewPorts solves the port's part once, as 16 linear
// equations over GF(2); after that a candidate costs three loads.
//
// A Ports is immutable: any number of engines may read it. It is about 800
// bytes.
type Ports struct {
	low  [256]uint16 // the port that adds bits 0 to 7 of the wanted hash
	high [64]uint16  // the port that adds bits 8 to 13
	null [64]uint16  // the ports that add nothing to the bucket, repeated if fewer than 64
	len  int
}

// NewPorts solves for the destination port of IPv4 or IPv6 4-tuples (the port
// lies in different places of the two) and for the given number of buckets: a
// power of two, MinBuckets to MaxBuckets. The error says that it isn't, or
// wraps ErrDegenerate: there are buckets that no port leads to.
func NewPorts(h *Hasher, v6 bool, buckets int) (*Ports, error) {
	if buckets < MinBuckets || buckets > MaxBuckets || buckets&(buckets-1) != 0 {
		return nil, fmt.Errorf("rss: ports: %d buckets, want a power of two, %d to %d", buckets, MinBuckets, MaxBuckets)
	}
	at := dstPortIPv4
	if v6 {
		at = dstPortIPv6
	}
	rows := portRelations(h.key.windows(), at, uint32(buckets-1))
	want := bits.TrailingZeros(uint(buckets))
	if rank := reduce(rows); rank < want {
		return nil, fmt.Errorf("rss: ports: %w: destination ports reach 1 in %d of %d buckets",
			ErrDegenerate, 1<<(want-rank), buckets)
	}
	var basis [16]uint16
	for i, row := range rows {
		basis[i] = row.port
	}
	p := &Ports{len: 1 << (16 - want)}
	span(p.low[:], basis[:8])
	span(p.high[:], basis[8:want])
	span(p.null[:], basis[want:])
	return p, nil
}

// Len returns how many ports lead to each bucket: 65536 / buckets.
func (p *Ports) Len() int { return p.len }

// Candidate returns the i-th port whose own contribution to the hash equals
// want in the bucket bits; the other bits of want don't matter. i is taken
// modulo Len, so that a search may start anywhere and count on. For Len
// consecutive i all ports differ, and there are no others; among them may be
// ports that must not be used, such as 0 and those below 1024.
//
// To bring tuple t into bucket b, want is (the hash of t with destination port
// 0) XOR b.
func (p *Ports) Candidate(want uint32, i int) uint16 {
	return p.low[want%256] ^ p.high[want/256%64] ^ p.null[i&63]
}
