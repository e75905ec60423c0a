package engine

import (
	"testing"

	"appliance/engine/packet"
)

// A keeper holds every packet until it is told to let go, then sends it back.
type keeper struct {
	echo
	kept    []Packet
	letGo   int // how many may go
	decided int
}

func (h *keeper) Decide(s *Snapshot, now int64, batch []Packet) {
	h.decided += len(batch)
	for i := range batch {
		if batch[i].Reason == packet.Silent { // its mark of what it has held
			h.echo.Decide(s, now, batch[i:i+1])
			continue
		}
		batch[i].Verdict, batch[i].Reason = Hold, packet.Silent
		h.kept = append(h.kept, batch[i])
	}
}

func (h *keeper) Release(out []Packet) int {
	n := copy(out, h.kept[:min(h.letGo, len(h.kept))])
	h.kept, h.letGo = h.kept[n:], h.letGo-n
	return n
}

func (h *keeper) Held() int { return len(h.kept) }

// What a Handler holds is in the ledger at every moment, and leaves when it is
// let go, in order.
func TestHold(t *testing.T) {
	h := new(keeper)
	g, ports := newTestGroup(t, 1, 256, func() Handler { return h })
	e := g.engines[0]
	for i := range 40 {
		ports[0][0].inject(udpFrame(uint16(i + 1)))
	}
	check := func(held, sent int) {
		t.Helper()
		for e.pass() {
		}
		if l := g.ledger(); l.Held != held || l.Sum() != 256 {
			t.Fatalf("ledger %+v accounts for %d of 256 frames, want %d held", l, l.Sum(), held)
		}
		if n := len(ports[0][0].sentFrames()); n != sent {
			t.Fatalf("%d packets sent, want %d", n, sent)
		}
	}
	check(40, 0)
	h.letGo = 1
	check(39, 1)
	h.letGo = 38
	check(1, 39) // one stays: Close must find it
	if c := e.counters; h.decided != 79 || c.Owned != 79 || c.Drops() != 0 {
		t.Errorf("%d decided, counters %+v", h.decided, c)
	}
	for i, f := range ports[0][0].sentFrames() {
		if f[35] != byte(i+1) {
			t.Fatalf("packet %d left as number %d", f[35], i+1)
		}
	}
}

// A batch that is full of what was held still has room for no more than itself.
func TestReleaseIntoASmallBatch(t *testing.T) {
	cfg := DefaultConfig()
	cfg.Batch = 1
	h := new(keeper)
	g := bareGroup(t, cfg, 64, func() Handler { return h })
	p := newFakePort(g.arena)
	g.engines[0].addPort(0, p)
	p.inject(udpFrame(1), udpFrame(2), udpFrame(3))
	h.letGo = 2
	for g.engines[0].pass() {
	}
	if n, l := len(p.sentFrames()), g.ledger(); n != 2 || l.Held != 1 || l.Sum() != 64 {
		t.Errorf("%d sent, ledger %+v", n, l)
	}
}

// A redirector sends packets of one interface on to the engine that owns hash.
type redirector struct {
	echo
	hash  uint32
	stale int // packets that came with a verdict
}

func (h *redirector) Decide(s *Snapshot, now int64, batch []Packet) {
	for i := range batch {
		if batch[i].Verdict != Drop || batch[i].Reason != packet.OK {
			h.stale++
		}
		if batch[i].Hash != h.hash {
			batch[i].Hash, batch[i].Verdict, batch[i].Reason = h.hash, Hand, packet.Silent
			continue
		}
		h.echo.Decide(s, now, batch[i:i+1])
	}
}

// A packet that is handed on leaves through the engine that it was handed to,
// and one that is handed to nobody else is dropped.
func TestHand(t *testing.T) {
	for _, c := range []struct{ hash, want uint32 }{{0, 0}, {1, 1}, {2, 2}} {
		g, ports := newTestGroup(t, 3, 1024, func() Handler { return &redirector{hash: c.hash} })
		for i := range 60 {
			ports[0][0].inject(udpFrame(uint16(i + 1)))
		}
		for range 10 {
			for _, e := range g.engines {
				e.pass()
				if l := g.ledger(); l.Sum() != 1024 {
					t.Fatalf("ledger %+v accounts for %d of 1024 frames", l, l.Sum())
				}
				for _, r := range e.out {
					if r != nil && r.next != r.tail.Load() {
						t.Fatal("a packet that was handed on waits for the next pass")
					}
				}
			}
		}
		var drops uint64
		for i, e := range g.engines {
			drops += dropped(&e.counters, packet.HandoffFull)
			if n := e.handler.(*redirector).stale; n > 0 {
				t.Errorf("%d packets came with a verdict", n)
			}
			if sent := len(ports[i][0].sentFrames()); (sent > 0) != (uint32(i) == c.want) {
				t.Errorf("engine %d sent %d packets, want all by engine %d", i, sent, c.want)
			}
		}
		if sent := len(ports[c.want][0].sentFrames()); sent+int(drops) != 60 || drops == 0 {
			t.Errorf("%d sent, %d dropped, want 60 in all: those of engine %d itself have nowhere to go", sent, drops, c.want)
		}
	}
}
