//go:build !race

// Race detector and synctest bubbles don't go together in Go 1.26: timers that
// fire in a bubble crash the detector now and then (golang.org/issue/78156).
// TestConcurrentUse covers the same code under the detector, in real time.

package health

import (
	"context"
	"net"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// A network stands in for the kernel: it records when it is dialled, and
// answers as told. Tests run in synctest bubbles, where time is fake and where
// a goroutine that outlives Close fails the test.
type network struct {
	mu     sync.Mutex
	dialed map[string][]time.Time
	down   map[string]error
	takes  time.Duration
	now    int // dials in progress
	most   int
}

func newNetwork() *network {
	return &network{dialed: map[string][]time.Time{}, down: map[string]error{}}
}

func (n *network) dial(ctx context.Context, _, address string) (net.Conn, error) {
	n.mu.Lock()
	n.dialed[address] = append(n.dialed[address], time.Now())
	err, takes := n.down[address], n.takes
	n.now++
	n.most = max(n.most, n.now)
	n.mu.Unlock()
	defer func() { n.mu.Lock(); n.now--; n.mu.Unlock() }()
	select {
	case <-time.After(takes):
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if err != nil {
		return nil, err
	}
	near, far := net.Pipe()
	far.Close()
	return near, nil
}

func (n *network) set(t Target, err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.down[t.Addr.String()] = err
}

func (n *network) times(t Target) []time.Time {
	n.mu.Lock()
	defer n.mu.Unlock()
	return append([]time.Time(nil), n.dialed[t.Addr.String()]...)
}

func TestScheduleOfOneTarget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork()
		c := New(Config{Dial: n.dial})
		start := time.Now()
		set(t, c, target(0))
		time.Sleep(10 * time.Minute)
		c.Close()
		times := n.times(target(0))
		interval := target(0).Check.Interval
		if !times[0].Equal(start) {
			t.Errorf("the first check ran %v after the start, want at once", times[0].Sub(start))
		}
		if d := times[1].Sub(times[0]); d < interval/10 || d > interval {
			t.Errorf("the second check ran after %v, want within the interval", d)
		}
		least, most := interval, interval
		for i := 2; i < len(times); i++ {
			d := times[i].Sub(times[i-1])
			least, most = min(least, d), max(most, d)
		}
		if least < interval*9/10 || most > interval*11/10 || most-least < interval/10 {
			t.Errorf("pauses from %v to %v, want %v give or take up to 10 %%", least, most, interval)
		}
	})
}

func TestTargetsSpreadOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork()
		c := New(Config{Dial: n.dial})
		const targets = 2000
		var all []Target
		for i := range targets {
			all = append(all, target(i))
		}
		start := time.Now()
		set(t, c, all...)
		time.Sleep(9 * time.Second)
		c.Close()
		var tenths [20]int // checks in each tenth of the interval, from the third interval on
		for _, target := range all {
			for _, at := range n.times(target) {
				if d := at.Sub(start) - 4*time.Second; d >= 0 && d < 4*time.Second {
					tenths[d/(200*time.Millisecond)]++
				}
			}
		}
		for i, count := range tenths {
			if count > 2*targets/10 || count < targets/10/2 {
				t.Errorf("tenth %d of the interval has %d checks, want about %d: %v", i, count, targets/10, tenths)
				break
			}
		}
	})
}

// First checks don't start in one burst, nor late: within two seconds, however
// many there are.
func TestFirstChecksSpreadOut(t *testing.T) {
	for _, targets := range []int{1, firstBurst, 1000, 5000} {
		synctest.Test(t, func(t *testing.T) {
			n := newNetwork()
			c := New(Config{Dial: n.dial})
			var all []Target
			for i := range targets {
				tgt := target(i)
				tgt.Check.Interval = time.Hour
				all = append(all, tgt)
			}
			start := time.Now()
			set(t, c, all...)
			time.Sleep(firstSpread)
			c.Close()
			starts := map[time.Duration]int{} // by millisecond
			for _, tgt := range all {
				times := n.times(tgt)
				if len(times) != 1 {
					t.Fatalf("of %d targets, one was checked %d times within %v", targets, len(times), firstSpread)
				}
				starts[times[0].Sub(start).Truncate(time.Millisecond)]++
			}
			for at, count := range starts {
				if count > firstBurst+targets/2000 {
					t.Errorf("of %d targets, %d were checked first at %v", targets, count, at)
				}
			}
		})
	}
}

// Targets that share a backend and its check share the checks and the verdict,
// until their checks differ.
func TestSharedBackendIsCheckedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork()
		c := New(Config{Dial: n.dial})
		defer c.Close()
		one, two := target(0), target(0)
		two.Service, two.Backend = "shop", "s1"
		set(t, c, one)
		synctest.Wait()
		wantChange(t, c, "first success")
		set(t, c, one, two)
		wantChange(t, c, "the second target is up from its start")
		if !c.Up("shop", "s1") {
			t.Error("the second target doesn't have the first one's verdict")
		}
		time.Sleep(time.Minute)
		if times := len(n.times(one)); times > 1+60*10/(9*2) {
			t.Errorf("%d checks in a minute for two targets", times)
		}
		n.set(one, errRefused)
		<-c.Changes()
		s := c.Status()
		if len(s) != 2 || s[0].Service != "shop" || s[0].State != Down || s[1].State != Down || s[0].Since != s[1].Since {
			t.Errorf("after its death: %+v", s)
		}
		n.set(one, nil)
		<-c.Changes()
		two.Check.Rise = 5
		set(t, c, one, two)
		if !c.Up("web", "b0") || !c.Up("shop", "s1") {
			t.Error("a changed check lost its verdict")
		}
		wantNoChange(t, c, "a changed check keeps its verdict")
		set(t, c, two)
		before := len(n.times(two))
		time.Sleep(time.Minute)
		if times := len(n.times(two)) - before; !c.Up("shop", "s1") || times < 25 || times > 35 {
			t.Errorf("%d checks in a minute after the other target went", times)
		}
	})
}

func TestConcurrencyIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork()
		n.takes = 100 * time.Millisecond
		c := New(Config{Dial: n.dial, Concurrency: 3})
		var all []Target
		for i := range 12 {
			tgt := target(i)
			tgt.Check.Interval = time.Minute // so that only first checks run here
			all = append(all, tgt)
		}
		set(t, c, all...)
		for round := range 5 {
			synctest.Wait()
			up := 0
			for _, s := range c.Status() {
				if s.State == Up {
					up++
				}
			}
			if up != 3*round {
				t.Errorf("after %v, %d targets are up, want %d", n.takes*time.Duration(round), up, 3*round)
			}
			time.Sleep(n.takes)
		}
		c.Close()
		if n.most != 3 {
			t.Errorf("%d checks ran at a time, want 3", n.most)
		}
	})
}

// TestDetection follows one target down and up again against the clock.
func TestDetection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork()
		c := New(Config{Dial: n.dial})
		defer c.Close()
		tgt := target(0)
		set(t, c, tgt)
		synctest.Wait()
		wantChange(t, c, "first success")
		if !c.Up("web", "b0") {
			t.Fatal("not up after the first success")
		}
		n.set(tgt, errRefused)
		died := time.Now()
		<-c.Changes()
		limit := tgt.Check.Interval * 11 / 10 * time.Duration(tgt.Check.Fall)
		if took := time.Since(died); took > limit || c.Up("web", "b0") {
			t.Errorf("down after %v (up: %v), want within %v", took, c.Up("web", "b0"), limit)
		}
		s := c.Status()[0]
		if s.State != Down || s.Error == "" || !s.Since.After(died) || s.Checked.IsZero() {
			t.Errorf("status after death: %+v", s)
		}
		n.set(tgt, nil)
		back := time.Now()
		<-c.Changes()
		if took := time.Since(back); took > tgt.Check.Interval*22/10 || !c.Up("web", "b0") {
			t.Errorf("up after %v", took)
		}
		if s := c.Status()[0]; s.State != Up || s.Error != "" {
			t.Errorf("status after recovery: %+v", s)
		}
	})
}

func wantChange(t *testing.T, c *Checker, why string) {
	t.Helper()
	select {
	case <-c.Changes():
	default:
		t.Errorf("no change was signalled: %s", why)
	}
}

func wantNoChange(t *testing.T, c *Checker, why string) {
	t.Helper()
	select {
	case <-c.Changes():
		t.Errorf("a change was signalled: %s", why)
	default:
	}
}

func TestTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork()
		n.takes = time.Hour
		c := New(Config{Dial: n.dial})
		defer c.Close()
		set(t, c, target(0))
		time.Sleep(target(0).Check.Timeout)
		synctest.Wait()
		s := c.Status()[0]
		if s.State != Unknown || s.Against != 1 || s.Duration != target(0).Check.Timeout {
			t.Errorf("status after a time-out: %+v", s)
		}
		if want := "health: no answer within 1s: health: connect: context deadline exceeded"; s.Error != want {
			t.Errorf("error %q, want %q", s.Error, want)
		}
		wantNoChange(t, c, "unknown already counted as down")
	})
}

func TestSetTargets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork()
		c := New(Config{Dial: n.dial})
		defer c.Close()
		kept, changed, moved, gone := target(0), target(1), target(2), target(3)
		set(t, c, kept, changed, moved, gone)
		synctest.Wait()
		wantChange(t, c, "four first successes")
		for _, tgt := range []Target{changed, moved} {
			n.set(tgt, errRefused)
		}
		changed.Check.Interval = time.Minute
		moved.Addr = netip.MustParseAddrPort("198.51.100.1:80")
		n.set(moved, errRefused)
		set(t, c, moved, changed, kept)
		wantChange(t, c, "one is gone and one has moved")
		synctest.Wait()
		for backend, up := range map[string]bool{"b0": true, "b1": true, "b2": false, "b3": false} {
			if got := c.Up("web", backend); got != up {
				t.Errorf("%s: up %v, want %v", backend, got, up)
			}
		}
		if len(n.times(kept)) != 1 || len(n.times(changed)) != 2 || len(n.times(moved)) != 1 {
			t.Errorf("checks: kept %d, changed %d, moved %d; want 1, 2, 1",
				len(n.times(kept)), len(n.times(changed)), len(n.times(moved)))
		}
		if s := c.Status(); len(s) != 3 || s[1].Against != 1 || s[2].State != Unknown {
			t.Errorf("status %+v", s)
		}
		before := len(n.times(gone))
		time.Sleep(time.Minute)
		if after := len(n.times(gone)); after != before {
			t.Errorf("a removed target was checked %d times more", after-before)
		}
		wantNoChangeAfterDrain(t, c, kept, changed, moved)
	})
}

// wantNoChangeAfterDrain: setting what is set already changes nothing.
func wantNoChangeAfterDrain(t *testing.T, c *Checker, targets ...Target) {
	t.Helper()
	select {
	case <-c.Changes():
	default:
	}
	set(t, c, targets...)
	wantNoChange(t, c, "the same targets again")
}

func TestCloseBreaksOffChecks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork()
		n.takes = time.Hour
		c := New(Config{Dial: n.dial, Concurrency: 1})
		set(t, c, target(0), target(1))
		synctest.Wait()
		start := time.Now()
		c.Close()
		if took := time.Since(start); took != 0 {
			t.Errorf("Close took %v", took)
		}
		for _, s := range c.Status() {
			if s.Against != 0 || !s.Checked.IsZero() {
				t.Errorf("a check that was broken off counted: %+v", s)
			}
		}
		set(t, c, target(2))
		if n := len(c.Status()); n != 2 {
			t.Errorf("SetTargets after Close changed the set to %d targets", n)
		}
		c.Close() // again: harmless
	})
}

// A new name is no reason to take a backend out of service until it has been
// checked again.
func TestRenamedTargetsKeepTheirVerdicts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork()
		c := New(Config{Dial: n.dial})
		defer c.Close()
		up, down := target(1), target(2)
		n.set(down, errRefused)
		set(t, c, up, down)
		time.Sleep(time.Minute)
		up.Service, down.Service = "shop", "shop"
		up.Backend, down.Backend = down.Backend, up.Backend
		set(t, c, up, down)
		if !c.Up("shop", up.Backend) || c.Up("shop", down.Backend) {
			t.Errorf("renamed: %+v", c.Status())
		}
		other := up
		other.Service, other.Check.Interval = "other", time.Hour
		set(t, c, other)
		if c.Up(other.Service, other.Backend) {
			t.Error("up, though it has never been checked like this under this name")
		}
		time.Sleep(time.Second)
		if !c.Up(other.Service, other.Backend) {
			t.Error("renamed targets are not checked any more")
		}
	})
}
