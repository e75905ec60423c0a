package porttest

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"
)

// A Pair opens two connected ports for one test. The test closes the ports;
// what else must be closed is for t.Cleanup. Each Arena needs at least 64
// frames.
type Pair func(t *testing.T) (a, b Side)

// Run runs all tests of the contract, each with a pair of its own.
func Run(t *testing.T, open Pair) {
	Ownership(t, func(t *testing.T) []Side {
		a, b := open(t)
		return []Side{a, b}
	})
	for _, c := range []struct {
		name string
		run  func(t *testing.T, a, b *user)
	}{
		{"nothing", nothing},
		{"delivery", delivery},
		{"delivery between threads", threads},
		{"full", full},
		{"starved", starved},
		{"wake-up", wakeUp},
		{"counters", counters},
		{"peer closed", peerClosed},
	} {
		t.Run(c.name, func(t *testing.T) {
			a, b := open(t)
			c.run(t, newUser(t, "a", a), newUser(t, "b", b))
		})
	}
}

// Ownership tests the frame ledger of one or more ports under random sequences
// of calls. A failing sequence's seed is in the name of the test.
func Ownership(t *testing.T, open func(t *testing.T) []Side) {
	for seed := range uint64(8) {
		t.Run(fmt.Sprintf("ownership-%d", seed), func(t *testing.T) {
			r := rand.New(rand.NewPCG(seed, 0))
			var users []*user
			for i, s := range open(t) {
				u := newUser(t, string(rune('a'+i)), s)
				u.lossy = true // whoever has no frame to receive into may lose some
				users = append(users, u)
			}
			for range 400 {
				anything(r, users[r.IntN(len(users))])
			}
			if seed%2 == 0 { // else close in the middle of it all
				drain(t, users...)
			}
			for _, u := range users {
				u.close()
			}
		})
	}
}

// anything makes one random call.
func anything(r *rand.Rand, u *user) {
	switch r.IntN(6) {
	case 0:
		u.refill(r.IntN(40))
	case 1:
		u.receive(r.IntN(40))
	case 2, 3:
		u.transmit(r.IntN(20))
	case 4:
		u.flush()
	case 5:
		u.reclaim()
	}
}

// drain waits until all that was transmitted is reclaimed.
func drain(t *testing.T, users ...*user) {
	t.Helper()
	for _, u := range users {
		await(t, u.name+" gets back what it sent", func() bool {
			return u.port.Held().Transmit == 0 && !u.port.Pending()
		}, func() {
			for _, u := range users {
				u.pump()
			}
		})
	}
}

// nothing calls everything with nothing to do.
func nothing(t *testing.T, a, b *user) {
	for _, u := range []*user{a, b} {
		u.refill(0)
		u.receive(0)
		u.receive(8)
		u.transmit(0)
		u.flush()
		u.reclaim()
		if u.port.Pending() {
			t.Errorf("%s: pending with nothing queued", u.name)
		}
		if held := u.port.Held(); held.Fill+held.Transmit != 0 {
			t.Errorf("%s: holds %+v, was given nothing", u.name, held)
		}
		if err := u.port.Err(); err != nil {
			t.Errorf("%s: Err: %v", u.name, err)
		}
		u.close()
	}
}

// volume is how many frames a delivery test sends each way.
const volume = 400

// window is how many of them may be under way at a time: fewer than any ring
// or Arena has room for.
const window = 16

// delivery sends both ways in turns.
func delivery(t *testing.T, a, b *user) {
	a.pump() // frames to receive into, on both sides, before the first is sent
	b.pump()
	await(t, fmt.Sprintf("%d frames arrive each way", volume), func() bool {
		return a.got == volume && b.got == volume
	}, func() {
		for _, way := range [][2]*user{{a, b}, {b, a}} {
			from, to := way[0], way[1]
			from.transmit(int(min(window-(from.sent-to.got), volume-from.sent)))
			from.pump()
		}
	})
	drain(t, a, b)
	a.close()
	b.close()
}

// threads sends both ways with each port on a goroutine of its own. Received
// frames are the only thing that tells a sender how the other side is getting
// on, so each echoes what it got: a sends, b answers as much.
func threads(t *testing.T, a, b *user) {
	a.pump()
	b.pump()
	var wg sync.WaitGroup
	run := func(u *user, allowed func() uint64) {
		defer wg.Done()
		end := time.Now().Add(patience)
		for u.got < volume || u.sent < volume || u.port.Pending() {
			if time.Now().After(end) {
				u.t.Errorf("%s: sent %d and received %d of %d frames in %v", u.name, u.sent, u.got, volume, patience)
				return
			}
			u.transmit(int(min(allowed(), volume) - u.sent))
			u.pump()
			_ = u.port.Stats()
		}
	}
	wg.Add(2)
	go run(a, func() uint64 { return a.got + window })
	go run(b, func() uint64 { return b.got })
	wg.Wait()
	drain(t, a, b)
	a.close()
	b.close()
}

// full transmits until the port takes no more. All must come back, and the port
// must work on.
func full(t *testing.T, a, b *user) {
	a.lossy, b.lossy = true, true
	b.pump()
	for len(a.free) > 8 && a.transmit(8) == 8 {
	}
	drain(t, a, b)
	flows(t, a, b)
	a.close()
	b.close()
}

// flows sends from one side until something that was sent from now on arrives.
func flows(t *testing.T, from, to *user) {
	t.Helper()
	mark := from.sent
	await(t, "traffic flows", func() bool { return to.got > mark }, func() {
		from.transmit(1)
		from.pump()
		to.pump()
	})
}

// starved sends to a port that has no frames to receive into. Traffic must flow
// as soon as it has.
func starved(t *testing.T, a, b *user) {
	b.lossy = true
	for range 3 {
		a.transmit(8)
		a.flush()
		a.reclaim()
		if n := b.receive(8); n != 0 {
			t.Errorf("b received %d frames into none", n)
		}
	}
	flows(t, a, b)
	a.close()
	b.close()
}

// wakeUp checks that FD is readable while there is something to receive, and
// not after Receive has found nothing.
func wakeUp(t *testing.T, a, b *user) {
	defer a.close()
	defer b.close()
	if b.port.FD() < 0 {
		t.Skip("the port must be polled: it has no descriptor")
	}
	a.pump()
	for range 20 {
		b.pump()
		await(t, "b's descriptor says that nothing is left", func() bool { return !b.readable(0) }, b.pump)
		want := a.sent + 3
		a.transmit(3)
		a.flush()
		await(t, "a sends what it queued", func() bool { return !a.port.Pending() }, a.flush)
		if !b.readable(patience) {
			t.Fatalf("b's descriptor is not readable after %v", patience)
		}
		b.receive(1)
		await(t, "b receives three frames", func() bool { return b.got == want }, func() {
			if !b.readable(patience) {
				t.Fatalf("b's descriptor is not readable with frames %d to %d on the way", b.got+1, want)
			}
			b.receive(1)
		})
		a.reclaim()
	}
}

// counters compares Stats with what was sent and received.
func counters(t *testing.T, a, b *user) {
	a.pump()
	b.pump()
	bytes := uint64(0)
	for n := range uint64(window) {
		bytes += uint64(len(writeFrame(n + 1)))
	}
	a.transmit(window)
	await(t, "all frames arrive", func() bool { return b.got == window }, func() {
		a.pump()
		b.pump()
	})
	if s := a.port.Stats(); s.TxPackets != window || s.TxBytes != bytes {
		t.Errorf("a sent %d frames, %d bytes: %+v", window, bytes, s)
	}
	if s := b.port.Stats(); s.RxPackets < window || s.RxBytes < bytes {
		t.Errorf("b received %d frames, %d bytes: %+v", window, bytes, s)
	}
	a.close()
	b.close()
}

// peerClosed goes on sending when nobody is there any more.
func peerClosed(t *testing.T, a, b *user) {
	a.pump()
	b.pump()
	a.transmit(4)
	a.flush()
	b.close()
	for range 4 {
		a.transmit(8)
		a.flush()
		a.reclaim()
	}
	drain(t, a)
	a.close()
}
