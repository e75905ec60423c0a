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
	case svc.full():
		e.Why = fmt.Sprintf("the virtual server has %d open flows, as many as it may", svc.share.open.Load())
	default:
		s.explainChoice(&e, svc, t.Client.Addr())
	}
	return e
}

// explainChoice says which backend a new flow goes to.
func (s *Services) explainChoice(e *Explanation, svc *service, client netip.Addr) {
	b := client.As16()
	if s.memory != nil {
		if be := s.stays(svc, &b, s.memory.clock.Load()); be != nil {
			e.Backend = be.config
			e.Why = fmt.Sprintf("a new flow goes where the client's network %v has been lately", svc.affinity.prefix(client, &svc.config.Persistence))
			return
		}
	}
	at, why := svc.foresee(svc.choiceHash(e.Hash, &b))
	if svc.affinity != nil {
		why += fmt.Sprintf(", that of the client's network %v", svc.affinity.prefix(client, &svc.config.Persistence))
	}
	if svc.backups {
		why += ", of the backups, because no other backend is up and has a weight"
	}
	if e.Why = why; at < 0 {
		return
	}
	be := &s.backends[svc.members[at]]
	if e.Backend = be.config; be.found != fib.Found {
		e.Why += "; but that backend " + unreachable[be.found]
	}
}

// foresee returns the index of the member that a new flow goes to, -1 if it is
// none or can't be told, and why. The service has a pool.
func (svc *service) foresee(hash uint32) (at int, why string) {
	switch {
	case svc.rivals != nil && svc.vacant(0, hash) < 0:
		return -1, "every backend that is up has as many open flows as it may"
	case svc.pool.turns != nil:
		return -1, "a new flow goes to the next backend in turn"
	case svc.config.Method == LeastConn:
		return svc.idlest(hash), "a new flow goes to the backend with the fewest open flows for its weight"
	}
	at = svc.pool.table.Lookup(hash)
	why = fmt.Sprintf("a new flow goes where the hash says, over %d of %d backends", len(svc.members), len(svc.list))
	if svc.rivals != nil && svc.rivals[at].full() {
		at = svc.vacant(at, hash)
		why += ", but not to the first choice, which has as many open flows as it may"
	}
	return at, why
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
	Severed bool           // ends with the client's next packet, because the backend is down
	Source  netip.AddrPort // toward the backend. nat: SNIP and port; ipip, gue: the outer source, in ipip with port 0
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
	be := &s.backends[r.Backend.Slot()]
	flow = Flow{
		Backend: be.config,
		Severed: s.severed(r, &s.services[n]),
		State:   r.State.String(),
		Expires: duration(r.Deadline - h.tick),
	}
	switch {
	case be.tunnel != nil:
		flow.Source = be.tunnel.Source(entropy(r.Hash))
	case s.services[n].mode == NAT:
		flow.Source = netip.AddrPortFrom(netip.AddrFrom16(s.snips[r.SNIP].addr).Unmap(), r.SNIPPort)
	}
	return flow, true
}
