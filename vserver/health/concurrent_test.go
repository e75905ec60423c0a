package health

import (
	"context"
	"net"
	"sync"
	"testing"
	"time"
)

// TestConcurrentUse calls everything at once while checks run, in real time,
// for the race detector; Close ends it all.
func TestConcurrentUse(t *testing.T) {
	var flips sync.Map // address -> whether its last dial failed
	dial := func(_ context.Context, _, address string) (net.Conn, error) {
		if failed, _ := flips.Swap(address, true); failed != true {
			return nil, errRefused
		}
		flips.Store(address, false)
		near, far := net.Pipe()
		far.Close()
		return near, nil
	}
	c := New(Config{Dial: dial, Concurrency: 8})
	var users sync.WaitGroup
	for user := range 4 {
		users.Go(func() {
			for round := range 50 {
				var targets []Target
				for i := range 20 {
					tgt := target(i + round%3)
					tgt.Check.Interval, tgt.Check.Timeout = MinInterval, MinInterval
					tgt.Check.Rise, tgt.Check.Fall = 1, 1+user%2
					targets = append(targets, tgt)
				}
				if err := c.SetTargets(targets); err != nil {
					t.Error(err)
				}
				for _, s := range c.Status() {
					c.Up(s.Service, s.Backend)
				}
				select {
				case <-c.Changes():
				case <-time.After(MinInterval):
				}
			}
		})
	}
	users.Wait()
	if n := len(c.Status()); n != 20 {
		t.Errorf("%d targets, want 20", n)
	}
	c.Close()
}
