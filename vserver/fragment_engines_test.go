package vserver

import (
	"context"
	"fmt"
	"testing"
	"time"

	"appliance/engine"
	"appliance/engine/memport"
	"appliance/engine/packet"
	pt "appliance/engine/packet/packettest"
	"appliance/rss"
)

// A rack is running engines with virtual servers, between taps.
type rack struct {
	t      *testing.T
	group  *engine.Group
	frames int
	taps   [][2]*memport.Tap // by engine and side
}

func newRack(t *testing.T, cfg Config, engines int) *rack {
	t.Helper()
	const frames = 4096
	n := newNode(t, cfg) // for its Services
	arena, err := engine.NewArena(frames, 2048)
	if err != nil {
		t.Fatal(err)
	}
	var handlers []engine.Handler
	for i := range engines {
		h, err := NewHandler(HandlerConfig{Arena: arena, Engine: i, Engines: engines, Capacity: testCapacity, Seed: 1})
		if err != nil {
			t.Fatal(err)
		}
		handlers = append(handlers, h)
	}
	config := engine.DefaultConfig()
	config.Engines = engines
	g, err := engine.NewGroup(arena, config, handlers)
	if err != nil {
		t.Fatal(err)
	}
	s := n.snapshot
	if s.Cores, err = rss.NewCoreTable(engines); err != nil {
		t.Fatal(err)
	}
	g.Publish(&s)
	if err := g.Start(); err != nil {
		t.Fatal(err)
	}
	r := &rack{t: t, group: g, frames: frames}
	for _, e := range g.Engines() {
		var taps [2]*memport.Tap
		for side := range taps {
			var port *memport.Port
			if port, taps[side], err = memport.NewTap(arena, memport.Config{Size: 256}); err != nil {
				t.Fatal(err)
			}
			if err := e.AddPort(t.Context(), side, port); err != nil {
				t.Fatal(err)
			}
		}
		r.taps = append(r.taps, taps)
	}
	t.Cleanup(func() {
		if err := g.Close(); err != nil { // which counts the frames
			t.Error(err)
		}
		for _, h := range handlers {
			if err := h.(*Handler).Close(); err != nil {
				t.Error(err)
			}
		}
		if err := arena.Close(); err != nil {
			t.Error(err)
		}
	})
	return r
}

// until collects what leaves to the servers until enough says so, and fails the
// test when a frame is missing meanwhile, or after a long time.
func (r *rack) until(what string, enough func(sent [][]byte) bool) (sent [][]byte) {
	r.t.Helper()
	for end := time.Now().Add(20 * time.Second); ; {
		for _, taps := range r.taps {
			sent = append(sent, taps[serverSide].Collect()...)
		}
		if l := r.ledger(); l.Sum() != r.frames {
			r.t.Fatalf("ledger %+v accounts for %d of %d frames", l, l.Sum(), r.frames)
		}
		if enough(sent) {
			return sent
		}
		if time.Now().After(end) {
			r.t.Fatalf("timed out waiting until %s: %d frames left, dropped %v", what, len(sent), r.dropped())
		}
		time.Sleep(time.Millisecond)
	}
}

func (r *rack) ledger() engine.Ledger {
	l, err := r.group.Ledger(r.t.Context())
	if err != nil {
		r.t.Fatal(err)
	}
	return l
}

// dropped adds up the engines' drops.
func (r *rack) dropped() map[packet.Reason]uint64 {
	all := map[packet.Reason]uint64{}
	for _, e := range r.group.Engines() {
		c, err := e.Counters(context.Background())
		if err != nil {
			r.t.Fatal(err)
		}
		for why, n := range c.Dropped {
			if n > 0 {
				all[packet.Reason(why)] += n
			}
		}
	}
	return all
}

// Datagrams whose pieces come backwards, each at another engine, leave whole; and
// what engines hold meanwhile, and give up in the end, is in the frame ledger.
func TestFragmentsUnderEngines(t *testing.T) {
	for _, mode := range []Mode{NAT, DSR} {
		t.Run(mode.String(), func(t *testing.T) {
			const engines, datagrams, pieces = 3, 60, 9
			r := newRack(t, testConfig(mode, Maglev, 3), engines)
			var frames [][]byte
			for i := range datagrams {
				p := paths[1+i%2*2].from(i)
				var at []int
				for cut := 1; cut < pieces; cut++ {
					at = append(at, cut*1200)
				}
				cut := pt.Cut(p.open(pt.PayloadSize(pieces*1200-100+i)), uint32(i), at...)
				for at := range cut {
					frames = append(frames, cut[len(cut)-1-at])
				}
			}
			for i, f := range frames {
				for r.taps[i%engines][clientSide].Inject(f) == 0 {
					time.Sleep(time.Millisecond)
				}
			}
			sent := r.until("all pieces have left", func(sent [][]byte) bool { return len(sent) == len(frames) })
			groups := map[string][][]byte{}
			for _, f := range sent {
				key := fmt.Sprint(idOf(f), f[14]>>4)
				groups[key] = append(groups[key], f)
			}
			if mode == DSR && len(groups) != datagrams {
				t.Errorf("%d datagrams left, want %d", len(groups), datagrams)
			}
			joined := 0
			for _, g := range byReceiver(groups) {
				whole, err := pt.Join(g)
				if err != nil {
					t.Fatal(err)
				}
				pt.Check(t, whole)
				joined++
			}
			if joined != datagrams {
				t.Errorf("%d datagrams left whole, want %d", joined, datagrams)
			}
			r.orphans(frames[:3*pieces])
		})
	}
}

// byReceiver takes groups apart by receiver: what has one identification may be
// for several.
func byReceiver(groups map[string][][]byte) map[string][][]byte {
	apart := map[string][][]byte{}
	for key, frames := range groups {
		for _, f := range frames {
			key := fmt.Sprint(key, f[:6], f[14+12:14+20]) // IPv4 addresses; of IPv6, some bytes of both
			if f[14]>>4 == 6 {
				key = fmt.Sprint(key, f[14+8:14+40])
			}
			apart[key] = append(apart[key], f)
		}
	}
	return apart
}

// orphans sends datagrams, of which frames are the pieces, again under other
// identifications and without their first pieces.
func (r *rack) orphans(frames [][]byte) {
	r.t.Helper()
	n := uint64(0)
	for _, f := range frames {
		var info packet.Info
		packet.Parse(f, &info)
		if info.Flags&packet.FlagLater != 0 {
			packet.SetFragmentID(f, &info, 60_000)
			r.taps[0][clientSide].Inject(f)
			n++
		}
	}
	held := 0
	r.until("the orphans are dropped", func([][]byte) bool {
		held = max(held, r.ledger().Held)
		d := r.dropped()
		return d[packet.FragmentOrphan]+d[packet.FragmentOverlap] == n
	})
	if l := r.ledger(); held == 0 || l.Held != 0 {
		r.t.Errorf("%d frames were held at a time, %d are", held, l.Held)
	}
}
