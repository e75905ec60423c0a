package vserver

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"time"

	"appliance/internal/fib"
	"appliance/rss"
	"appliance/vserver/flows"
)

// A Tuple names a flow by its client's packets.
type Tuple struct {
	Client   netip.AddrPort
	VIP      netip.AddrPort
	Protocol Protocol
}

// An Explanation says where a client's packets go, and why. It doesn't know
// the flow records: where there is one, see Handler.Find, it decides.
type Explanation struct {
	Hash   uint32
	Bucket int
	Entry  int // of the core table
	Engine int

	Service *ServiceConfig // nil: there is none
	Backend *BackendConfig // that a new flow goes to; nil: none, or the next in turn
	Why     string         // what decided
}

// Where explains what becomes of packets of t on a node with this core table.
func (s *Services) Where(hasher *rss.Hasher, cores *rss.CoreTable, t Tuple) Explanation {
	hash := t.hash(hasher)
	e := Explanation{
		Hash:   hash,
		Bucket: int(hash) & (s.config.Buckets - 1),
		Entry:  int(hash % rss.CoreEntries),
		Engine: int(cores.Engine(hash)),
	}
	n, ok := s.serviceAt(addressOf(t.VIP.Addr()), t.VIP.Port(), uint8(t.Protocol))
	if !ok {
		e.Why = s.whyNoService(t)
		return e
	}
	svc := &s.services[n]
	e.Service = svc.config
	switch {
	case svc.pool == nil:
		e.Why = "no backend is up and has a weight"
	case svc.pool.turns != nil:
		e.Why = "a new flow goes to the next backend in turn"
	default:
		be := &s.backends[svc.byHash(hash)]
		e.Backend = be.config
		e.Why = fmt.Sprintf("a new flow goes where the hash says, over %d of %d backends", len(svc.members), len(svc.list))
		if be.found != fib.Found {
			e.Why += "; but that backend " + unreachable[be.found]
		}
	}
	return e
}

var unreachable = map[fib.Result]string{
	fib.NoRoute:     "has no route, or none that the mode can use",
	fib.NoNeighbour: "has not been resolved to a link-layer address",
}

func (s *Services) whyNoService(t Tuple) string {
	if _, ok := s.vips.find(addressOf(t.VIP.Addr()), hostTag); ok {
		return fmt.Sprintf("%s is a VIP, but has no service on %s port %d", t.VIP.Addr(), t.Protocol, t.VIP.Port())
	}
	if _, ok := s.bySNIP.find(addressOf(t.VIP.Addr()), hostTag); ok {
		return fmt.Sprintf("%s is a SNIP: it serves no clients", t.VIP.Addr())
	}
	return fmt.Sprintf("%s is no VIP", t.VIP.Addr())
}

// hash returns the hash of the client's packets.
func (t Tuple) hash(h *rss.Hasher) uint32 {
	src, dst := t.Client.Addr(), t.VIP.Addr()
	ports := uint32(t.Client.Port())<<16 | uint32(t.VIP.Port())
	if src.Is4() && dst.Is4() {
		from, to := src.As4(), dst.As4()
		return h.IPv4(uint64(binary.BigEndian.Uint32(from[:]))<<32|uint64(binary.BigEndian.Uint32(to[:])), ports)
	}
	var addrs [32]byte
	from, to := src.As16(), dst.As16()
	copy(addrs[:16], from[:])
	copy(addrs[16:], to[:])
	return h.IPv6(&addrs, ports)
}

// A Flow is a flow record, in words.
type Flow struct {
	Backend *BackendConfig
	Source  netip.AddrPort // nat: SNIP and port toward the backend
	State   string
	Expires time.Duration // from now on, if no packet comes
}

// Find returns the flow that t's packets belong to in this Handler; ok is false
// when there is none. It runs on the engine's thread (see engine.Call), after a
// pass.
func (h *Handler) Find(hasher *rss.Hasher, t Tuple) (flow Flow, ok bool) {
	s := h.services
	n, ok := s.serviceAt(addressOf(t.VIP.Addr()), t.VIP.Port(), uint8(t.Protocol))
	if !ok {
		return Flow{}, false
	}
	r := h.table.Forward(0, t.hash(hasher), &flows.ForwardKey{
		Client: t.Client.Addr().As16(), ClientPort: t.Client.Port(), ServicePort: t.VIP.Port(),
		Service: s.services[n].ref,
	})
	if r == nil {
		return Flow{}, false
	}
	flow = Flow{
		Backend: s.backends[r.Backend.Slot()].config,
		State:   r.State.String(),
		Expires: duration(r.Deadline - h.tick),
	}
	if s.services[n].mode == NAT {
		flow.Source = netip.AddrPortFrom(netip.AddrFrom16(s.snips[r.SNIP].addr).Unmap(), r.SNIPPort)
	}
	return flow, true
}
