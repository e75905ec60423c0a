package vserver

import (
	"time"

	"appliance/vserver/flows"
)

// A backend that comes up in a service with a slow start gets its weight in
// rampSteps equal parts: the first at once, all of it when the time has passed.
// More steps would be smoother; each costs a table and moves some flows.
const rampSteps = 10

// A ramp remembers since when backends have been up. It belongs to the Builder.
type ramp struct {
	clock func() time.Time
	now   time.Time               // of the configuration that is built
	since map[flows.Ref]time.Time // of the backends that are up
	last  map[flows.Ref]time.Time // likewise, in the configuration before
	due   time.Time               // when the next of them has its next step; zero: none has
}

// begin starts a configuration.
func (r *ramp) begin() {
	r.now, r.due = r.clock(), time.Time{}
	r.last, r.since = r.since, map[flows.Ref]time.Time{}
}

// step returns which part of its weight a backend that is up has, 1 to
// rampSteps, where a slow start takes so long.
func (r *ramp) step(ref flows.Ref, slow time.Duration) int {
	since, known := r.last[ref]
	if !known {
		since = r.now
	}
	r.since[ref] = since
	up := max(r.now.Sub(since), 0)
	if slow == 0 || up >= slow {
		return rampSteps
	}
	part := slow / (rampSteps - 1)
	done := min(int(up/part), rampSteps-2)
	if next := since.Add(time.Duration(done+1) * part); r.due.IsZero() || next.Before(r.due) {
		r.due = next
	}
	return 1 + done
}

// rampWeights returns the weights of backends, those on their way up at what
// they have come to. While all have come equally far they are the configured
// ones, so that a start makes no difference. Small weights are all multiplied, to
// make their parts whole numbers; large ones are rounded up.
func rampWeights(backends []*backend) []int {
	weights := make([]int, len(backends))
	heaviest, equal := 0, true
	for i, be := range backends {
		weights[i] = be.config.Weight
		heaviest = max(heaviest, weights[i])
		equal = equal && be.step == backends[0].step
	}
	if equal {
		return weights
	}
	divisor := 1
	if heaviest*rampSteps > MaxWeight {
		divisor = rampSteps
	}
	for i, be := range backends {
		weights[i] = (weights[i]*be.step + divisor - 1) / divisor
	}
	return weights
}

// NextStep returns when Services should be built anew because a backend on its
// way up comes to more of its weight; ok is false when none is.
func (b *Builder) NextStep() (at time.Time, ok bool) { return b.ramp.due, !b.ramp.due.IsZero() }
