package xdp

import (
	"testing"
	"time"

	"github.com/google/gopacket/layers"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"appliance/engine"
	"appliance/engine/xsk"
	"appliance/internal/privtest"
)

// A wire is a veth pair: the program and a socket on one end, a socket to send
// from on the other, and a tap that shows what the kernel gets.
type wire struct {
	t        *testing.T
	program  *Program
	arena    *engine.Arena
	free     *engine.Frames
	in, from *xsk.Socket
	tap      int
}

func newWire(t *testing.T, mode Mode) *wire {
	privtest.NetNS(t)
	left, right := privtest.Veth(t, "left", "right", 1)
	w := &wire{t: t, free: engine.NewFrames(512)}
	var err error
	if w.arena, err = engine.NewArena(512, 2048); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.arena.Close() })
	for f := range w.arena.Frames() {
		w.free.Push(uint32(f))
	}
	w.program, _ = newProgram(t)
	if _, err := w.program.Attach(left.Attrs().Index, mode); err != nil {
		t.Fatal(err)
	}
	w.in, w.from = w.open(left), w.open(right)
	w.in.Refill(w.free)
	w.tap = tap(t, left)
	return w
}

func (w *wire) open(l netlink.Link) *xsk.Socket {
	s, err := xsk.Open(w.arena, xsk.Config{Interface: l.Attrs().Name, RxRing: 64, TxRing: 64})
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { s.Close(w.free) })
	return s
}

// tap returns a packet socket that sees all that an interface gives to the
// kernel.
func tap(t *testing.T, l netlink.Link) int {
	const all = unix.ETH_P_ALL>>8 | unix.ETH_P_ALL&0xff<<8 // network byte order
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, all)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	if err := unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: all, Ifindex: l.Attrs().Index}); err != nil {
		t.Fatal(err)
	}
	return fd
}

// send sends a frame, followed by one that the kernel certainly gets, and
// reports who got the first one.
func (w *wire) send(frame []byte) (socket, kernel bool) {
	w.t.Helper()
	last := v4(w.t, other4, layers.IPProtocolSCTP)
	for _, b := range [][]byte{frame, last} {
		f, _ := w.free.Pop()
		seg := engine.Segment{Frame: f, Off: engine.Headroom, Len: uint16(len(b))}
		copy(w.arena.Bytes(seg), b)
		w.from.Transmit([]engine.Segment{seg})
	}
	w.from.Flush()
	w.from.Reclaim(w.free)

	got := make([]byte, 2048)
	for end := time.Now().Add(2 * time.Second); time.Now().Before(end); {
		n, _, err := unix.Recvfrom(w.tap, got, 0)
		if err != nil { // EAGAIN
			continue
		}
		if string(got[:n]) == string(last) {
			return w.received(frame), kernel
		}
		kernel = kernel || string(got[:n]) == string(frame)
	}
	w.t.Fatal("the frame that must reach the kernel didn't")
	return false, false
}

// received reports whether the socket has received the frame.
func (w *wire) received(frame []byte) (found bool) {
	if w.in.FD() < 0 {
		return false // closed
	}
	var segs [4]engine.Segment
	for _, s := range segs[:w.in.Receive(segs[:])] {
		found = found || string(w.arena.Bytes(s)) == string(frame)
		w.free.Push(s.Frame)
	}
	return found
}

// TestWire sends real frames to a real socket through the attached program.
func TestWire(t *testing.T) {
	for _, mode := range []Mode{Native, Generic} {
		t.Run(mode.String(), func(t *testing.T) {
			w := newWire(t, mode)
			ours := v4(t, vip4, layers.IPProtocolTCP, tcp)
			foreign := v6(t, other6, layers.IPProtocolTCP, tcp)
			expect := func(what string, frame []byte, wantSocket, wantKernel bool) {
				t.Helper()
				if socket, kernel := w.send(frame); socket != wantSocket || kernel != wantKernel {
					t.Errorf("%s: to the socket %v, want %v; to the kernel %v, want %v", what, socket, wantSocket, kernel, wantKernel)
				}
			}
			expect("VIP, no socket yet", ours, false, false)
			expect("foreign, no socket yet", foreign, false, true)
			if err := w.program.Register(0, w.in.FD()); err != nil {
				t.Fatal(err)
			}
			expect("VIP", ours, true, false)
			expect("SNIP", v6(t, snip6, layers.IPProtocolUDP, udp), true, false)
			expect("echo to a SNIP", v4(t, snip4, layers.IPProtocolICMPv4, icmp(8)), false, true)
			expect("foreign", foreign, false, true)
			w.in.Close(w.free)
			expect("VIP, socket closed", ours, false, false)
		})
	}
}
