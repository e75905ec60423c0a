package porttest

import (
	"testing"

	"appliance/engine"
	"appliance/engine/memport"
)

// recorder is a test that notes whether it failed.
type recorder struct {
	testing.TB
	failed bool
}

func (r *recorder) Helper()               {}
func (r *recorder) Errorf(string, ...any) { r.failed = true }

// A faulty port breaks the contract once, in the way of its fault.
type faulty struct {
	engine.Port
	arena *engine.Arena
	fault string
}

func (p *faulty) Receive(out []engine.Segment) int {
	n := p.Port.Receive(out)
	if n < 2 {
		return n
	}
	switch p.fault {
	case "hands out a frame twice":
		out[1].Frame = out[0].Frame
	case "hands out a frame that doesn't exist":
		out[0].Frame = uint32(p.arena.Frames())
	case "receives out of order":
		out[0], out[1] = out[1], out[0]
	case "loses a frame's content":
		clear(p.arena.Bytes(out[0])[60:])
	case "cuts a frame short":
		out[1].Len--
	case "receives without headroom":
		out[0].Off = 0
	case "loses a received frame":
		return n - 1
	}
	return n
}

func (p *faulty) Refill(free *engine.Frames) {
	if p.fault == "forgets a frame it was offered" {
		free.Pop()
	}
	p.Port.Refill(free)
}

func (p *faulty) Reclaim(free *engine.Frames) {
	p.Port.Reclaim(free)
	if p.fault == "reclaims what it doesn't own" {
		free.Push(0)
		free.Push(0)
	}
}

func (p *faulty) Transmit(segs []engine.Segment) int {
	n := p.Port.Transmit(segs)
	if p.fault == "takes more than it says" && n > 0 {
		n--
	}
	return n
}

func (p *faulty) Close(free *engine.Frames) error {
	err := p.Port.Close(free)
	if p.fault == "keeps a frame at the end" {
		free.Pop()
	}
	return err
}

// A kit that lets faults pass is worth nothing: each must fail the test, and a
// port without one must not.
func TestKitFindsFaults(t *testing.T) {
	for _, fault := range []string{
		"",
		"hands out a frame twice",
		"hands out a frame that doesn't exist",
		"receives out of order",
		"loses a frame's content",
		"cuts a frame short",
		"receives without headroom",
		"loses a received frame",
		"forgets a frame it was offered",
		"reclaims what it doesn't own",
		"takes more than it says",
		"keeps a frame at the end",
	} {
		arenas := [2]*engine.Arena{newArena(t), newArena(t)}
		pa, pb, err := memport.Pair(arenas[0], arenas[1], memport.Config{Size: 32})
		if err != nil {
			t.Fatal(err)
		}
		r := new(recorder)
		a := newUser(r, "a", Side{Arena: arenas[0], Port: pa})
		b := newUser(r, "b", Side{Arena: arenas[1], Port: &faulty{Port: pb, arena: arenas[1], fault: fault}})
		exercise(a, b)
		if failed := fault != ""; r.failed != failed {
			t.Errorf("port that %q: failed %v, want %v", fault, r.failed, failed)
		}
	}
}

func newArena(t *testing.T) *engine.Arena {
	t.Helper()
	a, err := engine.NewArena(64, 2048)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := a.Close(); err != nil {
			t.Error(err)
		}
	})
	return a
}

// exercise sends a few frames both ways and closes.
func exercise(a, b *user) {
	for range 3 {
		a.refill(8)
		b.refill(8)
		a.transmit(4)
		b.transmit(4)
		a.flush()
		b.flush()
		a.receive(8)
		b.receive(8)
		a.reclaim()
		b.reclaim()
	}
	a.close()
	b.close()
}
