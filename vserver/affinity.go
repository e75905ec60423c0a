package vserver

import (
	"encoding/binary"
	"net/netip"

	"appliance/rss"
)

// An affinity is what a service that keeps clients at their backends chooses by:
// the hash of a client's network and the VIP in place of a flow's. It is that of
// packets without ports (RSS 2-tuple) under the cluster's key, so all engines and
// nodes choose alike, before and after a restart, without any state; and so do
// all services of the VIP that have the same backends.
type affinity struct {
	hasher *rss.Hasher
	vip    address
	mask   address // of the clients' networks
	v4     bool
}

// newAffinity returns the affinity of a service, nil if it has none.
func newAffinity(hasher *rss.Hasher, c *ServiceConfig) *affinity {
	if c.Persistence.By != BySource {
		return nil
	}
	a := &affinity{hasher: hasher, vip: addressOf(c.VIP), v4: c.VIP.Is4()}
	bits := c.Persistence.Prefix6
	if a.v4 {
		bits = 96 + c.Persistence.Prefix4 // of an IPv4-mapped address
	}
	a.mask = address{^uint64(0) << max(64-bits, 0), ^uint64(0) << (128 - max(bits, 64))}
	return a
}

// network returns the network of a client.
func (a *affinity) network(client *[16]byte) address {
	return address{
		binary.BigEndian.Uint64(client[:8]) & a.mask.hi,
		binary.BigEndian.Uint64(client[8:]) & a.mask.lo,
	}
}

// hash returns the hash of a network.
func (a *affinity) hash(network address) uint32 {
	if a.v4 {
		return a.hasher.IPv4Addrs(network.lo<<32 | a.vip.lo&(1<<32-1))
	}
	var b [32]byte
	binary.BigEndian.PutUint64(b[:], network.hi)
	binary.BigEndian.PutUint64(b[8:], network.lo)
	binary.BigEndian.PutUint64(b[16:], a.vip.hi)
	binary.BigEndian.PutUint64(b[24:], a.vip.lo)
	return a.hasher.IPv6Addrs(&b)
}

// choiceHash returns what the backend of a flow is chosen by where its record
// doesn't say: the hash of its packets, or with persistence of its client's
// network.
func (svc *service) choiceHash(hash uint32, client *[16]byte) uint32 {
	if svc.affinity == nil {
		return hash
	}
	return svc.affinity.hash(svc.affinity.network(client))
}

// prefix returns a client's network for people.
func (a *affinity) prefix(client netip.Addr, c *Persistence) netip.Prefix {
	bits := c.Prefix6
	if a.v4 {
		bits = c.Prefix4
	}
	p, _ := client.Prefix(bits) // it was validated
	return p
}
