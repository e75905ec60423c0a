package engine

import (
	"bytes"
	"context"
	"errors"
	"testing"
	"time"

	"appliance/engine/packet"
)

func newEcho() Handler { return &echo{} }

// until waits for cond, at most ten seconds.
func until(t *testing.T, what string, cond func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !cond(); {
		if time.Now().After(end) {
			t.Fatalf("timed out waiting until %s", what)
		}
		time.Sleep(time.Millisecond)
	}
}

func TestPassMovesPackets(t *testing.T) {
	g, ports := newTestGroup(t, 1, 256, newEcho)
	e := g.engines[0]
	want := [][]byte{udpFrame(1), udpFrame(2), udpFrame(3)}
	ports[0][0].inject(want[0], want[1])
	ports[0][1].inject(want[2])
	for e.pass() {
	}
	got := append(ports[0][0].sentFrames(), ports[0][1].sentFrames()...)
	if len(got) != 3 {
		t.Fatalf("sent %d packets, want 3", len(got))
	}
	for i := range want {
		if !bytes.Equal(got[i], want[i]) {
			t.Errorf("packet %d changed on its way", i)
		}
	}
	c := e.counters
	if c.RxPackets != 3 || c.Owned != 3 || c.TxPackets != 3 || c.Drops() != 0 {
		t.Errorf("counters %+v, want 3 received, owned, sent", c)
	}
	if l := g.ledger(); l.Sum() != 256 {
		t.Errorf("ledger %+v accounts for %d of 256 frames", l, l.Sum())
	}
}

func TestPassDrops(t *testing.T) {
	truncated := udpFrame(1)[:20]
	cases := []struct {
		name   string
		frame  []byte
		mangle func(*Group, *fakePort)
		want   packet.Reason
	}{
		{"malformed", truncated, func(*Group, *fakePort) {}, packet.Truncated},
		{"no snapshot", udpFrame(1), func(g *Group, _ *fakePort) { g.Publish(nil) }, packet.NotOurs},
		{"transmit ring full", udpFrame(1), func(_ *Group, p *fakePort) { p.room = 0 }, packet.TxFull},
		{"port gone between receive and transmit", udpFrame(1), func(g *Group, p *fakePort) {
			g.engines[0].lanes[0].slot = nil
		}, packet.NoPort},
		{"wrong checksum while verifying", udpFrame(1), func(g *Group, _ *fakePort) {
			s := *g.Snapshot()
			s.VerifyL4 = true
			g.Publish(&s)
		}, packet.BadL4Checksum},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			g, ports := newTestGroup(t, 1, 256, newEcho)
			c.mangle(g, ports[0][0])
			if c.want == packet.BadL4Checksum {
				c.frame[40], c.frame[41] = 1, 2 // a UDP checksum of zero means none
			}
			ports[0][0].inject(c.frame)
			for g.engines[0].pass() {
			}
			if n := dropped(&g.engines[0].counters, c.want); n != 1 {
				t.Errorf("%d packets dropped for %v, want 1; all: %v", n, c.want, g.engines[0].counters.Dropped)
			}
		})
	}
}

// Every flow reaches exactly one engine, whichever engine received it, and what
// came in goes out.
func TestHandOff(t *testing.T) {
	g, ports := newTestGroup(t, 3, 1024, newEcho)
	if err := g.Start(); err != nil {
		t.Fatal(err)
	}
	const rounds, flows = 20, 64
	for range rounds {
		for i := range ports {
			for f := range flows {
				ports[i][0].inject(udpFrame(uint16(1000 + f)))
			}
		}
	}
	count := func() (sent int, ok bool) {
		for i := range ports {
			sent += len(ports[i][0].sentFrames())
		}
		return sent, sent == rounds*flows*len(ports)
	}
	until(t, "every packet was sent", func() bool { _, ok := count(); return ok })

	owner := map[string]int{}
	for i := range ports {
		for _, f := range ports[i][0].sentFrames() {
			port := string(f[34:36])
			if was, seen := owner[port]; seen && was != i {
				t.Fatalf("flow %x was decided by engines %d and %d", port, was, i)
			}
			owner[port] = i
		}
	}
	var sum Counters
	for _, e := range g.engines {
		c, err := e.Counters(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if c.HandedOff == 0 || c.TakenOver == 0 {
			t.Errorf("engine %d handed off %d and took over %d, want some of both", e.id, c.HandedOff, c.TakenOver)
		}
		sum.HandedOff += c.HandedOff
		sum.TakenOver += c.TakenOver
	}
	if sum.HandedOff != sum.TakenOver {
		t.Errorf("%d handed off, %d taken over", sum.HandedOff, sum.TakenOver)
	}
	l, err := g.Ledger(t.Context())
	if err != nil || l.Sum() != 1024 {
		t.Errorf("ledger %+v accounts for %d of 1024 frames (%v)", l, l.Sum(), err)
	}
}

// A full hand-off ring drops and counts; nothing is lost from the ledger.
func TestHandOffFull(t *testing.T) {
	g, ports := newTestGroup(t, 2, 8192, newEcho)
	e := g.engines[0] // engine 1 never runs, so its ring fills
	for f := range 4000 {
		ports[0][0].inject(udpFrame(uint16(f + 1)))
	}
	for e.pass() {
	}
	if e.counters.HandedOff != 1024 {
		t.Errorf("%d handed off, want the ring's 1024", e.counters.HandedOff)
	}
	if dropped(&e.counters, packet.HandoffFull) == 0 {
		t.Error("nothing dropped for handoff_full")
	}
	if l := g.ledger(); l.Sum() != 8192 {
		t.Errorf("ledger %+v accounts for %d of 8192 frames", l, l.Sum())
	}
}

// An engine asleep wakes for a hand-off: the packet does not wait for the
// sleep's end.
func TestSleepingEngineWakesForHandOff(t *testing.T) {
	g, _ := newTestGroup(t, 2, 512, newEcho)
	for _, e := range g.engines { // no ports at all: sleeps last 100 ms
		if err := e.closePorts(); err != nil {
			t.Fatal(err)
		}
	}
	if err := g.Start(); err != nil {
		t.Fatal(err)
	}
	until(t, "engine 1 sleeps", func() bool { return g.engines[1].idle.asleep.Load() })
	p := newFakePort(g.arena)
	for f := range 16 {
		p.inject(udpFrame(uint16(f + 1)))
	}
	if err := g.engines[0].AddPort(t.Context(), 0, p); err != nil {
		t.Fatal(err)
	}
	until(t, "engine 1 took packets over", func() bool {
		c, err := g.engines[1].Counters(t.Context())
		return err == nil && c.TakenOver > 0
	})
}

func TestGonePortLeavesTheLoop(t *testing.T) {
	g, ports := newTestGroup(t, 1, 256, newEcho)
	e := g.engines[0]
	ports[0][0].setErr(ErrPortGone)
	e.checkPorts()
	ports[0][0].inject(udpFrame(1))
	e.pass()
	if n := len(ports[0][0].sentFrames()); n != 0 || e.counters.RxPackets != 0 {
		t.Errorf("a gone port was read (%d) or written (%d)", e.counters.RxPackets, n)
	}
	if l := g.ledger(); l.Sum() != 256 {
		t.Errorf("ledger %+v accounts for %d of 256 frames", l, l.Sum())
	}
}

func TestCall(t *testing.T) {
	g, _ := newTestGroup(t, 1, 64, newEcho)
	e := g.engines[0]
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	ran := false
	if err := e.Call(ctx, func() { ran = true }); !errors.Is(err, context.DeadlineExceeded) || ran {
		t.Fatalf("call on an engine that stands still: error %v, ran %v", err, ran)
	}
	if err := g.Start(); err != nil {
		t.Fatal(err)
	}
	if err := e.Call(t.Context(), func() { ran = true }); err != nil || !ran {
		t.Fatalf("call: error %v, ran %v", err, ran)
	}
}

// A handler that ignores its packets must not leak them.
type forgetful struct{}

func (forgetful) Decide(*Snapshot, int64, []Packet) {}
func (forgetful) Housekeep(*Snapshot, int64)        {}

func TestForgottenPacketsAreFreed(t *testing.T) {
	g, ports := newTestGroup(t, 1, 64, func() Handler { return forgetful{} })
	ports[0][0].inject(udpFrame(1), udpFrame(2))
	for g.engines[0].pass() {
	}
	if n := g.engines[0].counters.Drops(); n != 2 {
		t.Errorf("%d dropped, want 2", n)
	}
}

func TestPassDoesNotAllocate(t *testing.T) {
	g, _ := newTestGroup(t, 1, 256, newEcho)
	e := g.engines[0]
	stock := newStockPort(g.arena, udpFrame(7))
	e.addPort(0, stock)
	e.lanes[0].slot = e.slots[len(e.slots)-1]
	for range 100 {
		e.pass()
	}
	if n := testing.AllocsPerRun(1000, func() { e.pass() }); n != 0 {
		t.Errorf("a pass allocates %v times, want 0", n)
	}
	if e.counters.TxPackets == 0 {
		t.Error("no packet moved: the test measured nothing")
	}
}

// What a call has changed is looked at before the engine sleeps again: a port
// whose descriptor tells nothing of the frames that wait in it, for one.
func TestCallKeepsTheEngineAwake(t *testing.T) {
	g, _ := newTestGroup(t, 1, 64, newEcho)
	e := g.engines[0]
	e.idle.empty = spins
	ran := make(chan error)
	go func() { ran <- e.Call(context.Background(), func() {}) }()
	until(t, "the call waits", func() bool { return e.call.Load() != nil })
	if !e.pass() {
		t.Error("a pass that served a call counts as idle")
	}
	if err := <-ran; err != nil {
		t.Fatal(err)
	}
}
