package asavie

import (
	"github.com/asavie/xdp"

	"appliance/engine"
)

// maxKicks bounds the system calls of one Flush, as in package xsk.
const maxKicks = 64

// minFrame is the shortest frame to send, in bytes: an Ethernet header.
const minFrame = 14

// Transmit copies frames into the library's and queues those, as many as there
// is room for. The library kicks the kernel at once. A segment that cannot be
// sent (shorter than an Ethernet header or outside of its frame) is taken too,
// and counted in TxErrors.
func (p *Port) Transmit(segs []engine.Segment) (taken int) {
	if p.broken != nil || len(segs) == 0 {
		return 0
	}
	defer p.guard()
	p.stalled = false
	room := min(p.socket.NumFreeTxSlots(), p.cfg.Completion-p.sent.len()-len(p.refused))
	segs = segs[:min(len(segs), room)]
	descs := p.socket.GetDescs(len(segs))
	queued, bytes := 0, uint64(0)
	for _, seg := range segs {
		if int(seg.Frame) >= p.arena.Frames() || seg.Len < minFrame || int(seg.Off)+int(seg.Len) > p.arena.FrameSize() {
			p.refuse(seg)
			continue
		}
		descs[queued].Len = uint32(seg.Len)
		copy(p.socket.GetFrame(descs[queued]), p.arena.Bytes(seg))
		p.sent.push(seg.Frame)
		bytes += uint64(seg.Len)
		queued++
	}
	if queued > 0 {
		p.count.txPackets.Add(uint64(queued))
		p.count.txBytes.Add(bytes)
		p.kick(descs[:queued])
	}
	return len(segs)
}

// refuse counts a segment that cannot be sent. Reclaim returns its frame.
func (p *Port) refuse(seg engine.Segment) {
	p.count.txErrors.Add(1)
	if int(seg.Frame) < p.arena.Frames() {
		p.refused = append(p.refused, seg.Frame)
	}
}

// kick queues descriptors and has the kernel send. The library panics on what
// sendto may well answer, after it has queued them; then only new traffic kicks
// again.
func (p *Port) kick(descs []xdp.Desc) {
	defer func() {
		if recover() != nil {
			p.stalled = true
			p.count.txErrors.Add(1)
		}
	}()
	p.count.kicks.Add(1)
	p.socket.Transmit(descs)
}

// waiting returns how many frames are queued that the kernel hasn't taken.
func (p *Port) waiting() int { return p.cfg.TxRing - p.socket.NumFreeTxSlots() }

// Pending reports whether frames are queued that the kernel hasn't taken and
// that another Flush may move.
func (p *Port) Pending() bool { return p.broken == nil && !p.stalled && p.waiting() > 0 }

// Flush has the kernel send on, as long as frames leave.
func (p *Port) Flush() {
	if p.broken != nil {
		return
	}
	defer p.guard()
	for range maxKicks {
		before := p.waiting()
		if before == 0 {
			return
		}
		p.kick(nil)
		if p.stalled {
			return
		}
		if p.waiting() == before {
			break
		}
	}
	p.count.txRetries.Add(1)
}

// Reclaim puts frames onto free whose copies the kernel has sent.
func (p *Port) Reclaim(free *engine.Frames) {
	n := 0
	if p.broken == nil {
		n = p.complete()
	}
	p.giveBack(free, n)
}

// complete takes what the completion ring holds.
func (p *Port) complete() (n int) {
	defer p.guard()
	n = min(p.socket.NumCompleted(), p.sent.len())
	p.socket.Complete(n)
	return n
}

// giveBack returns the n frames that were sent first, and refused ones.
func (p *Port) giveBack(free *engine.Frames, n int) {
	for range n {
		free.Push(p.sent.pop())
	}
	for _, frame := range p.refused {
		free.Push(frame)
	}
	p.refused = p.refused[:0]
}
