package flows

// reclaimSpan is how many records Insert looks at to find one that gives way.
const reclaimSpan = 64

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

// makeRoom frees one record of a full table: among the next few, a dead one if
// there is one; else the closed one that has been silent longest; else, of those that were never
// answered or never finished their handshake, the oldest. It reports whether
// there was one; flows in use never give way.
func (t *Table) makeRoom() bool {
	var victim *Record
	for range reclaimSpan {
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
