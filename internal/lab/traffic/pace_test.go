//go:build !race

// Race detector and synctest bubbles don't go together in Go 1.26: timers that
// fire in a bubble crash the detector now and then (golang.org/issue/78156). The
// tests of the drivers call the same code under the detector, in real time.

package traffic

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

func TestEvery(t *testing.T) {
	for _, c := range []struct {
		name             string
		interval, offset time.Duration
		slow             time.Duration // how long the third call lasts
		want             int           // calls in 10.05 s
	}{
		{"on time", 100 * time.Millisecond, 0, 0, 101},
		{"later start", 100 * time.Millisecond, time.Second, 0, 91},
		{"late calls are made up for", 100 * time.Millisecond, 0, 450 * time.Millisecond, 101},
		{"an outage is not", 100 * time.Millisecond, 0, 3 * time.Second, 72},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), 10050*time.Millisecond)
				defer cancel()
				calls := 0
				every(ctx, c.offset, c.interval, func() {
					if calls++; calls == 3 {
						time.Sleep(c.slow)
					}
				})
				if calls != c.want {
					t.Errorf("%d calls, want %d", calls, c.want)
				}
			})
		})
	}
}

func TestEveryWithoutPause(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	calls := 0
	every(ctx, 0, 0, func() {
		if calls++; calls == 1000 {
			cancel()
		}
	})
	if calls != 1000 {
		t.Errorf("%d calls, want 1000: none after the end of the context", calls)
	}
}

func TestCrewSpreadsItsCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 950*time.Millisecond)
		defer cancel()
		began := time.Now()
		at := make(chan time.Duration, 100)
		crew(ctx, 10, time.Second, func() (work, end func()) {
			return func() { at <- time.Since(began) }, func() {}
		})
		close(at)
		want := time.Duration(0)
		for got := range at {
			if got != want {
				t.Errorf("a first call after %v, want %v", got, want)
			}
			want += 100 * time.Millisecond
		}
		if want != time.Second {
			t.Errorf("first calls until %v, want ten", want)
		}
	})
}
