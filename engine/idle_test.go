package engine

import (
	"testing"
	"time"
)

// stuckPort is one whose driver takes nothing.
type stuckPort struct {
	*fakePort
	flushes int
}

func (p *stuckPort) Flush() { p.flushes++ }

func (p *stuckPort) Pending() bool { return len(p.tx) > 0 }

func (p *stuckPort) Reclaim(*Frames) {}

// Frames that a driver doesn't take cost no processor: an engine with nothing
// else to do tries again every millisecond.
func TestStuckTransmissionDoesNotSpin(t *testing.T) {
	g := bareGroup(t, DefaultConfig(), 64, newEcho)
	e := g.engines[0]
	p := &stuckPort{fakePort: newFakePort(g.arena)}
	e.addPort(0, p)
	p.inject(udpFrame(1))
	if err := g.Start(); err != nil {
		t.Fatal(err)
	}
	until(t, "the packet waits to leave", func() bool { return len(p.sentFrames()) == 1 })
	time.Sleep(100 * time.Millisecond)
	flushes := func() (n int) {
		if err := e.Call(t.Context(), func() { n = p.flushes }); err != nil {
			t.Fatal(err)
		}
		return n
	}
	flushed, passed := flushes(), e.Passes()
	time.Sleep(100 * time.Millisecond)
	if flushes() == flushed {
		t.Error("the port was not tried again")
	}
	if n := e.Passes() - passed; n > 100+4*spins {
		t.Errorf("%d passes in 100 ms", n)
	}
	if err := e.Call(t.Context(), func() { p.fakePort.Reclaim(e.free) }); err != nil {
		t.Fatal(err)
	}
}
