package replay

import (
	"net/netip"
	"slices"
	"testing"

	"appliance/engine"
	"appliance/engine/packet"
	"appliance/engine/packet/packettest"
)

var (
	udp = Traffic{Client: netip.MustParseAddr("198.18.0.0"), To: netip.MustParseAddrPort("203.0.113.1:9000")}
	tcp = Traffic{Client: udp.Client, To: udp.To, TCPFlags: "S"}
)

// TestHeads decodes every packet with a decoder that is not ours: checksums are
// right and no two flows are alike.
func TestHeads(t *testing.T) {
	for name, traffic := range map[string]Traffic{"udp": udp, "tcp": tcp} {
		t.Run(name, func(t *testing.T) {
			type flow struct {
				client string
				port   uint16
			}
			seen := map[flow]bool{}
			for _, h := range Heads(5000, traffic) {
				frame := h[:Length]
				packettest.Check(t, frame, packettest.WantDst(traffic.To.String()))
				var info packet.Info
				if why := packet.Parse(frame, &info); why != packet.OK || !packet.VerifyL4(frame, &info) {
					t.Fatalf("%v: %x", why, frame)
				}
				f := flow{string(frame[26:30]), info.SrcPort}
				if seen[f] {
					t.Fatalf("flow %x:%d twice", f.client, f.port)
				}
				seen[f] = true
			}
		})
	}
}

func TestShuffleKeepsAll(t *testing.T) {
	a, b := Heads(1000, udp), Heads(1000, udp)
	Shuffle(b)
	if slices.Equal(a, b) {
		t.Error("the order is the same")
	}
	byBytes := func(x, y Head) int { return slices.Compare(x[:], y[:]) }
	slices.SortFunc(a, byBytes)
	slices.SortFunc(b, byBytes)
	if !slices.Equal(a, b) {
		t.Error("the flows are not the same")
	}
}

// newTestPort returns a Port over an arena of its own, frames posted, and the
// free frames of the engine that the test plays.
func newTestPort(t *testing.T, heads []Head) (*Port, *engine.Arena, *engine.Frames) {
	t.Helper()
	arena, err := engine.NewArena(Frames+engine.MaxBatch, FrameSize)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { arena.Close() })
	free := engine.NewFrames(arena.Frames())
	for f := range arena.Frames() {
		free.Push(uint32(f))
	}
	p, err := New(arena, heads)
	if err != nil {
		t.Fatal(err)
	}
	p.Refill(free)
	return p, arena, free
}

// TestPlay: a leg hands out exactly its packets, in order and restored although
// the receiver spoils them, and no frame is ever in two places.
func TestPlay(t *testing.T) {
	heads := Heads(1000, udp)
	p, arena, free := newTestPort(t, heads)
	segs := make([]engine.Segment, 64)
	if n := p.Receive(segs); n != 0 {
		t.Fatalf("%d packets before the leg", n)
	}
	const leg = 10_001
	p.Play(leg)
	got, next := 0, 0
	for {
		n := p.Receive(segs)
		if n == 0 {
			break
		}
		for _, seg := range segs[:n] {
			b := arena.Bytes(seg)
			if !slices.Equal(b, heads[next%len(heads)][:Length]) {
				t.Fatalf("packet %d is not head %d: %x", got, next%len(heads), b)
			}
			clear(b)
			next++
		}
		got += n
		if sent := p.Transmit(segs[:n]); sent != n {
			t.Fatalf("%d of %d packets were swallowed", sent, n)
		}
		p.Reclaim(free)
		p.Refill(free)
		if h := p.Held(); h.Fill+h.Transmit+free.Len() != arena.Frames() {
			t.Fatalf("frames: %+v held, %d free, of %d", h, free.Len(), arena.Frames())
		}
	}
	if got != leg || <-p.Took() <= 0 {
		t.Errorf("%d packets in a leg of %d", got, leg)
	}
	if s := p.Stats(); s.RxPackets != leg || s.TxPackets != leg || s.TxBytes != leg*Length {
		t.Errorf("%+v", s)
	}
	if err := p.Close(free); err != nil || free.Len() != arena.Frames() {
		t.Errorf("%d of %d frames after close: %v", free.Len(), arena.Frames(), err)
	}
	if err := p.Close(free); err == nil {
		t.Error("a second close succeeded")
	}
}

func TestNoAllocs(t *testing.T) {
	p, _, free := newTestPort(t, Heads(100, udp))
	defer p.Close(free)
	segs := make([]engine.Segment, 64)
	p.Play(1 << 20)
	allocs := testing.AllocsPerRun(100, func() {
		n := p.Receive(segs)
		p.Transmit(segs[:n])
		p.Flush()
		p.Reclaim(free)
		p.Refill(free)
	})
	if allocs != 0 {
		t.Errorf("%v allocations a pass", allocs)
	}
}

func TestNewRefusesOtherFrames(t *testing.T) {
	arena, err := engine.NewArena(4, 4096)
	if err != nil {
		t.Fatal(err)
	}
	defer arena.Close()
	if _, err := New(arena, nil); err == nil {
		t.Error("frames of 4096 bytes were accepted")
	}
}
