package vserver

import (
	"math"
	"slices"
	"sync/atomic"

	"appliance/vserver/flows"
)

// A share is the number of open flows that all engines together have with a
// backend or a service: the method leastconn and limits go by it. Each engine
// adds what it opens and takes off what it closes, once a flow each; the Builder
// makes one where somebody asks for it, and only there.
//
// So the number is right at any moment, but two engines may read it before
// either has added: a limit may be exceeded by one flow for each engine but one.
type share struct {
	open atomic.Int64
	_    [56]byte // a cache line: engines that open flows to different backends don't meet
}

// shares hands out the shares of all services, or of all backends. Each has the
// same one for as long as it keeps its ref and every configuration asks for it.
type shares struct {
	last, next map[flows.Ref]*share
}

// begin starts a configuration: of the shares before it, those are kept that are
// asked for again.
func (s *shares) begin() { s.last, s.next = s.next, map[flows.Ref]*share{} }

// of returns the share of a ref, nil unless it is wanted.
func (s *shares) of(ref flows.Ref, wanted bool) *share {
	if !wanted {
		return nil
	}
	one := s.last[ref]
	if one == nil {
		one = new(share)
	}
	s.next[ref] = one
	return one
}

// A rival is an eligible backend where the number of its flows matters.
type rival struct {
	share  *share
	weight int64
	most   int64 // flows that it may have
}

// full reports whether the rival may have no further flow.
func (r *rival) full() bool { return r.share.open.Load() >= r.most }

// limitOf returns a limit as it is compared: 0 is none.
func limitOf(flows int) int64 {
	if flows == 0 {
		return math.MaxInt64
	}
	return int64(flows)
}

// contended reports whether it matters how many flows each backend has.
func (svc *service) contended() bool {
	return svc.config.Method == LeastConn ||
		slices.ContainsFunc(svc.config.Backends, func(b BackendConfig) bool { return b.MaxFlows > 0 })
}

// join makes a backend a member of the service's pool.
func (svc *service) join(be *backend, weight int) {
	be.member = true
	svc.members = append(svc.members, be.ref.Slot())
	if be.share != nil {
		svc.rivals = append(svc.rivals, rival{be.share, int64(weight), limitOf(be.config.MaxFlows)})
	}
}

// full reports whether the service may have no further flow.
func (svc *service) full() bool {
	return svc.share != nil && svc.share.open.Load() >= svc.most
}

// idlest returns the index of the rival with the fewest flows for its weight,
// were it to get one more, among those that may have one; -1 if none may. Of
// equals it takes the first from where the hash says. It looks at all of them,
// which takes 1.1 us for 1,024 (BenchmarkChoose; AMD EPYC, November 2026).
func (svc *service) idlest(hash uint32) int {
	n := len(svc.rivals)
	best, bestFlows, bestWeight := -1, int64(0), int64(1)
	at := int(uint64(hash*0x9e3779b1) * uint64(n) >> 32)
	for range n {
		r := &svc.rivals[at]
		if f := r.share.open.Load(); f < r.most && (best < 0 || (f+1)*bestWeight < bestFlows*r.weight) {
			best, bestFlows, bestWeight = at, f+1, r.weight
		}
		if at++; at == n {
			at = 0
		}
	}
	return best
}

// rehashes is how many further places of the Maglev table are tried when the
// backend that the hash says is full. Then all are, one after another.
const rehashes = 8

// vacant returns the index of a rival that may have another flow: the first
// choice if it may, else one that depends on the hash, so that the flows of a
// full backend spread over all others by weight. It returns -1 if none may.
func (svc *service) vacant(first int, hash uint32) int {
	at := first
	for range rehashes {
		if !svc.rivals[at].full() {
			return at
		}
		hash += 0x9e3779b9
		at = svc.pool.table.Lookup(hash)
	}
	for i := range svc.rivals {
		if at = (first + i) % len(svc.rivals); !svc.rivals[at].full() {
			return at
		}
	}
	return -1
}
