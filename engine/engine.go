package engine

import (
	"fmt"
	"runtime"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"appliance/engine/packet"
)

// An Engine is one thread of a Group. All its fields belong to that thread but
// those marked shared.
type Engine struct {
	id      int
	cfg     *Config
	group   *Group
	arena   *Arena
	handler Handler
	holder  Holder // the handler, if it is one; else nil

	free    *Frames
	lent    int  // frames in packets handed to other engines, less those given back
	closing Held // frames of ports that are out of the loop but not closed yet

	slots []*slot // ports, in the order they were added
	turn  int     // which port a pass reads first: rotates, so that none starves
	lanes []lane  // by interface number

	in, out         []*ring[Packet] // hand-off rings from and to engine i; nil for itself
	giveback, taken []*ring[uint32] // free frames in return, to and from engine i

	batch    []Packet  // packets this engine decides in this pass
	segs     []Segment // scratch of Receive
	counters Counters
	lastPass int64 // start of the previous pass, 0 after a sleep
	nextTidy int64 // when housekeeping is due

	idle   idler
	call   atomic.Pointer[call] // shared: a function to run between passes
	caller chan struct{}        // shared: has an element while somebody is in Call
	passes atomic.Uint64        // shared: Counters.Passes, for liveness
	stop   atomic.Bool          // shared
	done   chan struct{}        // closed when the thread has ended
}

// housekeeping is how often Handler.Housekeep runs while packets flow.
const housekeeping = int64(time.Millisecond)

// ID returns the engine's number in its group, from 0.
func (e *Engine) ID() int { return e.id }

// Passes returns how many turns the loop has made: a number that stands still
// for longer than 100 ms means that the engine is stuck. Safe for concurrent
// use.
func (e *Engine) Passes() uint64 { return e.passes.Load() }

// run is the engine's thread. It says on ready whether it could be pinned, and
// ends at once if not.
func (e *Engine) run(ready chan<- error) {
	runtime.LockOSThread() // never unlocked: the pinned thread ends with the goroutine
	defer close(e.done)
	err := e.pin()
	ready <- err
	if err != nil {
		return
	}
	for !e.stop.Load() {
		if e.pass() {
			e.idle.reset()
		} else {
			e.counters.IdlePasses++
			e.rest()
		}
	}
	e.serve()
}

// pin binds the thread to its core.
func (e *Engine) pin() error {
	if len(e.cfg.CPUs) == 0 {
		return nil
	}
	var set unix.CPUSet
	set.Set(e.cfg.CPUs[e.id])
	if err := unix.SchedSetaffinity(0, &set); err != nil {
		return fmt.Errorf("engine %d: pin to cpu %d (it must exist and be allowed to this process): %w", e.id, e.cfg.CPUs[e.id], err)
	}
	return nil
}

// pass is one turn of the loop. It reports whether there was anything to do.
func (e *Engine) pass() bool {
	s := e.group.snapshot.Load()
	now := e.group.clock()
	e.measure(now)

	n := e.inhale(s)
	e.decide(s, now)
	e.exhale(s)
	return e.housekeep(s, now) || n > 0
}

// measure keeps the longest pass, from the one clock reading that each has.
func (e *Engine) measure(now int64) {
	e.counters.Passes++
	e.passes.Store(e.counters.Passes)
	if d := time.Duration(now - e.lastPass); e.lastPass != 0 && d > e.counters.LongestPass {
		e.counters.LongestPass = d
	}
	e.lastPass = now
}

// inhale fills the batch: packets that the Handler held and then those that
// other engines handed over first, because they have waited longest, then
// received frames. It returns how many packets it moved.
func (e *Engine) inhale(s *Snapshot) int {
	e.batch = e.batch[:0]
	moved := e.release()
	moved += e.takeOver()
	if e.turn++; e.turn >= len(e.slots) {
		e.turn = 0
	}
	moved += e.receive(s, e.slots[e.turn:])
	moved += e.receive(s, e.slots[:e.turn])
	e.handOver()
	return moved
}

// release takes packets that the Handler holds no longer into the batch: at most
// a quarter of one, so that those which arrive meanwhile have room.
func (e *Engine) release() int {
	if e.holder == nil {
		return 0
	}
	n := e.holder.Release(e.batch[:cap(e.batch)/4+1])
	e.batch = e.batch[:n]
	return n
}

// receive reads ports in order, as far as the batch has room.
func (e *Engine) receive(s *Snapshot, slots []*slot) (moved int) {
	for _, sl := range slots {
		if sl.gone {
			continue
		}
		n := sl.port.Receive(e.segs[:cap(e.batch)-len(e.batch)])
		e.sort(s, sl.iface, e.segs[:n])
		moved += n
	}
	return moved
}

// decide has the Handler give each packet of the batch its verdict.
func (e *Engine) decide(s *Snapshot, now int64) {
	if len(e.batch) > 0 {
		e.counters.Owned += uint64(len(e.batch))
		e.handler.Decide(s, now, e.batch)
	}
}

// exhale carries the verdicts out.
func (e *Engine) exhale(s *Snapshot) {
	handed := e.counters.HandedOff
	for i := range e.batch {
		p := &e.batch[i]
		if p.Verdict != Transmit {
			e.keep(s, p)
			continue
		}
		if int(p.Out) >= len(e.lanes) || e.lanes[p.Out].slot == nil {
			e.drop(p.Frame, packet.NoPort)
			continue
		}
		l := &e.lanes[p.Out]
		l.segs = append(l.segs, p.Segment)
	}
	e.batch = e.batch[:0]
	if e.counters.HandedOff != handed {
		e.handOver()
	}
	for i := range e.lanes {
		if l := &e.lanes[i]; l.slot != nil && (len(l.segs) > 0 || l.busy) {
			e.transmit(l)
		}
	}
}

// keep carries out a verdict by which a packet doesn't leave the node.
func (e *Engine) keep(s *Snapshot, p *Packet) {
	switch {
	case p.Verdict == Hand:
		p.Verdict, p.Reason = Drop, packet.OK // as its owner's Handler expects it
		e.hand(int(s.Cores.Engine(p.Hash)), p)
	case p.Verdict == Hold && e.holder != nil:
	default:
		e.drop(p.Frame, p.Reason)
	}
}

// transmit gives a lane's frames to its port, makes them leave, and takes back
// those that have left.
func (e *Engine) transmit(l *lane) {
	port := l.slot.port
	n := port.Transmit(l.segs)
	for _, seg := range l.segs[:n] {
		e.counters.TxBytes += uint64(seg.Len)
	}
	e.counters.TxPackets += uint64(n)
	port.Flush()
	port.Reclaim(e.free)
	if n < len(l.segs) { // the ring was full; Flush may have made room
		more := port.Transmit(l.segs[n:])
		for _, seg := range l.segs[n : n+more] {
			e.counters.TxBytes += uint64(seg.Len)
		}
		e.counters.TxPackets += uint64(more)
		port.Flush()
		n += more
	}
	for _, seg := range l.segs[n:] {
		e.drop(seg.Frame, packet.TxFull)
	}
	l.segs = l.segs[:0]
	l.busy = port.Held().Transmit > 0
}

// housekeep serves calls from the control half, refills the ports and, when it
// is due, runs the Handler's periodic work. It reports whether there was a call,
// which may have changed anything.
func (e *Engine) housekeep(s *Snapshot, now int64) bool {
	called := e.serve()
	for _, sl := range e.slots {
		if !sl.gone {
			sl.port.Refill(e.free)
		}
	}
	if now >= e.nextTidy {
		e.nextTidy = now + housekeeping
		e.checkPorts()
		if s != nil {
			e.handler.Housekeep(s, now)
		}
	}
	return called
}

// drop frees a frame and counts why.
func (e *Engine) drop(frame uint32, why packet.Reason) {
	e.counters.Dropped[why]++
	e.free.Push(frame)
}
