package xsk

import (
	"encoding/binary"
	"os"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"github.com/vishvananda/netlink"

	"appliance/engine"
	"appliance/internal/privtest"
)

func TestMain(m *testing.M) { os.Exit(privtest.Run(m)) }

// A cable is a veth pair with a redirect program on both ends, an arena, and
// the free frames of the one engine that the test plays.
type cable struct {
	left, right     netlink.Link
	leftMap, farMap *ebpf.Map
	arena           *engine.Arena
	free            *engine.Frames
}

// newCable makes a cable in a namespace of its own.
func newCable(t testing.TB, queues int, mode link.XDPAttachFlags) *cable {
	t.Helper()
	privtest.NetNS(t)
	c := &cable{arena: newArena(t, 1<<13)}
	c.free = allFrames(c.arena)
	c.left, c.right = privtest.Veth(t, "left", "right", queues)
	c.leftMap = privtest.RedirectAll(t, c.left, queues, mode)
	c.farMap = privtest.RedirectAll(t, c.right, queues, mode)
	t.Cleanup(func() {
		if got := c.free.Len(); got != c.arena.Frames() && !t.Failed() {
			t.Errorf("%d of %d frames are free at the end", got, c.arena.Frames())
		}
	})
	return c
}

// open opens a socket on one end, receiving, until the test ends. Its rings are
// smaller than by default, so that the arena has frames for several.
func (c *cable) open(t testing.TB, name string, cfg Config) *Socket {
	t.Helper()
	cfg.Interface = name
	if cfg.RxRing == 0 {
		cfg.RxRing = 512
	}
	s, err := Open(c.arena, cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(c.free); err != nil {
			t.Error(err)
		}
	})
	s.Refill(c.free)
	sockets := c.leftMap
	if name == "right" {
		sockets = c.farMap
	}
	if err := sockets.Put(uint32(cfg.Queue), uint32(s.FD())); err != nil {
		t.Fatalf("put the socket into the XSKMAP: %v", err)
	}
	return s
}

// frame takes a free frame and makes it a packet of length bytes that carries
// a number. Its EtherType is one for experiments (RFC 9542 section 3).
func (c *cable) frame(t testing.TB, number uint32, length int) engine.Segment {
	t.Helper()
	f, ok := c.free.Pop()
	if !ok {
		t.Fatal("no free frame")
	}
	seg := engine.Segment{Frame: f, Off: engine.Headroom, Len: uint16(length)}
	b := c.arena.Bytes(seg)
	clear(b)
	copy(b, "\x02\x00\x00\x00\x00\x02\x02\x00\x00\x00\x00\x01\x88\xb5")
	binary.BigEndian.PutUint32(b[14:], number)
	return seg
}

// number reads back what frame wrote.
func (c *cable) number(seg engine.Segment) uint32 {
	return binary.BigEndian.Uint32(c.arena.Bytes(seg)[14:])
}

// send transmits count packets of length bytes, numbered from first on.
func (c *cable) send(t testing.TB, s *Socket, first uint32, count, length int) {
	t.Helper()
	segs := make([]engine.Segment, count)
	for i := range segs {
		segs[i] = c.frame(t, first+uint32(i), length)
	}
	if n := s.Transmit(segs); n != count {
		t.Fatalf("Transmit took %d of %d frames", n, count)
	}
	for end := time.Now().Add(time.Second); s.Held().Transmit > 0 && time.Now().Before(end); {
		s.Flush()
		s.Reclaim(c.free)
	}
}

// receive waits for count packets.
func (c *cable) receive(t testing.TB, s *Socket, count int) []engine.Segment {
	t.Helper()
	var got []engine.Segment
	batch := make([]engine.Segment, 64)
	for end := time.Now().Add(2 * time.Second); len(got) < count && time.Now().Before(end); {
		n := s.Receive(batch[:min(len(batch), count-len(got))])
		got = append(got, batch[:n]...)
		s.Refill(c.free)
	}
	if len(got) != count {
		t.Fatalf("received %d of %d packets; %+v", len(got), count, s.Stats())
	}
	return got
}

// drop frees received frames.
func (c *cable) drop(segs []engine.Segment) {
	for _, s := range segs {
		c.free.Push(s.Frame)
	}
}

// modes are the two ways in which an XDP program can be attached.
var modes = map[string]link.XDPAttachFlags{"native": link.XDPDriverMode, "generic": link.XDPGenericMode}

// TestTrafficBothWays sends more packets than any ring has slots, so that each
// wraps, and looks at order, contents and counters.
func TestTrafficBothWays(t *testing.T) {
	for name, mode := range modes {
		t.Run(name, func(t *testing.T) {
			c := newCable(t, 1, mode)
			cfg := Config{RxRing: 64, TxRing: 64, Fill: 128, Completion: 64}
			left, right := c.open(t, "left", cfg), c.open(t, "right", cfg)
			const rounds, burst, length = 40, 48, 100
			for round := range uint32(rounds) {
				for _, way := range [][2]*Socket{{left, right}, {right, left}} {
					c.send(t, way[0], round*burst, burst, length)
					got := c.receive(t, way[1], burst)
					for i, seg := range got {
						if n := c.number(seg); n != round*burst+uint32(i) || seg.Len != length || seg.Off != engine.Headroom {
							t.Fatalf("round %d, packet %d: number %d, %+v", round, i, n, seg)
						}
					}
					c.drop(got)
				}
			}
			checkLaw(t, left)
			for _, s := range []*Socket{left, right} {
				got := s.Stats()
				const packets = rounds * burst
				if got.RxPackets != packets || got.RxBytes != packets*length || got.TxPackets != packets || got.TxBytes != packets*length {
					t.Errorf("%d packets of %d bytes each way: %+v", packets, length, got)
				}
				if got.TxErrors+got.RxDropped+got.RxRingFull+got.TxInvalid+got.BadDescriptors != 0 {
					t.Errorf("errors were counted: %+v", got)
				}
			}
		})
	}
}
