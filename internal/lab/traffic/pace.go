package traffic

import (
	"context"
	"io"
	"net"
	"net/netip"
	"sync"
	"time"
)

// Dial opens a connection from where the traffic comes from: the DialContext of
// a namespace, or of a net.Dialer.
type Dial func(ctx context.Context, network, address string) (net.Conn, error)

// DefaultTimeout is how long connecting, and then an answer, may take.
const DefaultTimeout = 3 * time.Second

// maxBacklog bounds how much a driver that fell behind makes up for: what a busy
// machine delayed, not what an outage prevented.
const maxBacklog = 500 * time.Millisecond

// every calls fn at a steady pace, first after offset, until ctx ends. When
// calls last longer than the interval, the late ones follow without a pause, as
// far as maxBacklog allows. An interval of 0 never pauses.
func every(ctx context.Context, offset, interval time.Duration, fn func()) {
	next := time.Now().Add(offset)
	timer := time.NewTimer(offset)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		if ctx.Err() != nil { // both were ready
			return
		}
		fn()
		if next = next.Add(interval); time.Since(next) > maxBacklog {
			next = time.Now()
		}
		timer.Reset(time.Until(next))
	}
}

// crew runs n workers, each called every interval, their first calls spread
// over one interval, until ctx ends and all have finished.
func crew(ctx context.Context, n int, interval time.Duration, worker func() (work, end func())) {
	var wait sync.WaitGroup
	for i := range n {
		wait.Go(func() {
			work, end := worker()
			defer end()
			every(ctx, interval*time.Duration(i)/time.Duration(n), interval, work)
		})
	}
	wait.Wait()
}

// keep returns the work of one lasting connection: an exchange, on a new
// connection if exchange called the last one used up. connect returns false
// when it failed; then the next piece of work tries again.
func keep[C io.Closer](connect func() (C, bool), exchange func(C) (goesOn bool)) (work, end func()) {
	var conn C
	connected := false
	end = func() {
		if connected {
			conn.Close()
			connected = false
		}
	}
	work = func() {
		if !connected {
			if conn, connected = connect(); !connected {
				return
			}
		}
		if !exchange(conn) {
			end()
		}
	}
	return work, end
}

// open connects within timeout.
func open(dial Dial, network string, target netip.AddrPort, timeout time.Duration) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	return dial(ctx, network, target.String())
}

// interval returns the pause between calls of one of n workers that shall make
// rate calls a second together; 0, no pause, when rate is 0.
func interval(n int, rate float64) time.Duration {
	if rate <= 0 {
		return 0
	}
	return time.Duration(float64(n) / rate * float64(time.Second))
}

// orDefault returns d, or DefaultTimeout when d is 0.
func orDefault(d time.Duration) time.Duration {
	if d == 0 {
		return DefaultTimeout
	}
	return d
}
