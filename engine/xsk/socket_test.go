package xsk

import (
	"testing"

	"golang.org/x/sys/unix"

	"appliance/engine"
)

const (
	testFrames = 256
	testRing   = 64
)

// fakeSocket returns a Socket over rings in ordinary memory, without a kernel,
// and the arena's free frames.
func fakeSocket(t testing.TB) (*Socket, *engine.Frames) {
	t.Helper()
	arena := newArena(t, testFrames)
	cfg := Config{Interface: "fake0", RxRing: testRing, TxRing: testRing, Fill: testRing, Completion: testRing}.withDefaults()
	s := newSocket(arena, cfg)
	s.rx.ring, s.tx.ring = newRing[unix.XDPDesc](testRing, 0), newRing[unix.XDPDesc](testRing, 0)
	s.fill.ring, s.comp.ring = newRing[uint64](testRing, 0), newRing[uint64](testRing, 0)
	return s, allFrames(arena)
}

// newArena returns an arena that ends with the test.
func newArena(t testing.TB, frames int) *engine.Arena {
	t.Helper()
	arena, err := engine.NewArena(frames, 2048)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { arena.Close() })
	return arena
}

// allFrames returns a stack with every frame of the arena.
func allFrames(arena *engine.Arena) *engine.Frames {
	free := engine.NewFrames(arena.Frames())
	for frame := range arena.Frames() {
		free.Push(uint32(frame))
	}
	return free
}

// deliver plays the kernel: it puts descriptors into the rx ring.
func deliver(s *Socket, descs ...unix.XDPDesc) {
	for _, d := range descs {
		*s.rx.at(s.rx.produced.Load()) = d
		s.rx.produced.Add(1)
	}
}

// complete plays the kernel: it puts addresses into the completion ring.
func complete(s *Socket, addrs ...uint64) {
	for _, a := range addrs {
		*s.comp.at(s.comp.produced.Load()) = a
		s.comp.produced.Add(1)
	}
}

// checkLaw fails the test unless the ownership law holds.
func checkLaw(t testing.TB, s *Socket) {
	t.Helper()
	var held engine.Held
	for _, o := range s.owner {
		switch o {
		case posted:
			held.Fill++
		case outgoing:
			held.Transmit++
		}
	}
	if held != s.Held() {
		t.Fatalf("Held() = %+v, but the ownership bytes say %+v", s.Held(), held)
	}
}

func TestReceiveBelievesNoDescriptor(t *testing.T) {
	s, free := fakeSocket(t)
	s.Refill(free)
	mine := uint64(s.fill.slots[0]) // an address that was posted
	for _, c := range []struct {
		name string
		desc unix.XDPDesc
		ok   bool
	}{
		{"behind the arena", unix.XDPDesc{Addr: testFrames << 11, Len: 60}, false},
		{"far behind the arena", unix.XDPDesc{Addr: 1<<64 - 1, Len: 60}, false},
		{"frame that is free", unix.XDPDesc{Addr: 0, Len: 60}, false},
		{"longer than the frame", unix.XDPDesc{Addr: mine + 256, Len: 1793}, false},
		{"length that overflows", unix.XDPDesc{Addr: mine + 256, Len: 1<<32 - 1}, false},
		{"good", unix.XDPDesc{Addr: mine + 256, Len: 1792}, true},
		{"the same again", unix.XDPDesc{Addr: mine + 256, Len: 1792}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			bad := s.count.badDescriptors.Load()
			held := s.Held().Fill
			deliver(s, c.desc)
			var out [4]engine.Segment
			n := s.Receive(out[:])
			if got := n == 1; got != c.ok {
				t.Fatalf("Receive() = %d", n)
			}
			if c.ok {
				if want := (engine.Segment{Frame: uint32(mine >> 11), Off: 256, Len: 1792}); out[0] != want {
					t.Errorf("received %+v, want %+v", out[0], want)
				}
				held--
			} else {
				bad++
			}
			if got := s.count.badDescriptors.Load(); got != bad {
				t.Errorf("BadDescriptors = %d, want %d", got, bad)
			}
			if s.Held().Fill != held {
				t.Errorf("holds %d, want %d", s.Held().Fill, held)
			}
			checkLaw(t, s)
		})
	}
}

func TestReclaimBelievesNoAddress(t *testing.T) {
	s, free := fakeSocket(t)
	s.Refill(free)
	frame, _ := free.Pop()
	if n := s.Transmit([]engine.Segment{{Frame: frame, Off: 256, Len: 60}}); n != 1 {
		t.Fatalf("Transmit() = %d", n)
	}
	before := free.Len()
	complete(s, testFrames<<11, 1<<64-1, 0, s.fill.slots[0])
	s.Reclaim(free)
	if free.Len() != before || s.count.badDescriptors.Load() != 4 {
		t.Errorf("4 false addresses: %d frames came free, %d counted bad", free.Len()-before, s.count.badDescriptors.Load())
	}
	complete(s, uint64(frame)<<11+256, uint64(frame)<<11+256)
	s.Reclaim(free)
	if free.Len() != before+1 || s.count.badDescriptors.Load() != 5 {
		t.Errorf("a good address twice: %d frames came free, %d counted bad", free.Len()-before, s.count.badDescriptors.Load())
	}
	checkLaw(t, s)
}

func TestTransmitRefusesWhatCannotBeSent(t *testing.T) {
	s, free := fakeSocket(t)
	s.Refill(free)
	frame, _ := free.Pop()
	foreign := uint32(s.fill.slots[0] >> 11)
	for _, c := range []struct {
		name  string
		seg   engine.Segment
		yours bool // the frame comes back through Reclaim
	}{
		{"too short", engine.Segment{Frame: frame, Off: 256, Len: 13}, true},
		{"beyond the frame", engine.Segment{Frame: frame, Off: 1000, Len: 1049}, true},
		{"posted by this socket", engine.Segment{Frame: foreign, Off: 256, Len: 60}, false},
		{"beyond the arena", engine.Segment{Frame: testFrames, Off: 256, Len: 60}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			errs, before := s.count.txErrors.Load(), free.Len()
			if n := s.Transmit([]engine.Segment{c.seg}); n != 1 {
				t.Fatalf("Transmit() = %d, want 1: it takes what it cannot send", n)
			}
			checkLaw(t, s)
			if s.Pending() {
				t.Error("Pending() with nothing queued")
			}
			s.Reclaim(free)
			if got := free.Len() == before+1; got != c.yours {
				t.Errorf("%d frames came back", free.Len()-before)
			}
			if got := s.count.txErrors.Load(); got != errs+1 {
				t.Errorf("TxErrors rose by %d", got-errs)
			}
			checkLaw(t, s)
		})
	}
}

// TestTransmitBounds fills both the tx ring and the bound on outgoing frames.
func TestTransmitBounds(t *testing.T) {
	s, free := fakeSocket(t)
	segs := make([]engine.Segment, 2*testRing)
	for i := range segs {
		frame, _ := free.Pop()
		segs[i] = engine.Segment{Frame: frame, Off: 256, Len: 60}
	}
	if n := s.Transmit(segs); n != testRing {
		t.Fatalf("Transmit of %d frames took %d, want the ring's %d", len(segs), n, testRing)
	}
	if !s.Pending() {
		t.Error("not Pending() with a full ring")
	}
	s.tx.consumed.Store(testRing) // the kernel took them, none has completed
	if s.Pending() {
		t.Error("Pending() with all frames taken")
	}
	if n := s.Transmit(segs[testRing:]); n != 0 {
		t.Errorf("Transmit took %d frames more than the completion ring has room for", n)
	}
	complete(s, s.tx.slots[0].Addr)
	s.Reclaim(free)
	if n := s.Transmit(segs[testRing:]); n != 1 {
		t.Errorf("Transmit took %d frames after one completed", n)
	}
	checkLaw(t, s)
}

func TestRefillBounds(t *testing.T) {
	s, free := fakeSocket(t)
	s.Refill(free)
	s.Refill(free)
	if got := s.Held().Fill; got != testRing || free.Len() != testFrames-testRing {
		t.Fatalf("posted %d, %d left free", got, free.Len())
	}
	s.fill.consumed.Store(testRing) // all are in the rx ring now
	s.Refill(free)
	if got := s.Held().Fill; got != testRing {
		t.Errorf("posted %d, more than Config.Fill", got)
	}
	few := engine.NewFrames(1)
	deliver(s, unix.XDPDesc{Addr: s.fill.slots[0] + 256, Len: 60}, unix.XDPDesc{Addr: s.fill.slots[1] + 256, Len: 60})
	var out [2]engine.Segment
	if n := s.Receive(out[:]); n != 2 {
		t.Fatalf("Receive() = %d", n)
	}
	few.Push(out[0].Frame)
	s.Refill(few)
	if got := s.Held().Fill; got != testRing-1 || few.Len() != 0 {
		t.Errorf("posted %d of the one free frame, %d left", got, few.Len())
	}
	checkLaw(t, s)
}

// TestNeedWakeup plays a zero-copy driver that sleeps and wakes up: it is called
// exactly when it sleeps and has something to do.
func TestNeedWakeup(t *testing.T) {
	s, free := fakeSocket(t)
	s.zeroCopy = true
	kicks := func(what string, want uint64, f func()) {
		t.Helper()
		before := s.count.kick.Load()
		f()
		if got := s.count.kick.Load() - before; got != want {
			t.Errorf("%s: %d system calls, want %d", what, got, want)
		}
	}
	none := engine.NewFrames(0)
	sleep, wake := uint32(unix.XDP_RING_NEED_WAKEUP), uint32(0)

	s.fill.flags.Store(sleep)
	kicks("asleep, nothing posted", 0, func() { s.Refill(none) })
	kicks("asleep, posted", 1, func() { s.Refill(free) })
	kicks("fell asleep after the post", 1, func() { s.Refill(none) })
	s.fill.flags.Store(wake)
	kicks("awake, posted", 0, func() { s.Refill(none) })

	s.tx.flags.Store(sleep)
	kicks("asleep, nothing queued", 0, s.Flush)
	frame, _ := free.Pop()
	s.Transmit([]engine.Segment{{Frame: frame, Off: 256, Len: 60}})
	kicks("asleep, queued", 1, s.Flush)
	s.stalled = false
	s.tx.flags.Store(wake)
	kicks("awake, queued", 0, s.Flush)
	if !s.Pending() {
		t.Error("not Pending() before the driver took the frame")
	}
}

func TestJudge(t *testing.T) {
	for _, c := range []struct {
		errno    unix.Errno
		moved    bool
		zeroCopy bool
		want     nextStep
	}{
		{0, true, false, done},
		{0, false, false, waitForTraffic}, // the queue ceased to exist
		{0, false, true, done},
		{unix.EAGAIN, true, false, again},
		{unix.EAGAIN, false, false, later},
		{unix.EBUSY, false, false, again},
		{unix.EINTR, false, false, again},
		{unix.ENOBUFS, false, false, later},
		{unix.ENETDOWN, false, false, waitForTraffic},
		{unix.ENXIO, false, false, waitForTraffic},
		{unix.EMSGSIZE, false, false, waitForTraffic},
		{unix.EINVAL, false, false, waitForTraffic},
	} {
		s, _ := fakeSocket(t)
		s.zeroCopy = c.zeroCopy
		if got := s.judge(c.errno, c.moved); got != c.want {
			t.Errorf("judge(%v, moved %v, zero-copy %v) = %d, want %d", c.errno, c.moved, c.zeroCopy, got, c.want)
		}
		if s.gone != (c.errno == unix.ENXIO) {
			t.Errorf("%v: gone = %v", c.errno, s.gone)
		}
		dropped := c.errno == unix.EBUSY || c.errno == unix.EMSGSIZE || c.errno == unix.EINVAL
		if got := s.count.txErrors.Load() == 1; got != dropped {
			t.Errorf("%v: counted in TxErrors: %v", c.errno, got)
		}
	}
}

// TestNoAllocs runs a batch through all methods of the hot path.
func TestNoAllocs(t *testing.T) {
	s, free := fakeSocket(t)
	out := make([]engine.Segment, testRing)
	allocs := testing.AllocsPerRun(100, func() {
		s.Refill(free)
		for s.fill.consumed.Load() != s.fill.produced.Load() {
			deliver(s, unix.XDPDesc{Addr: *s.fill.at(s.fill.consumed.Load()) + 256, Len: 60})
			s.fill.consumed.Add(1)
		}
		n := s.Transmit(out[:s.Receive(out)])
		for range n {
			complete(s, s.tx.at(s.tx.consumed.Load()).Addr)
			s.tx.consumed.Add(1)
		}
		s.Flush()
		s.Reclaim(free)
	})
	if allocs != 0 {
		t.Errorf("a batch allocates %v times", allocs)
	}
	checkLaw(t, s)
	if free.Len() != testFrames-s.Held().Fill {
		t.Errorf("%d frames are free, %d posted, of %d", free.Len(), s.Held().Fill, testFrames)
	}
}
