package vserver

import (
	"encoding/binary"
	"net/netip"
	"time"

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
	keep   uint32 // seconds that a network stays at its backend after its last new flow; 0: the hash alone decides
}

// newAffinity returns the affinity of a service, nil if it has none.
func newAffinity(hasher *rss.Hasher, c *ServiceConfig) *affinity {
	if c.Persistence.By != BySource {
		return nil
	}
	a := &affinity{hasher: hasher, vip: addressOf(c.VIP), v4: c.VIP.Is4(), keep: uint32(c.Persistence.Timeout / time.Second)}
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

// stays returns the backend that a client's network stays at although the hash
// may say otherwise, nil if there is none.
func (s *Services) stays(svc *service, client *[16]byte, now uint32) *backend {
	if svc.affinity == nil || svc.affinity.keep == 0 {
		return nil
	}
	return s.kept(svc, svc.affinity.network(client), now)
}

// stay has a client's network stay at a backend from now on.
func (s *Services) stay(svc *service, client *[16]byte, be *backend, now uint32) {
	if a := svc.affinity; a != nil && a.keep > 0 {
		s.memory.keep(s.memory.key(a.network(client), svc.ref), be.ref, now, a.keep)
	}
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
