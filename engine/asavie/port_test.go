package asavie

import (
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/asavie/xdp"
	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"appliance/engine"
	"appliance/engine/porttest"
	"appliance/internal/privtest"
)

func TestMain(m *testing.M) { os.Exit(privtest.Run(m)) }

// A side is an open port with its arena's free frames.
type side struct {
	*Port
	arena *engine.Arena
	free  *engine.Frames
}

// open opens a port on an interface and puts it into the interface's XSKMAP.
func open(t testing.TB, l netlink.Link, sockets *ebpf.Map) *side {
	t.Helper()
	arena, err := engine.NewArena(512, 2048)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { arena.Close() })
	p, err := Open(arena, Config{Interface: l.Attrs().Name, RxRing: 128, TxRing: 64})
	if err != nil {
		t.Fatal(err)
	}
	if err := sockets.Put(uint32(0), uint32(p.FD())); err != nil {
		t.Fatal(err)
	}
	free := engine.NewFrames(arena.Frames())
	for f := range arena.Frames() {
		free.Push(uint32(f))
	}
	return &side{p, arena, free}
}

// pair opens the two ends of a new veth pair in a namespace of its own.
func pair(t testing.TB) (a, b *side, left netlink.Link) {
	privtest.NetNS(t)
	left, right := privtest.Veth(t, "left", "right", 1)
	a = open(t, left, privtest.RedirectAll(t, left, 1, link.XDPDriverMode))
	b = open(t, right, privtest.RedirectAll(t, right, 1, link.XDPDriverMode))
	return a, b, left
}

// end closes the port and checks that every frame came back.
func (s *side) end(t testing.TB) {
	t.Helper()
	if err := s.Close(s.free); err != nil {
		t.Error(err)
	}
	if got := s.free.Len(); got != s.arena.Frames() {
		t.Errorf("%s: %d of %d frames are free at the end", s.name, got, s.arena.Frames())
	}
}

// segment takes a free frame and makes it a packet of length bytes.
func (s *side) segment(length int) engine.Segment {
	f, _ := s.free.Pop()
	seg := engine.Segment{Frame: f, Off: engine.Headroom, Len: uint16(length)}
	copy(s.arena.Bytes(seg), "\x02\x00\x00\x00\x00\x02\x02\x00\x00\x00\x00\x01\x88\xb5")
	return seg
}

// TestContract runs two ports through the tests that every port must pass.
func TestContract(t *testing.T) {
	porttest.Run(t, func(t *testing.T) (porttest.Side, porttest.Side) {
		a, b, _ := pair(t)
		return porttest.Side{Arena: a.arena, Port: a}, porttest.Side{Arena: b.arena, Port: b}
	})
}

// TestLinkDown has the library panic on ENETDOWN: the port must survive that,
// not spin, and work again when the link is up.
func TestLinkDown(t *testing.T) {
	a, b, left := pair(t)
	defer a.end(t)
	defer b.end(t)
	b.Refill(b.free)
	if err := netlink.LinkSetDown(left); err != nil {
		t.Fatal(err)
	}
	if n := a.Transmit([]engine.Segment{a.segment(60)}); n != 1 {
		t.Fatalf("Transmit() = %d", n)
	}
	a.Flush()
	if got := a.Stats(); got.TxErrors == 0 {
		t.Errorf("the library's panic is not counted: %+v", got)
	}
	if err := a.Err(); err != nil || a.Pending() {
		t.Errorf("link down: error %v, pending %v", err, a.Pending())
	}
	if err := netlink.LinkSetUp(left); err != nil {
		t.Fatal(err)
	}
	a.Transmit([]engine.Segment{a.segment(70)})
	var got []engine.Segment
	batch := make([]engine.Segment, 8)
	for end := time.Now().Add(2 * time.Second); len(got) < 2 && time.Now().Before(end); {
		a.Flush()
		a.Reclaim(a.free)
		got = append(got, batch[:b.Receive(batch)]...)
	}
	if len(got) != 2 || got[0].Len != 60 || got[1].Len != 70 {
		t.Errorf("after the link came up: received %+v", got)
	}
	for _, seg := range got {
		b.free.Push(seg.Frame)
	}
}

func TestInterfaceGone(t *testing.T) {
	a, b, left := pair(t)
	defer a.end(t)
	defer b.end(t)
	if err := a.Err(); err != nil {
		t.Fatal(err)
	}
	a.Refill(a.free)
	a.Transmit([]engine.Segment{a.segment(60)})
	if err := netlink.LinkDel(left); err != nil {
		t.Fatal(err)
	}
	if err := a.Err(); !errors.Is(err, engine.ErrPortGone) {
		t.Errorf("Err() = %v, want ErrPortGone", err)
	}
	a.Flush()
	a.Refill(a.free)
	if n := a.Transmit([]engine.Segment{{Frame: 0, Off: 256, Len: 60}}) + a.Receive(make([]engine.Segment, 8)); n != 0 || a.Pending() {
		t.Errorf("a port without an interface moves %d frames, pending %v", n, a.Pending())
	}
}

// TestPanicBreaksThePort has the library panic elsewhere: by a received
// descriptor that lies outside of its memory.
func TestPanicBreaksThePort(t *testing.T) {
	a, b, _ := pair(t)
	defer a.end(t)
	defer b.end(t)
	func() {
		defer a.guard()
		a.socket.Fill([]xdp.Desc{{Addr: 1 << 40}})
	}()
	if err := a.Err(); !errors.Is(err, engine.ErrPortGone) || !strings.Contains(err.Error(), "library panicked") {
		t.Errorf("Err() = %v", err)
	}
	a.Refill(a.free)
	a.Flush()
	a.Reclaim(a.free)
	if held := a.Held(); held != (engine.Held{}) {
		t.Errorf("a broken port took frames: %+v", held)
	}
}

func TestTransmitRefusesWhatCannotBeSent(t *testing.T) {
	a, b, _ := pair(t)
	defer a.end(t)
	defer b.end(t)
	short, beyond, good := a.segment(13), a.segment(60), a.segment(60)
	beyond.Off = 2000
	if n := a.Transmit([]engine.Segment{short, beyond, {Frame: 512, Off: 256, Len: 60}, good}); n != 4 {
		t.Errorf("Transmit() = %d of 4", n)
	}
	if got := a.Stats(); got.TxErrors != 3 || got.TxPackets != 1 {
		t.Errorf("%+v", got)
	}
}

func TestOpenErrors(t *testing.T) {
	a, b, _ := pair(t)
	defer a.end(t)
	defer b.end(t)
	for _, c := range []struct {
		name string
		cfg  Config
		want string
	}{
		{"no name", Config{}, "no interface name"},
		{"no such interface", Config{Interface: "nosuch0"}, "no such interface"},
		{"negative queue", Config{Interface: "left", Queue: -1}, "queue -1"},
		{"bad ring", Config{Interface: "left", TxRing: 100}, "power of two"},
		{"queue taken", Config{Interface: "left"}, unix.EBUSY.Error()},
	} {
		p, err := Open(a.arena, c.cfg)
		if err == nil {
			t.Errorf("%s: no error", c.name)
			p.Close(a.free)
		} else if !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q in it", c.name, err, c.want)
		}
	}
}

// TestReopen opens a queue right after it was closed.
func TestReopen(t *testing.T) {
	a, b, left := pair(t)
	defer b.end(t)
	a.end(t)
	a.end(t) // twice does nothing
	p, err := Open(a.arena, Config{Interface: left.Attrs().Name})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := p.cfg.Frames(), 3*DefaultRing; got != want {
		t.Errorf("Frames() = %d, want %d", got, want)
	}
	p.Refill(a.free)
	if err := p.Close(a.free); err != nil {
		t.Error(err)
	}
}

// TestNoAllocs sends and receives a batch, the library included.
func TestNoAllocs(t *testing.T) {
	a, b, _ := pair(t)
	defer a.end(t)
	defer b.end(t)
	segs := make([]engine.Segment, 32)
	for i := range segs {
		segs[i] = a.segment(60)
	}
	batch := make([]engine.Segment, 64)
	received := 0
	allocs := testing.AllocsPerRun(50, func() {
		b.Refill(b.free)
		a.Transmit(segs)
		a.Flush()
		for a.Held().Transmit > 0 {
			a.Flush()
			a.Reclaim(a.free)
		}
		for i := range segs {
			segs[i].Frame, _ = a.free.Pop()
		}
		n := b.Receive(batch)
		received += n
		for _, seg := range batch[:n] {
			b.free.Push(seg.Frame)
		}
	})
	if allocs != 0 {
		t.Errorf("a batch allocates %v times", allocs)
	}
	if received == 0 {
		t.Error("received nothing")
	}
	for _, seg := range segs {
		a.free.Push(seg.Frame)
	}
}
