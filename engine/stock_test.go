package engine

// stockPort hands out the same frame for ever and swallows what is sent,
// without allocating: for allocation tests and benchmarks of the loop.
type stockPort struct {
	arena *Arena
	frame []byte
	fill  []uint32
	tx    []uint32
}

func newStockPort(a *Arena, frame []byte) *stockPort {
	return &stockPort{arena: a, frame: frame, fill: make([]uint32, 0, 128), tx: make([]uint32, 0, 128)}
}

func (p *stockPort) Receive(out []Segment) int {
	n := min(len(out), len(p.fill))
	for i := range n {
		out[i] = Segment{Frame: p.fill[len(p.fill)-1-i], Off: Headroom, Len: uint16(len(p.frame))}
		copy(p.arena.Bytes(out[i]), p.frame)
	}
	p.fill = p.fill[:len(p.fill)-n]
	return n
}

func (p *stockPort) Transmit(segs []Segment) int {
	for _, s := range segs {
		p.tx = append(p.tx, s.Frame)
	}
	return len(segs)
}

func (p *stockPort) Flush()        {}
func (p *stockPort) Pending() bool { return false }

func (p *stockPort) Reclaim(free *Frames) {
	for _, f := range p.tx {
		free.Push(f)
	}
	p.tx = p.tx[:0]
}

func (p *stockPort) Refill(free *Frames) {
	p.fill = append(p.fill, free.Take(64-len(p.fill))...)
}

func (p *stockPort) Held() Held       { return Held{Fill: len(p.fill), Transmit: len(p.tx)} }
func (p *stockPort) FD() int          { return -1 }
func (p *stockPort) Stats() PortStats { return PortStats{} }
func (p *stockPort) Err() error       { return nil }

func (p *stockPort) Close(free *Frames) error {
	p.Reclaim(free)
	for _, f := range p.fill {
		free.Push(f)
	}
	p.fill = p.fill[:0]
	return nil
}
