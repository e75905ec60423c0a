package memport

import (
	"fmt"
	"sync/atomic"

	"appliance/engine"
)

// errGone is what Err returns for a removed port.
var errGone = fmt.Errorf("memport: %w", engine.ErrPortGone)

var _ engine.Port = (*Port)(nil)

// A Port is one end of a link. Its methods are for one engine's thread, but
// Stats, SetDown and Gone, which any goroutine may call.
type Port struct {
	arena *engine.Arena
	link  *link
	end   int
	out   *wire
	in    *wire

	fill []uint32 // frames to receive into; capacity Config.Size
	sent []uint32 // frames whose bytes are on the wire; capacity Config.Size

	rxPackets, rxBytes atomic.Uint64
	txPackets, txBytes atomic.Uint64
	txErrors           atomic.Uint64
	fillEmpty          atomic.Uint64
}

// Pair returns the two ends of a new link, for engines that work on Arenas a
// and b, which may be the same.
func Pair(a, b *engine.Arena, cfg Config) (*Port, *Port, error) {
	l, err := newLink(cfg, [2]int{b.MaxPacket(), a.MaxPacket()})
	if err != nil {
		return nil, nil, fmt.Errorf("memport: pair: %w", err)
	}
	return newPort(a, l, 0, cfg.Size), newPort(b, l, 1, cfg.Size), nil
}

func newPort(a *engine.Arena, l *link, end, size int) *Port {
	return &Port{
		arena: a, link: l, end: end, out: l.wires[end], in: l.wires[1-end],
		fill: make([]uint32, 0, size),
		sent: make([]uint32, 0, size),
	}
}

// Receive implements engine.Port. It copies waiting frames into those that
// Refill took.
func (p *Port) Receive(out []engine.Segment) int {
	if p.link.gone[p.end].Load() {
		return 0
	}
	waiting := p.in.waiting()
	n := min(len(out), waiting, len(p.fill))
	if n < min(len(out), waiting) {
		p.fillEmpty.Add(1)
	}
	if n == 0 {
		p.in.settle()
		return 0
	}
	bytes := 0
	left := len(p.fill) - n
	for i, frame := range p.fill[left:] {
		data := p.in.peek(i)
		out[i] = engine.Segment{Frame: frame, Off: engine.Headroom, Len: uint16(len(data))}
		bytes += copy(p.arena.Bytes(out[i]), data)
	}
	p.fill = p.fill[:left]
	p.in.release(n)
	p.rxPackets.Add(uint64(n))
	p.rxBytes.Add(uint64(bytes))
	return n
}

// Transmit implements engine.Port. It copies the frames onto the wire. While
// nothing gets through, it takes and loses them, as a cut cable does.
func (p *Port) Transmit(segs []engine.Segment) int {
	if p.link.gone[p.end].Load() {
		return 0
	}
	carries := p.link.carries(p.end)
	n, bytes := 0, 0
	for _, s := range segs[:min(len(segs), cap(p.sent)-len(p.sent))] {
		if carries {
			if !p.link.lossy && p.out.full() {
				break
			}
			p.out.push(p.arena.Bytes(s))
		}
		p.sent = append(p.sent, s.Frame)
		bytes += int(s.Len)
		n++
	}
	if n > 0 {
		p.txPackets.Add(uint64(n))
		p.txBytes.Add(uint64(bytes))
		if !carries {
			p.txErrors.Add(uint64(n))
		}
	}
	return n
}

// Flush implements engine.Port. It lets the other end see what was transmitted.
func (p *Port) Flush() { p.out.publish() }

// Pending implements engine.Port.
func (p *Port) Pending() bool { return p.out.unpublished() }

// Reclaim implements engine.Port.
func (p *Port) Reclaim(free *engine.Frames) { p.sent = giveBack(free, p.sent) }

// Refill implements engine.Port.
func (p *Port) Refill(free *engine.Frames) {
	if !p.link.gone[p.end].Load() {
		p.fill = append(p.fill, free.Take(cap(p.fill)-len(p.fill))...)
	}
}

// Held implements engine.Port.
func (p *Port) Held() engine.Held { return engine.Held{Fill: len(p.fill), Transmit: len(p.sent)} }

// FD implements engine.Port.
func (p *Port) FD() int { return p.in.event.fd }

// Stats implements engine.Port. Frames that a full lossy wire lost on their way
// here are in RxRingFull, those too long for the Arena in RxDropped.
func (p *Port) Stats() engine.PortStats {
	return engine.PortStats{
		RxPackets: p.rxPackets.Load(), RxBytes: p.rxBytes.Load(),
		TxPackets: p.txPackets.Load(), TxBytes: p.txBytes.Load(), TxErrors: p.txErrors.Load(),
		RxDropped: p.in.tooLong.Load(), RxRingFull: p.in.lost.Load(), FillEmpty: p.fillEmpty.Load(),
	}
}

// Err implements engine.Port.
func (p *Port) Err() error {
	if p.link.gone[p.end].Load() {
		return errGone
	}
	return nil
}

// Close implements engine.Port. What it had transmitted and flushed can still be
// received.
func (p *Port) Close(free *engine.Frames) error {
	p.fill, p.sent = giveBack(free, p.fill), giveBack(free, p.sent)
	if err := p.link.leave(p.end); err != nil {
		return fmt.Errorf("memport: close: %w", err)
	}
	return nil
}

// SetDown cuts the link in both directions, or mends it. Frames that are on the
// wire already still arrive.
func (p *Port) SetDown(down bool) { p.link.down.Store(down) }

// Gone makes the port one whose interface was removed: it moves nothing any
// more, its Err says why, and Close is all that is left to do with it.
func (p *Port) Gone() { p.link.gone[p.end].Store(true) }

// giveBack empties frames onto free.
func giveBack(free *engine.Frames, frames []uint32) []uint32 {
	for _, f := range frames {
		free.Push(f)
	}
	return frames[:0]
}
