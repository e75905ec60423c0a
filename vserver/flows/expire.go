package flows

import "unsafe"

const (
	// reclaimSpan is how many records Insert looks at, one behind the other, to
	// find one that gives way.
	reclaimSpan = 64

	// leaps is in how many other places it looks, at leapSpan records each, when
	// they are all in use: the flows of a start lie side by side, and where half a
	// table is of such, every second span is. More leaps find more often what is
	// rare, and cost more where no flow gives way; with these, 2 of 1,000 new flows
	// find none in such a table. They are fetched from memory all at once.
	leaps    = 8
	leapSpan = 4
)

// expired reports whether tick deadline has come; right as long as the two are
// less than 4 years apart.
func expired(deadline, now uint32) bool { return int32(now-deadline) >= 0 }

// alive reports whether a flow of a current service has neither expired nor
// lost its backend.
func (t *Table) alive(r *Record) bool {
	return !expired(r.Deadline, t.now) && t.roster.backend(r.Backend) != nil
}

// dead reports whether a flow has expired or is stale.
func (t *Table) dead(r *Record) bool { return !t.alive(r) || !t.roster.service(r.Service) }

// sweepBatch is how many records a sweep looks at before it frees the dead ones
// among them, so that the cache misses of freeing overlap.
const sweepBatch = 32

// Sweep looks at the next n records, going around, and frees those whose flows
// are dead. It returns how many it freed.
//
// A dead flow is absent from every look-up already: the sweep gives back its
// room, and need not be prompt. To go around once in some seconds, call it with
//
//	n = capacity * (time since the last call) / (time to go around)
//
// but with no more than the pause that packets can bear: a record costs about
// 5 ns, one that is freed 60 ns.
func (t *Table) Sweep(n int) (freed int) {
	n = min(n, t.Stats().Capacity)
	for ; n > 0; n -= sweepBatch {
		freed += t.sweep(min(n, sweepBatch))
	}
	return freed
}

// sweep is Sweep for at most sweepBatch records, and at most all there are.
func (t *Table) sweep(n int) int {
	var batch [sweepBatch]*Record
	dead := 0
	for range n {
		if r := t.step(); r.State != Free && t.dead(r) {
			t.Touch(r.Hash)
			t.Touch(r.ReturnHash)
			batch[dead%sweepBatch] = r
			dead++
		}
	}
	for _, r := range batch[:dead] {
		t.release(r)
	}
	return dead
}

// step moves the cursor to the next record.
func (t *Table) step() *Record {
	t.cursor++
	if t.cursor == uint32(len(t.records)) {
		t.cursor = 1
	}
	return &t.records[t.cursor]
}

// makeRoom frees one record of a full table, of the next few or of some
// elsewhere. It reports whether there was one; flows in use never give way.
//
// Because the sweep's cursor goes on with each flow, half-open ones give way in
// the order in which they came, roughly: under a flood, each has as long to
// finish its handshake as the flood takes to fill all that isn't in use.
func (t *Table) makeRoom() bool {
	if t.reclaim(reclaimSpan) {
		return true
	}
	if len(t.records) <= reclaimSpan {
		return false // that were all
	}
	var places [leaps]uint32
	for i := range places {
		places[i] = uint32(t.draw() * (len(t.records) - leapSpan) >> 16)
		for j := range uint32(leapSpan) {
			prefetch(unsafe.Pointer(&t.records[places[i]+1+j])) // sound as in Touch
		}
	}
	cursor := t.cursor
	found := false
	for i := 0; i < leaps && !found; i++ {
		t.cursor = places[i]
		found = t.reclaim(leapSpan)
	}
	t.cursor = cursor
	return found
}

// reclaim frees one of the next n records: a dead one if there is one; else the
// closed one that has been silent longest; else, of those that were never
// answered or never finished their handshake, the oldest. It reports whether
// there was one.
func (t *Table) reclaim(n int) bool {
	var victim *Record
	for range n {
		r := t.step()
		if t.dead(r) {
			t.release(r)
			return true
		}
		if r.State.yields() > 0 && (victim == nil || yieldsBefore(r, victim)) {
			victim = r
		}
	}
	if victim == nil {
		return false
	}
	t.release(victim)
	t.evicted++
	return true
}

// yieldsBefore reports whether a gives way rather than b.
func yieldsBefore(a, b *Record) bool {
	if a.State.yields() != b.State.yields() {
		return a.State.yields() > b.State.yields()
	}
	return int32(a.Deadline-b.Deadline) < 0
}
