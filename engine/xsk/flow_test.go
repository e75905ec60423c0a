package xsk

import (
	"math/rand/v2"
	"testing"
	"time"
	"unsafe"

	"github.com/cilium/ebpf/link"
	"github.com/vishvananda/netlink"

	"appliance/engine"
	"appliance/internal/privtest"
)

// TestForwardWithoutCopy sends what one socket received through another one:
// another queue of the same interface, and another interface in another mode of
// attachment. The bytes must leave from where they arrived.
func TestForwardWithoutCopy(t *testing.T) {
	c := newCable(t, 2, link.XDPDriverMode)
	in := c.open(t, "left", Config{Queue: 0})
	out := c.open(t, "left", Config{Queue: 1})
	far := []*Socket{c.open(t, "right", Config{Queue: 0}), c.open(t, "right", Config{Queue: 1})}

	_, fourth := privtest.Veth(t, "third", "fourth", 1)
	across, err := Open(c.arena, Config{Interface: "third"})
	if err != nil {
		t.Fatal(err)
	}
	defer across.Close(c.free)
	sink, err := Open(c.arena, Config{Interface: "fourth", RxRing: 512})
	if err != nil {
		t.Fatal(err)
	}
	defer sink.Close(c.free)
	sink.Refill(c.free)
	sinkMap := privtest.RedirectAll(t, fourth, 1, link.XDPGenericMode)
	if err := sinkMap.Put(uint32(0), uint32(sink.FD())); err != nil {
		t.Fatal(err)
	}

	forward := func(to, sees *Socket, first uint32) {
		t.Helper()
		const packets = 32
		c.send(t, far[0], first, packets, 200)
		got := c.receive(t, in, packets)
		address := unsafe.Pointer(&c.arena.Bytes(got[0])[0])
		if to.Transmit(got) != packets {
			t.Fatal("Transmit took too few")
		}
		if sent := unsafe.Pointer(&c.arena.Memory()[to.tx.at(to.tx.next-packets).Addr]); sent != address {
			t.Errorf("received at %p, sent from %p", address, sent)
		}
		for to.Held().Transmit > 0 {
			to.Flush()
			to.Reclaim(c.free)
		}
		arrived := c.receive(t, sees, packets)
		for i, seg := range arrived {
			if c.number(seg) != first+uint32(i) {
				t.Errorf("packet %d arrived as %d", first+uint32(i), c.number(seg))
			}
		}
		c.drop(arrived)
	}
	for round := range uint32(5) {
		forward(out, far[1], round*1000)
		forward(across, sink, round*1000+500)
	}
}

// TestConservation drives two sockets by random steps, and compares the ledger
// after each: free, held by either socket, and in our hands must be all frames.
func TestConservation(t *testing.T) {
	for name, mode := range modes {
		t.Run(name, func(t *testing.T) {
			c := newCable(t, 1, mode)
			cfg := Config{RxRing: 64, TxRing: 64, Fill: 64, Completion: 128}
			sockets := []*Socket{c.open(t, "left", cfg), c.open(t, "right", cfg)}
			seed := rand.Uint64()
			random := rand.New(rand.NewPCG(seed, 0))
			var ours []engine.Segment // received, or taken and not yet sent
			batch := make([]engine.Segment, 100)
			for step := range 20000 {
				s := sockets[random.IntN(2)]
				switch random.IntN(8) {
				case 0, 1:
					n := s.Receive(batch[:random.IntN(len(batch))])
					ours = append(ours, batch[:n]...)
				case 2, 3:
					n := s.Transmit(ours[:random.IntN(len(ours)+1)])
					ours = append(ours[:0], ours[n:]...)
				case 4:
					s.Flush()
				case 5:
					s.Reclaim(c.free)
				case 6:
					s.Refill(c.free)
				case 7:
					if len(ours) < 200 {
						ours = append(ours, c.frame(t, uint32(step), 60+random.IntN(1000)))
					} else {
						c.drop(ours)
						ours = ours[:0]
					}
				}
				held := len(ours) + c.free.Len()
				for _, s := range sockets {
					held += s.Held().Fill + s.Held().Transmit
				}
				if held != c.arena.Frames() {
					t.Fatalf("seed %d, step %d: %d frames of %d", seed, step, held, c.arena.Frames())
				}
			}
			c.drop(ours)
			for _, s := range sockets {
				checkLaw(t, s)
				if got := s.Stats(); got.RxPackets == 0 || got.BadDescriptors+got.TxErrors+got.TxInvalid != 0 {
					t.Errorf("seed %d: %+v", seed, got)
				}
			}
		})
	}
}

// TestOversize sends frames that a chunk holds and one that it doesn't.
func TestOversize(t *testing.T) {
	for name, mode := range modes {
		t.Run(name, func(t *testing.T) {
			c := newCable(t, 1, mode)
			for _, l := range []netlink.Link{c.left, c.right} {
				if err := netlink.LinkSetMTU(l, 3000); err != nil {
					t.Fatal(err)
				}
			}
			right := c.open(t, "right", Config{})
			// Frames of 2048 bytes can't carry what is to be sent, so an
			// arena of larger ones is at the other end.
			big, err := engine.NewArena(512, 4096)
			if err != nil {
				t.Fatal(err)
			}
			defer big.Close()
			left, err := Open(big, Config{Interface: "left", RxRing: 64, TxRing: 64})
			if err != nil {
				t.Fatal(err)
			}
			free := allFrames(big)
			defer left.Close(free)
			for _, length := range []uint16{1792, 1793, 2500, 1000} {
				frame, _ := free.Pop()
				seg := engine.Segment{Frame: frame, Off: engine.Headroom, Len: length}
				copy(big.Bytes(seg), "\x02\x00\x00\x00\x00\x02\x02\x00\x00\x00\x00\x01\x88\xb5")
				left.Transmit([]engine.Segment{seg})
				left.Flush()
				left.Reclaim(free)
			}
			got := c.receive(t, right, 2)
			if got[0].Len != 1792 || got[1].Len != 1000 {
				t.Errorf("received %+v", got)
			}
			c.drop(got)
			if stats := right.Stats(); stats.RxDropped != 2 {
				t.Errorf("2 frames are larger than a chunk: %+v", stats)
			}
		})
	}
}

// TestOverload sends more than is read: the kernel counts what it drops, and
// all is well afterwards.
func TestOverload(t *testing.T) {
	c := newCable(t, 1, link.XDPDriverMode)
	left := c.open(t, "left", Config{})
	full := c.open(t, "right", Config{RxRing: 64, Fill: 128})
	const packets = 500
	for sent := uint32(0); sent < packets; sent += 50 {
		c.send(t, left, sent, 50, 60)
		// veth itself queues 256 and drops silently: wait until it is empty.
		want := max(sent+50, 64) - 64
		for end := time.Now().Add(time.Second); ; {
			stats := full.Stats()
			if stats.RxRingFull+stats.RxDropped == uint64(want) {
				break
			}
			if time.Now().After(end) {
				t.Fatalf("%d packets into a ring of 64: %+v", sent+50, stats)
			}
		}
	}
	for i, seg := range c.receive(t, full, 64) {
		if c.number(seg) != uint32(i) {
			t.Errorf("packet %d has number %d: the first ones must have got in", i, c.number(seg))
		}
		c.free.Push(seg.Frame)
	}
	c.send(t, left, packets, 50, 60)
	c.drop(c.receive(t, full, 50))
}

// TestFillEmpty receives without frames to receive into.
func TestFillEmpty(t *testing.T) {
	c := newCable(t, 1, link.XDPDriverMode)
	left := c.open(t, "left", Config{})
	starved, err := Open(c.arena, Config{Interface: "right"})
	if err != nil {
		t.Fatal(err)
	}
	defer starved.Close(c.free)
	if err := c.farMap.Put(uint32(0), uint32(starved.FD())); err != nil {
		t.Fatal(err)
	}
	c.send(t, left, 0, 10, 60)
	for end := time.Now().Add(time.Second); starved.Stats().FillEmpty == 0; {
		if time.Now().After(end) {
			t.Fatalf("not counted: %+v", starved.Stats())
		}
	}
	starved.Refill(c.free)
	c.send(t, left, 10, 10, 60)
	got := c.receive(t, starved, 10)
	if c.number(got[0]) != 10 {
		t.Errorf("first packet after the refill: %d", c.number(got[0]))
	}
	c.drop(got)
}

// TestBudget flushes a full tx ring: a handful of system calls, whatever the
// kernel's budget a call is.
func TestBudget(t *testing.T) {
	for _, budget := range []int{32, 256, 2048} {
		c := newCable(t, 1, link.XDPDriverMode)
		left := c.open(t, "left", Config{TxBudget: budget})
		segs := make([]engine.Segment, DefaultRing)
		for i := range segs {
			segs[i] = c.frame(t, uint32(i), 60)
		}
		if n := left.Transmit(segs); n != len(segs) {
			t.Fatalf("Transmit() = %d", n)
		}
		left.Flush()
		if left.tx.backlog() != 0 {
			t.Errorf("budget %d: %d frames left after a Flush", budget, left.tx.backlog())
		}
		kicks := left.Stats().Kicks
		t.Logf("budget %d: %d system calls for %d frames", budget, kicks, len(segs))
		if kicks > DefaultRing/32+1 {
			t.Errorf("budget %d: %d system calls", budget, kicks)
		}
		left.Reclaim(c.free)
		if left.Held().Transmit != 0 {
			t.Errorf("%d frames did not complete", left.Held().Transmit)
		}
		left.Close(c.free)
	}
}

// TestBusyPoll moves traffic with preferred busy polling set.
func TestBusyPoll(t *testing.T) {
	c := newCable(t, 1, link.XDPDriverMode)
	left, right := c.open(t, "left", Config{BusyPoll: true}), c.open(t, "right", Config{BusyPoll: true})
	c.send(t, left, 0, 50, 60)
	c.drop(c.receive(t, right, 50))
	c.send(t, right, 0, 50, 60)
	c.drop(c.receive(t, left, 50))
}
