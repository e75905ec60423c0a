package engine

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"
)

// slowPort takes its time to close.
type slowPort struct {
	*fakePort
	closing, goOn chan struct{}
}

func (p *slowPort) Close(free *Frames) error {
	close(p.closing)
	<-p.goOn
	return p.fakePort.Close(free)
}

// An engine moves packets while one of its ports is closed, which takes the
// kernel long, and gets the frames back afterwards.
func TestEngineRunsWhilePortCloses(t *testing.T) {
	g, ports := newTestGroup(t, 1, 256, newEcho)
	e := g.engines[0]
	slow := &slowPort{newFakePort(g.arena), make(chan struct{}), make(chan struct{})}
	e.addPort(1, slow)
	if err := g.Start(); err != nil {
		t.Fatal(err)
	}
	removed := make(chan error)
	go func() { removed <- e.RemovePort(context.Background(), slow) }()
	<-slow.closing
	ports[0][0].inject(udpFrame(1))
	until(t, "the packet was sent", func() bool { return len(ports[0][0].sentFrames()) == 1 })
	balanced(t, g)
	close(slow.goOn)
	if err := <-removed; err != nil {
		t.Error(err)
	}
	if l := balanced(t, g); l.Fill != 32 {
		t.Errorf("%d frames are posted, want the 16 of each remaining port", l.Fill)
	}
	if err := e.RemovePort(t.Context(), slow); err != nil {
		t.Errorf("a port that is not in the loop: %v", err)
	}
}

// balanced fails the test unless the ledger accounts for every frame.
func balanced(t *testing.T, g *Group) Ledger {
	t.Helper()
	l, err := g.Ledger(t.Context())
	if err != nil || l.Sum() != g.arena.Frames() {
		t.Errorf("ledger %+v accounts for %d of %d frames (%v)", l, l.Sum(), g.arena.Frames(), err)
	}
	return l
}

func TestGone(t *testing.T) {
	g, ports := newTestGroup(t, 1, 256, newEcho)
	if err := g.Start(); err != nil {
		t.Fatal(err)
	}
	e := g.engines[0]
	if gone, err := e.Gone(t.Context()); err != nil || len(gone) != 0 {
		t.Fatalf("gone: %v, %v", gone, err)
	}
	ports[0][1].setErr(ErrPortGone)
	until(t, "the engine noticed", func() bool {
		gone, err := e.Gone(t.Context())
		return err == nil && slices.Equal(gone, []Port{ports[0][1]})
	})
}

// A caller that waits without a limit doesn't make others wait longer than
// theirs, on an engine that is stuck.
func TestCallersWaitNoLongerThanTheyWant(t *testing.T) {
	g, _ := newTestGroup(t, 1, 64, newEcho) // not started: as good as stuck
	e := g.engines[0]
	endless, end := context.WithCancel(context.Background())
	first := make(chan error)
	go func() { first <- e.Call(endless, func() {}) }()
	until(t, "the first call waits", func() bool { return e.call.Load() != nil })
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	second := make(chan error)
	go func() { second <- e.Call(ctx, func() {}) }()
	select {
	case err := <-second:
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error %v, want the deadline", err)
		}
	case <-time.After(5 * time.Second):
		t.Error("the second caller waits for the first one's end")
		go func() { <-second }()
	}
	end()
	if err := <-first; !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want cancelled", err)
	}
}

// Counting frames holds no engine up, even if another one is stuck.
func TestLedgerHoldsNobodyUp(t *testing.T) {
	g, _ := newTestGroup(t, 2, 512, newEcho)
	if err := g.Start(); err != nil {
		t.Fatal(err)
	}
	begun, goOn := make(chan struct{}), make(chan struct{})
	go func() { _ = g.engines[1].Call(context.Background(), func() { close(begun); <-goOn }) }()
	<-begun
	ctx, cancel := context.WithCancel(t.Context())
	counted := make(chan error)
	go func() { _, err := g.Ledger(ctx); counted <- err }()
	for range 3 {
		if _, err := g.engines[0].Counters(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	cancel()
	if err := <-counted; !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want cancelled", err)
	}
	close(goOn)
	balanced(t, g)
}

// The ledger adds up at any moment, while packets cross between engines and
// ports come and go.
func TestLedgerUnderLoad(t *testing.T) {
	g, ports := newTestGroup(t, 3, 2048, newEcho)
	if err := g.Start(); err != nil {
		t.Fatal(err)
	}
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for f := uint16(1); ; f++ {
			select {
			case <-stop:
				return
			default:
				ports[f%3][f%2].inject(udpFrame(f), udpFrame(f*7), udpFrame(f*31))
				time.Sleep(20 * time.Microsecond)
			}
		}
	}()
	extra := newFakePort(g.arena)
	for range 50 {
		if err := g.engines[1].AddPort(t.Context(), 0, extra); err != nil {
			t.Fatal(err)
		}
		balanced(t, g)
		if err := g.engines[1].RemovePort(t.Context(), extra); err != nil {
			t.Fatal(err)
		}
		balanced(t, g)
	}
	close(stop)
	<-stopped
}
