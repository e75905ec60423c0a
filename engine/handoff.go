package engine

import "appliance/engine/packet"

// hand queues a packet for the engine that owns it; handOver publishes. The
// frame goes with it.
func (e *Engine) hand(owner int, p *Packet) {
	if owner >= len(e.out) || owner == e.id || !e.out[owner].push(p) {
		e.drop(p.Frame, packet.HandoffFull)
		return
	}
	e.lent++
	e.counters.HandedOff++
}

// handOver makes this pass's hand-offs visible and wakes owners that sleep.
func (e *Engine) handOver() {
	for i, r := range e.out {
		if r != nil && r.publish() {
			e.group.engines[i].idle.wake()
		}
	}
}

// takeOver moves packets that other engines handed over into the batch and
// collects the frames that came back for those handed to them. At most half the
// batch comes from hand-offs, so that an engine under hand-off load still reads
// its own ports; whose come first rotates, so that no sender starves.
func (e *Engine) takeOver() int {
	first := int(e.counters.Passes % uint64(len(e.in)))
	before := len(e.batch)
	room := min(cap(e.batch)/2+1, cap(e.batch)-before)
	for i := range e.in {
		if i += first; i >= len(e.in) {
			i -= len(e.in)
		}
		if e.in[i] != nil {
			e.collect(e.taken[i])
			room -= e.takeFrom(i, room)
		}
	}
	taken := len(e.batch) - before
	e.counters.TakenOver += uint64(taken)
	return taken
}

// takeFrom takes up to most packets over from engine i, giving a free frame back
// for each. A packet for which there is no free frame stays in the ring: its
// sender drops when that is full.
func (e *Engine) takeFrom(i, most int) (taken int) {
	r := e.in[i]
	for ; taken < most; taken++ {
		p := r.peek()
		if p == nil {
			break
		}
		frame, ok := e.free.Pop()
		if !ok {
			break
		}
		e.giveback[i].push(&frame) // twice as large as the ring of packets: never full
		e.batch = append(e.batch, *p)
		r.pop()
	}
	r.release()
	e.giveback[i].publish()
	return taken
}

// collect takes the frames that came back for handed-over packets.
func (e *Engine) collect(r *ring[uint32]) {
	for frame := r.peek(); frame != nil; frame = r.peek() {
		e.free.Push(*frame)
		e.lent--
		r.pop()
	}
	r.release()
}

// waiting reports whether another engine has handed something over.
func (e *Engine) waiting() bool {
	for _, r := range e.in {
		if r != nil && !r.empty() {
			return true
		}
	}
	return false
}
