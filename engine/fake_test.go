package engine

import (
	"encoding/binary"
	"sync"
	"testing"

	"appliance/engine/packet"
	"appliance/rss"
)

// fakePort is a Port over slices: tests put frames into rx and find what was
// sent in sent.
type fakePort struct {
	mu    sync.Mutex
	arena *Arena
	rx    [][]byte
	sent  [][]byte
	fill  []uint32
	tx    []uint32
	room  int // how many frames Transmit takes in all; -1: no limit
	err   error
}

func newFakePort(a *Arena) *fakePort { return &fakePort{arena: a, room: -1} }

func (p *fakePort) inject(frames ...[]byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.rx = append(p.rx, frames...)
}

func (p *fakePort) sentFrames() [][]byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([][]byte(nil), p.sent...)
}

func (p *fakePort) setErr(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.err = err
}

func (p *fakePort) Receive(out []Segment) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := 0
	for n < len(out) && len(p.rx) > 0 && len(p.fill) > 0 {
		last := len(p.fill) - 1
		out[n] = Segment{Frame: p.fill[last], Off: Headroom, Len: uint16(len(p.rx[0]))}
		copy(p.arena.Bytes(out[n]), p.rx[0])
		p.fill, p.rx = p.fill[:last], p.rx[1:]
		n++
	}
	return n
}

func (p *fakePort) Transmit(segs []Segment) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := 0
	for _, s := range segs {
		if p.room == 0 {
			break
		}
		p.room--
		p.sent = append(p.sent, append([]byte(nil), p.arena.Bytes(s)...))
		p.tx = append(p.tx, s.Frame)
		n++
	}
	return n
}

func (p *fakePort) Flush()        {}
func (p *fakePort) Pending() bool { return false }

func (p *fakePort) Reclaim(free *Frames) {
	for _, f := range p.tx {
		free.Push(f)
	}
	p.tx = p.tx[:0]
}

func (p *fakePort) Refill(free *Frames) {
	if want := 16 - len(p.fill); want > 0 {
		p.fill = append(p.fill, free.Take(want)...)
	}
}

func (p *fakePort) Held() Held       { return Held{Fill: len(p.fill), Transmit: len(p.tx)} }
func (p *fakePort) FD() int          { return -1 }
func (p *fakePort) Stats() PortStats { return PortStats{} }

func (p *fakePort) Err() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.err
}

func (p *fakePort) Close(free *Frames) error {
	p.Reclaim(free)
	for _, f := range p.fill {
		free.Push(f)
	}
	p.fill = nil
	return nil
}

// echo sends every packet back out of the interface it came in on.
type echo struct{ housekept int }

func (h *echo) Decide(_ *Snapshot, _ int64, batch []Packet) {
	for i := range batch {
		batch[i].Verdict, batch[i].Out = Transmit, batch[i].In
	}
}

func (h *echo) Housekeep(*Snapshot, int64) { h.housekept++ }

// udpFrame returns an Ethernet frame with an IPv4 UDP packet whose source port
// is port: different ports are different flows.
func udpFrame(port uint16) []byte {
	f := make([]byte, 64)
	binary.BigEndian.PutUint16(f[12:], 0x0800)
	ip := f[14:]
	ip[0], ip[8], ip[9] = 0x45, 64, 17
	binary.BigEndian.PutUint16(ip[2:], 50)
	copy(ip[12:], []byte{10, 0, 0, 1, 10, 0, 0, 2})
	var sum uint32
	for i := 0; i < 20; i += 2 {
		sum += uint32(binary.BigEndian.Uint16(ip[i:]))
	}
	binary.BigEndian.PutUint16(ip[10:], ^uint16(sum+sum>>16))
	binary.BigEndian.PutUint16(ip[20:], port)
	binary.BigEndian.PutUint16(ip[22:], 53)
	binary.BigEndian.PutUint16(ip[24:], 30)
	return f
}

// newTestGroup makes a group of n engines with frames frames and two fake
// ports each (interfaces 0 and 1), not started.
func newTestGroup(t testing.TB, n, frames int, handler func() Handler) (*Group, [][2]*fakePort) {
	t.Helper()
	cfg := DefaultConfig()
	cfg.Engines = n
	g := bareGroup(t, cfg, frames, handler)
	ports := make([][2]*fakePort, n)
	for i, e := range g.engines {
		for iface := range 2 {
			ports[i][iface] = newFakePort(g.arena)
			e.addPort(iface, ports[i][iface])
		}
	}
	return g, ports
}

// bareGroup makes a group with a snapshot but without ports, not started.
func bareGroup(t testing.TB, cfg Config, frames int, handler func() Handler) *Group {
	t.Helper()
	arena, err := NewArena(frames, 2048)
	if err != nil {
		t.Fatal(err)
	}
	handlers := make([]Handler, cfg.Engines)
	for i := range handlers {
		handlers[i] = handler()
	}
	g, err := NewGroup(arena, cfg, handlers)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := g.Close(); err != nil {
			t.Error(err)
		}
		if err := arena.Close(); err != nil {
			t.Error(err)
		}
	})
	cores, err := rss.NewCoreTable(cfg.Engines)
	if err != nil {
		t.Fatal(err)
	}
	g.Publish(&Snapshot{Generation: 1, Hasher: rss.NewHasher(rss.MicrosoftKey), Cores: cores})
	return g
}

// ledger counts all frames of engines that don't run.
func (g *Group) ledger() (sum Ledger) {
	for _, e := range g.engines {
		sum.add(e.ledger())
	}
	return sum
}

func dropped(c *Counters, why packet.Reason) uint64 { return c.Dropped[why] }
