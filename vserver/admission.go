package vserver

import (
	"encoding/binary"
	"math/bits"
	"time"

	"appliance/engine/packet"
)

// Limits bound the new flows that an engine makes records of. A flow that has a
// record is never touched by them.
type Limits struct {
	// NewFlows is how many there may be a second; 0: any number. Beyond, a mode
	// that can balances by hash without a record, and nat drops.
	NewFlows int

	// NewFlowsPerSource is how many of them there may be from one source; 0: any
	// number. Beyond, packets that begin a flow are dropped.
	NewFlowsPerSource int

	// SourcePrefix4 and SourcePrefix6 say how many bits of an address make a
	// source. 0: DefaultSourcePrefix4, DefaultSourcePrefix6.
	SourcePrefix4, SourcePrefix6 int
}

// Defaults and bounds of Limits.
const (
	// One IPv4 address is one customer, or a carrier's NAT with some hundreds of
	// them, whose neighbours have nothing to do with it. In IPv6 the smallest
	// network is a /64 (RFC 4291 section 2.5.4): whoever has one host has 2^64
	// addresses to send from.
	DefaultSourcePrefix4 = 32
	DefaultSourcePrefix6 = 64

	MaxNewFlows = 10_000_000
)

func (l *Limits) setDefaults() {
	setDefault(&l.SourcePrefix4, DefaultSourcePrefix4)
	setDefault(&l.SourcePrefix6, DefaultSourcePrefix6)
}

func (v *validator) checkLimits(l *Limits) {
	v.between("limits.new_flows", l.NewFlows, 0, MaxNewFlows)
	v.between("limits.new_flows_per_source", l.NewFlowsPerSource, 0, MaxNewFlows)
	v.between("limits.source_prefix_ipv4", l.SourcePrefix4, 0, 32)
	v.between("limits.source_prefix_ipv6", l.SourcePrefix6, 0, 128)
}

// An admission says whether a packet may open a flow. The zero admission admits
// all.
type admission struct {
	limited bool    // in any way
	overall limiter // shut if there is no limit
	sources sketch
}

// set puts limits in force. It allocates once, when sources are first limited.
func (a *admission) set(l Limits, seed uint64) {
	a.limited = l.NewFlows > 0 || l.NewFlowsPerSource > 0
	a.overall.set(l.NewFlows)
	a.sources.set(l, seed)
}

// admit takes a token for a new flow of client, if there is one, and returns
// packet.OK; else SourceLimit or NewFlowLimit. The source is asked first, so that
// a source over its limit takes nothing from the others.
func (a *admission) admit(now int64, client *[16]byte) packet.Reason {
	if !a.limited {
		return packet.OK
	}
	return a.ask(now, client)
}

func (a *admission) ask(now int64, client *[16]byte) packet.Reason {
	if a.sources.gap > 0 && !a.sources.take(now, client) {
		return packet.SourceLimit
	}
	if a.overall.gap == 0 {
		return packet.OK
	}
	if !a.overall.open(now) {
		return packet.NewFlowLimit
	}
	a.overall.take(now)
	return packet.OK
}

// A sketch holds a token bucket for each source there might be, in fixed memory:
// a count-min sketch with conservative update, whose counters are limiters. Each
// source has one cell in each of two rows, at places that a secret decides, and
// shares them with others. It is over its limit only if both are.
//
// A cell is never emptier than its source's own bucket would be, so nobody gets
// past the limit. Somebody within it is wrongly refused if others have filled
// both cells. Of s sources at their limit, that is at most
//
//	(s / 65,536)²
//
// of the rest: 0.02 % at 1,000. Sources that are never seen again, as a flood's
// forged ones, spread over all cells: at f new flows a second in all, a cell gets
// f / 65,536 a second, 5 at 300,000. A limit above that is out of their reach, one
// below it makes way for nobody.
type sketch struct {
	gap          int64 // ns that one flow stands for; 0: no limit
	rows         [2][]int64
	seed         uint64
	mask4, mask6 address // what of an address makes a source
}

// sketchCells are the cells of a row: 512 KiB, which new flows alone look at.
const sketchCells = 1 << 16

func (k *sketch) set(l Limits, seed uint64) {
	var rate limiter
	rate.set(l.NewFlowsPerSource)
	k.gap, k.seed = rate.gap, seed
	if k.gap > 0 && k.rows[0] == nil {
		k.rows = [2][]int64{make([]int64, sketchCells), make([]int64, sketchCells)}
	}
	k.mask4, k.mask6 = maskOf(96+l.SourcePrefix4), maskOf(l.SourcePrefix6)
}

// maskOf returns an address whose first n bits are set.
func maskOf(n int) address {
	// A shift by 64 or more leaves nothing, which is what is wanted.
	return address{hi: ^(^uint64(0) >> n), lo: ^(^uint64(0) >> max(n-64, 0))}
}

// take takes a token of client's source at time now, and reports whether there
// was one.
func (k *sketch) take(now int64, client *[16]byte) bool {
	a, b := k.cells(client)
	full := max(min(*a, *b), now) + k.gap
	if full-now > int64(time.Second) {
		return false
	}
	*a, *b = max(*a, full), max(*b, full)
	return true
}

// cells returns the cells of client's source. The mixing is wyhash's, twice.
func (k *sketch) cells(client *[16]byte) (a, b *int64) {
	hi, lo := binary.BigEndian.Uint64(client[:8]), binary.BigEndian.Uint64(client[8:])
	mask := k.mask6
	if hi == 0 && lo>>32 == v4Mapped>>32 {
		mask = k.mask4
	}
	hi, lo = bits.Mul64(hi&mask.hi^k.seed^0xa0761d6478bd642f, lo&mask.lo^bits.RotateLeft64(k.seed, 32)^0xe7037ed1a0b428db)
	hi, lo = bits.Mul64(hi^lo^k.seed, 0x9e3779b97f4a7c15)
	mix := hi ^ lo
	return &k.rows[0][mix%sketchCells], &k.rows[1][mix>>32%sketchCells]
}
