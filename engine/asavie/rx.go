package asavie

import (
	"github.com/asavie/xdp"

	"appliance/engine"
)

// Receive copies up to len(out) received frames into posted ones and returns
// how many.
func (p *Port) Receive(out []engine.Segment) (got int) {
	if p.broken != nil {
		return 0
	}
	defer p.guard()
	n := min(len(out), len(p.posted), p.socket.NumReceived())
	if n == 0 {
		return 0
	}
	bytes := uint64(0)
	for _, d := range p.socket.Receive(n) {
		if d.Len > uint32(p.arena.MaxPacket()) {
			p.count.badDescriptors.Add(1)
			continue
		}
		out[got] = p.copyOut(d)
		bytes += uint64(d.Len)
		got++
	}
	p.count.rxPackets.Add(uint64(got))
	p.count.rxBytes.Add(bytes)
	return got
}

// copyOut copies a received packet into a posted frame.
func (p *Port) copyOut(d xdp.Desc) engine.Segment {
	last := len(p.posted) - 1
	seg := engine.Segment{Frame: p.posted[last], Off: engine.Headroom, Len: uint16(d.Len)}
	copy(p.arena.Bytes(seg), p.socket.GetFrame(d))
	p.posted = p.posted[:last]
	return seg
}

// Refill takes free frames to copy received packets into, and posts as many of
// the library's own to the kernel.
func (p *Port) Refill(free *engine.Frames) {
	if p.broken != nil {
		return
	}
	defer p.guard()
	p.posted = append(p.posted, free.Take(p.cfg.Fill-len(p.posted))...)
	if n := min(p.cfg.Fill-p.socket.NumFilled(), p.socket.NumFreeFillSlots()); n > 0 {
		p.socket.Fill(p.socket.GetDescs(n))
	}
}
