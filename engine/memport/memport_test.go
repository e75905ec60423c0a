package memport

import (
	"errors"
	"os"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"appliance/engine"
	"appliance/engine/packet/packettest"
	"appliance/engine/porttest"
)

func newArena(t testing.TB, frames, size int) *engine.Arena {
	t.Helper()
	a, err := engine.NewArena(frames, size)
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

func newPair(t testing.TB, cfg Config) (a, b porttest.Side) {
	t.Helper()
	a.Arena, b.Arena = newArena(t, 128, 2048), newArena(t, 96, 4096)
	pa, pb, err := Pair(a.Arena, b.Arena, cfg)
	if err != nil {
		t.Fatal(err)
	}
	a.Port, b.Port = pa, pb
	return a, b
}

func TestContract(t *testing.T) {
	for name, cfg := range map[string]Config{
		"back-pressure":      {Size: 32},
		"lossy":              {Size: 32, Lossy: true},
		"larger than arenas": {Size: 1024},
	} {
		t.Run(name, func(t *testing.T) {
			porttest.Run(t, func(t *testing.T) (a, b porttest.Side) { return newPair(t, cfg) })
		})
	}
}

// A hand is a port's owner that does one thing at a time.
type hand struct {
	t     testing.TB
	port  *Port
	arena *engine.Arena
	free  *engine.Frames
}

func newHand(t testing.TB, port *Port, arena *engine.Arena) *hand {
	h := &hand{t: t, port: port, arena: arena, free: engine.NewFrames(arena.Frames())}
	for f := range arena.Frames() {
		h.free.Push(uint32(f))
	}
	return h
}

// send transmits frames and returns how many were taken.
func (h *hand) send(frames ...[]byte) int {
	h.t.Helper()
	var segs []engine.Segment
	for _, data := range frames {
		f, ok := h.free.Pop()
		if !ok {
			h.t.Fatal("no free frame")
		}
		s := engine.Segment{Frame: f, Off: engine.Headroom, Len: uint16(len(data))}
		copy(h.arena.Bytes(s), data)
		segs = append(segs, s)
	}
	n := h.port.Transmit(segs)
	for _, s := range segs[n:] {
		h.free.Push(s.Frame)
	}
	h.port.Flush()
	h.port.Reclaim(h.free)
	return n
}

// receive returns copies of the frames that have come.
func (h *hand) receive() (frames [][]byte) {
	h.port.Refill(h.free)
	segs := make([]engine.Segment, 64)
	for _, s := range segs[:h.port.Receive(segs)] {
		frames = append(frames, slices.Clone(h.arena.Bytes(s)))
		h.free.Push(s.Frame)
	}
	return frames
}

func (h *hand) close() {
	h.t.Helper()
	if err := h.port.Close(h.free); err != nil {
		h.t.Error(err)
	}
	if h.free.Len() != h.arena.Frames() {
		h.t.Errorf("%d of %d frames came back", h.free.Len(), h.arena.Frames())
	}
}

// connected returns both ends of a new link. The test closes them.
func connected(t testing.TB, cfg Config) (a, b *hand) {
	t.Helper()
	sa, sb := newPair(t, cfg)
	return newHand(t, sa.Port.(*Port), sa.Arena), newHand(t, sb.Port.(*Port), sb.Arena)
}

func numbered(n int) (frames [][]byte) {
	for i := range n {
		frames = append(frames, packettest.UDP("192.0.2.1:1", "192.0.2.2:2", packettest.Payload([]byte{byte(i)})))
	}
	return frames
}

func equalFrames(t *testing.T, got, want [][]byte) {
	t.Helper()
	if !slices.EqualFunc(got, want, slices.Equal) {
		t.Errorf("got %d frames %x, want %d frames %x", len(got), got, len(want), want)
	}
}

func TestFullWire(t *testing.T) {
	frames := numbered(6)
	t.Run("back-pressure", func(t *testing.T) {
		a, b := connected(t, Config{Size: 4})
		if n := a.send(frames...); n != 4 {
			t.Errorf("took %d frames, want 4", n)
		}
		equalFrames(t, b.receive(), frames[:4])
		a.close()
		b.close()
	})
	t.Run("lossy", func(t *testing.T) {
		a, b := connected(t, Config{Size: 4, Lossy: true})
		if n := a.send(frames[:3]...) + a.send(frames[3:]...); n != 6 {
			t.Errorf("took %d frames, want 6", n)
		}
		equalFrames(t, b.receive(), frames[:4])
		if s := b.port.Stats(); s.RxRingFull != 2 || s.RxPackets != 4 {
			t.Errorf("want 2 frames lost and 4 received: %+v", s)
		}
		a.close()
		b.close()
	})
}

func TestFrameTooLongForPeer(t *testing.T) {
	a, b := connected(t, Config{Size: 4})
	ok := make([]byte, a.arena.MaxPacket())
	if n := b.send(make([]byte, len(ok)+1), ok); n != 2 {
		t.Errorf("took %d frames, want 2", n)
	}
	equalFrames(t, a.receive(), [][]byte{ok})
	if s := a.port.Stats(); s.RxDropped != 1 {
		t.Errorf("want 1 frame dropped: %+v", s)
	}
	a.close()
	b.close()
}

func TestLinkDown(t *testing.T) {
	frames := numbered(3)
	a, b := connected(t, Config{Size: 8})
	a.send(frames[0])
	b.port.SetDown(true)
	if n := a.send(frames[1]); n != 1 {
		t.Errorf("took %d frames while the link is down, want 1", n)
	}
	if err := a.port.Err(); err != nil {
		t.Errorf("link down is no error of a port: %v", err)
	}
	a.port.SetDown(false)
	a.send(frames[2])
	equalFrames(t, b.receive(), [][]byte{frames[0], frames[2]})
	if s := a.port.Stats(); s.TxErrors != 1 || s.TxPackets != 3 {
		t.Errorf("want 3 frames taken, one of them lost: %+v", s)
	}
	a.close()
	b.close()
}

func TestGone(t *testing.T) {
	frames := numbered(2)
	a, b := connected(t, Config{Size: 8})
	b.receive() // frames are posted
	a.send(frames[0])
	b.port.Gone()
	if err := b.port.Err(); !errors.Is(err, engine.ErrPortGone) {
		t.Errorf("error %v, want ErrPortGone", err)
	}
	if got, n := b.receive(), b.send(frames...); len(got) != 0 || n != 0 {
		t.Errorf("a removed port received %d and took %d frames", len(got), n)
	}
	if n := a.send(frames[1]); n != 1 || a.port.Stats().TxErrors != 1 {
		t.Errorf("its peer sent %d frames into nowhere: %+v", n, a.port.Stats())
	}
	if err := a.port.Err(); err != nil {
		t.Errorf("its peer: %v", err)
	}
	a.close()
	b.close()
}

func TestStarved(t *testing.T) {
	frames := numbered(2)
	a, b := connected(t, Config{Size: 8})
	a.send(frames...)
	if n := b.port.Receive(make([]engine.Segment, 8)); n != 0 || b.port.Stats().FillEmpty != 1 {
		t.Errorf("received %d frames into none: %+v", n, b.port.Stats())
	}
	equalFrames(t, b.receive(), frames)
	a.close()
	b.close()
}

func TestPairErrors(t *testing.T) {
	arena := newArena(t, 8, 2048)
	for _, size := range []int{-1, 0, 3, 1 << 17} {
		if _, _, err := Pair(arena, arena, Config{Size: size}); err == nil {
			t.Errorf("wire of %d frames: no error", size)
		}
		if _, _, err := NewTap(arena, Config{Size: size}); err == nil {
			t.Errorf("tap with a wire of %d frames: no error", size)
		}
	}
}

// Both ends closed, in either order, must leave no descriptor open; until then
// the end that is left must be able to use its own.
func TestCloseReleasesDescriptors(t *testing.T) {
	open := func() int {
		fds, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Skipf("cannot count descriptors: %v", err)
		}
		return len(fds)
	}
	before := open()
	for _, first := range []int{0, 1} {
		a, b := connected(t, Config{Size: 8})
		ends := []*hand{a, b}
		ends[first].close()
		if _, err := unix.FcntlInt(uintptr(ends[1-first].port.FD()), unix.F_GETFD, 0); err != nil {
			t.Errorf("the open end's descriptor: %v", err)
		}
		ends[1-first].close()
	}
	if after := open(); after != before {
		t.Errorf("%d descriptors are open, were %d", after, before)
	}
}

func TestNoAllocs(t *testing.T) {
	a, b := connected(t, Config{Size: 64})
	segs := make([]engine.Segment, 16)
	for i := range segs {
		f, _ := a.free.Pop()
		segs[i] = engine.Segment{Frame: f, Off: engine.Headroom, Len: 64}
	}
	got := make([]engine.Segment, 16)
	if n := testing.AllocsPerRun(100, func() {
		b.port.Refill(b.free)
		a.port.Transmit(segs)
		a.port.Flush()
		for _, s := range got[:b.port.Receive(got)] {
			b.free.Push(s.Frame)
		}
		a.port.Reclaim(a.free)
		for range segs {
			a.free.Pop()
		}
		a.port.Held()
		a.port.Stats()
		if a.port.Err() != nil || a.port.Pending() {
			t.Fatal("the port failed")
		}
	}); n != 0 {
		t.Errorf("%v allocations a batch", n)
	}
}

func TestTap(t *testing.T) {
	arena := newArena(t, 16, 2048)
	port, tap, err := NewTap(arena, Config{Size: 4})
	if err != nil {
		t.Fatal(err)
	}
	h := newHand(t, port, arena)
	frames := numbered(6)
	if n := tap.Inject(frames...); n != 4 {
		t.Errorf("injected %d frames, want 4", n)
	}
	equalFrames(t, h.receive(), frames[:4])
	if tap.Wait(time.Millisecond) {
		t.Error("nothing was sent, yet there is something to collect")
	}
	sent := make(chan int)
	go func() { sent <- h.send(frames[:2]...) }()
	if !tap.Wait(10*time.Second) || <-sent != 2 {
		t.Error("two frames were sent, yet there is nothing to collect")
	}
	equalFrames(t, tap.Collect(), frames[:2])
	equalFrames(t, tap.Collect(), nil)

	port.SetDown(true)
	if n := tap.Inject(frames[0]); n != 1 || len(h.receive()) != 0 {
		t.Error("a frame got through while the link is down")
	}
	port.SetDown(false)
	if tap.Inject(make([]byte, arena.MaxPacket()+1)); port.Stats().RxDropped != 1 {
		t.Errorf("want the frame that is too long dropped: %+v", port.Stats())
	}
	if err := tap.Close(); err != nil {
		t.Error(err)
	}
	if h.send(frames[0]); port.Stats().TxErrors != 1 {
		t.Errorf("want the frame to nobody lost: %+v", port.Stats())
	}
	h.close()
}

// BenchmarkWire carries batches of 64 short packets from one end to the other.
func BenchmarkWire(b *testing.B) {
	from, to := connected(b, Config{Size: 64})
	var segs [32]engine.Segment
	for i := range segs {
		f, _ := from.free.Pop()
		segs[i] = engine.Segment{Frame: f, Off: engine.Headroom, Len: 64}
	}
	got := make([]engine.Segment, 64)
	n := 0
	for b.Loop() {
		to.port.Refill(to.free)
		from.port.Transmit(segs[:])
		from.port.Flush()
		for _, s := range got[:to.port.Receive(got)] {
			to.free.Push(s.Frame)
			n++
		}
		from.port.Reclaim(from.free)
		for range segs {
			from.free.Pop()
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(n), "ns/packet")
}
