package porttest

import (
	"bytes"
	"encoding/binary"
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"appliance/engine"
	"appliance/engine/packet/packettest"
)

// A Side is a port and the Arena it works on, all of whose frames are the
// test's when the port has just been opened.
type Side struct {
	Arena *engine.Arena
	Port  engine.Port
}

// patience bounds every wait for something that must happen.
const patience = 20 * time.Second

// A user stands in for the engine: it owns the frames that the port doesn't,
// and knows which those are. Its methods fail the test when the port breaks the
// contract.
type user struct {
	t     testing.TB
	name  string
	arena *engine.Arena
	port  engine.Port
	mine  []bool   // by frame number
	free  []uint32 // mine, and not in use
	taken int      // frames that Transmit took, in all
	sent  uint64   // number of the frame that was sent last
	got   uint64   // number of the frame that was received last
	lossy bool     // frames may be missing, but still none out of order
}

func newUser(t testing.TB, name string, s Side) *user {
	u := &user{t: t, name: name, arena: s.Arena, port: s.Port, mine: make([]bool, s.Arena.Frames())}
	for f := range u.mine {
		u.mine[f] = true
		u.free = append(u.free, uint32(f))
	}
	return u
}

// take notes that the port gave frame f up.
func (u *user) take(f uint32, how string) {
	u.t.Helper()
	if int(f) >= len(u.mine) || u.mine[f] {
		u.t.Errorf("%s: %s gave frame %d, which the port didn't own", u.name, how, f)
		return
	}
	u.mine[f] = true
	u.free = append(u.free, f)
}

// give returns an unused frame that is about to become the port's.
func (u *user) give() uint32 {
	f := u.free[len(u.free)-1]
	u.free = u.free[:len(u.free)-1]
	u.mine[f] = false
	return f
}

// check compares the ledgers: what isn't mine must be what the port says it has.
func (u *user) check(after string) {
	u.t.Helper()
	held := u.port.Held()
	if held.Fill < 0 || held.Transmit < 0 || len(u.free)+held.Fill+held.Transmit != len(u.mine) {
		u.t.Errorf("%s: after %s: %d frames are the test's and %+v the port's, of %d",
			u.name, after, len(u.free), held, len(u.mine))
	}
}

// refill offers up to n frames to receive into.
func (u *user) refill(n int) {
	u.t.Helper()
	offer := engine.NewFrames(len(u.mine))
	for range min(n, len(u.free)) {
		offer.Push(u.give())
	}
	u.port.Refill(offer)
	for _, f := range offer.Take(offer.Len()) {
		u.take(f, "Refill")
	}
	u.check("Refill")
}

// receive takes up to n frames and checks those that the peer's user sent. It
// returns how many frames came, whosever.
func (u *user) receive(n int) int {
	u.t.Helper()
	segs := make([]engine.Segment, n)
	got := u.port.Receive(segs)
	for _, s := range segs[:got] {
		if int(s.Frame) >= len(u.mine) {
			u.t.Errorf("%s: received %+v, have %d frames", u.name, s, len(u.mine))
			continue
		}
		if s.Off < engine.Headroom || int(s.Off)+int(s.Len) > u.arena.FrameSize() {
			u.t.Errorf("%s: received %+v: no headroom, or beyond the frame", u.name, s)
		} else if number, ok := readFrame(u.arena.Bytes(s)); ok {
			u.arrived(number, u.arena.Bytes(s))
		}
		u.take(s.Frame, "Receive")
	}
	u.check("Receive")
	return got
}

// arrived checks a received frame of the peer's user.
func (u *user) arrived(number uint64, frame []byte) {
	u.t.Helper()
	if number <= u.got || number != u.got+1 && !u.lossy {
		u.t.Errorf("%s: received frame %d after frame %d", u.name, number, u.got)
	}
	if want := writeFrame(number); !bytes.Equal(frame, want) {
		u.t.Errorf("%s: frame %d came as %x, want %x", u.name, number, frame, want)
	}
	u.got = number
}

// transmit queues up to n new frames, which begin at various offsets, and
// returns how many the port took.
func (u *user) transmit(n int) int {
	u.t.Helper()
	n = min(n, len(u.free))
	segs := make([]engine.Segment, n)
	for i := range segs {
		data := writeFrame(u.sent + 1 + uint64(i))
		off := engine.Headroom - 18*(i%3)
		segs[i] = engine.Segment{Frame: u.give(), Off: uint16(off), Len: uint16(len(data))}
		copy(u.arena.Bytes(segs[i]), data)
	}
	took := u.port.Transmit(segs)
	if took < 0 || took > n {
		u.t.Errorf("%s: Transmit took %d of %d frames", u.name, took, n)
		took = max(0, min(took, n))
	}
	u.sent += uint64(took)
	u.taken += took
	for _, s := range segs[took:] {
		u.mine[s.Frame] = true
		u.free = append(u.free, s.Frame)
	}
	u.check("Transmit")
	return took
}

func (u *user) flush() {
	u.t.Helper()
	u.port.Flush()
	u.check("Flush")
}

// reclaim takes back frames that have left.
func (u *user) reclaim() {
	u.t.Helper()
	back := engine.NewFrames(len(u.mine))
	u.port.Reclaim(back)
	for _, f := range back.Take(back.Len()) {
		u.take(f, "Reclaim")
	}
	u.check("Reclaim")
}

// close ends the port: every frame must come back.
func (u *user) close() {
	u.t.Helper()
	back := engine.NewFrames(len(u.mine))
	if err := u.port.Close(back); err != nil {
		u.t.Errorf("%s: Close: %v", u.name, err)
	}
	for _, f := range back.Take(back.Len()) {
		u.take(f, "Close")
	}
	u.check("Close")
	if len(u.free) != len(u.mine) {
		u.t.Errorf("%s: Close left %d of %d frames out", u.name, len(u.mine)-len(u.free), len(u.mine))
	}
}

// pump does what an engine's pass does when there is nothing new to send.
func (u *user) pump() {
	u.t.Helper()
	u.refill(len(u.free) / 2)
	u.receive(16)
	u.flush()
	u.reclaim()
}

// await calls step until done, or fails the test when patience is at an end.
func await(t testing.TB, what string, done func() bool, step func()) {
	t.Helper()
	for end := time.Now().Add(patience); !done(); runtime.Gosched() {
		if time.Now().After(end) {
			t.Fatalf("waited %v in vain: %s", patience, what)
		}
		step()
	}
}

// readable reports whether the port's descriptor becomes readable within d.
func (u *user) readable(d time.Duration) bool {
	fds := []unix.PollFd{{Fd: int32(u.port.FD()), Events: unix.POLLIN}}
	for {
		n, err := unix.Poll(fds, int(d.Milliseconds()))
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			u.t.Fatalf("%s: poll: %v", u.name, err)
		}
		return n == 1 && fds[0].Revents&unix.POLLIN != 0
	}
}

// Frames that users send are UDP datagrams from and to these, so that they pass
// for ordinary traffic, with their number in the payload.
const (
	from = "192.0.2.1:40000"
	to   = "198.51.100.1:80"
	head = 14 + 20 + 8 // bytes in front of the number
)

// writeFrame returns frame number n: 60 to 1514 bytes long.
func writeFrame(n uint64) []byte {
	payload := bytes.Repeat([]byte{byte(n)}, 18+int(n*397%1455))
	binary.BigEndian.PutUint64(payload, n)
	return packettest.UDP(from, to, packettest.Payload(payload))
}

// readFrame returns the number of a frame that writeFrame made.
func readFrame(b []byte) (n uint64, ok bool) {
	if len(b) < head+8 || !bytes.Equal(b[26:38], writeFrame(1)[26:38]) {
		return 0, false // other addresses or ports
	}
	return binary.BigEndian.Uint64(b[head:]), true
}
