package traffic

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"appliance/internal/lab/origin"
)

// dial is where the traffic of these tests comes from: the machine itself.
var dial Dial = new(net.Dialer).DialContext

// target returns the address of a listener or socket.
func target(addr net.Addr) netip.AddrPort { return netip.MustParseAddrPort(addr.String()) }

// backend runs the servers of package origin at free ports of the loopback
// interface and returns where each service listens.
func backend(t *testing.T, name string) (http, echo, stream, udp netip.AddrPort) {
	t.Helper()
	var mu sync.Mutex
	at := make(map[string]netip.AddrPort)
	note := func(network, wanted string, got net.Addr) {
		mu.Lock()
		defer mu.Unlock()
		at[fmt.Sprintf("%s/%d", network, netip.MustParseAddrPort(wanted).Port())] = target(got)
	}
	s := origin.New(origin.Config{
		Name:  name,
		Addrs: []netip.Addr{netip.MustParseAddr("127.0.0.1")},
		Listen: func(network, address string) (net.Listener, error) {
			l, err := net.Listen(network, "127.0.0.1:0")
			if err == nil {
				note(network, address, l.Addr())
			}
			return l, err
		},
		ListenPacket: func(network, address string) (net.PacketConn, error) {
			c, err := net.ListenPacket(network, "127.0.0.1:0")
			if err == nil {
				note(network, address, c.LocalAddr())
			}
			return c, err
		},
	})
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Stop)
	return at["tcp/80"], at["tcp/7"], at["tcp/19"], at["udp/7"]
}

// listen serves every connection to a loopback port by serve.
func listen(t *testing.T, serve func(*net.TCPConn)) netip.AddrPort {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				serve(conn.(*net.TCPConn))
			}()
		}
	}()
	return target(l.Addr())
}

// driveFor runs a driver for d.
func driveFor(t *testing.T, d time.Duration, run func(context.Context)) {
	ctx, cancel := context.WithTimeout(t.Context(), d)
	defer cancel()
	run(ctx)
}

func TestHTTPCounts(t *testing.T) {
	at, _, _, _ := backend(t, "b7")
	h := NewHTTP(HTTPConfig{Dial: dial, Target: at, FreshRate: 100, Kept: 5, KeptRate: 100, Size: 10_000})
	driveFor(t, time.Second, h.Run)
	r := h.Report()
	if r.Failed() != 0 || r.Broken != 0 {
		t.Errorf("failures %v, %d broken, want none", r.Failures, r.Broken)
	}
	if r.OK < 150 || r.OK > 210 {
		t.Errorf("%d requests in a second, want about 200", r.OK)
	}
	if fresh := r.OK / 2; r.Opened < fresh-15 || r.Opened > fresh+15 {
		t.Errorf("%d connections for %d requests, want half as many: 5 kept-alive, the others new", r.Opened, r.OK)
	}
	if r.Backends["b7"] != r.OK || r.Latency.Count() != r.OK {
		t.Errorf("%d answers: %v by backend, %d timed", r.OK, r.Backends, r.Latency.Count())
	}
}

// TestFailures meets every way in which an HTTP exchange can fail.
func TestFailures(t *testing.T) {
	answer := func(text string) func(*net.TCPConn) {
		return func(c *net.TCPConn) {
			http.ReadRequest(bufio.NewReader(c))
			io.WriteString(c, text)
		}
	}
	closedPort := func() netip.AddrPort {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		return target(l.Addr())
	}
	never := func(ctx context.Context, _, _ string) (net.Conn, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	nowhere := func(context.Context, string, string) (net.Conn, error) {
		return nil, errors.New("no idea")
	}
	silence := make(chan struct{})
	t.Cleanup(func() { close(silence) })
	for _, c := range []struct {
		want   Reason
		broken bool
		dial   Dial
		target netip.AddrPort
	}{
		{ConnectRefused, false, dial, closedPort()},
		{ConnectTimeout, false, never, netip.AddrPort{}},
		{Other, false, nowhere, netip.AddrPort{}},
		{Reset, true, dial, listen(t, func(c *net.TCPConn) {
			http.ReadRequest(bufio.NewReader(c))
			c.SetLinger(0)
		})},
		{Closed, true, dial, listen(t, answer(""))},
		{ReadTimeout, true, dial, listen(t, func(*net.TCPConn) { <-silence })},
		{BadStatus, true, dial, listen(t, answer("HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n"))},
		{ShortBody, true, dial, listen(t, answer("HTTP/1.1 200 OK\r\nX-Backend: b\r\nContent-Length: 19\r\n\r\nb 00"))},
		{WrongContent, true, dial, listen(t, answer("HTTP/1.1 200 OK\r\nX-Backend: b\r\nContent-Length: 4\r\n\r\nc 00"))},
		{WrongContent, true, dial, listen(t, answer("HTTP/1.1 200 OK\r\nX-Backend: b\r\nContent-Length: 2\r\n\r\nb "))},
	} {
		t.Run(string(c.want), func(t *testing.T) {
			var told atomic.Uint64
			h := NewHTTP(HTTPConfig{
				Dial: c.dial, Target: c.target, Kept: 1, KeptRate: 50, Size: 4,
				ConnectTimeout: 100 * time.Millisecond, ReadTimeout: 100 * time.Millisecond,
				Failed: func(f *Failure) {
					if told.Add(1); f.Reason != c.want {
						t.Errorf("told of %v, want %s", f, c.want)
					}
				},
			})
			driveFor(t, 50*time.Millisecond, h.Run)
			r := h.Report()
			n := r.Failures[c.want]
			if n == 0 || r.Failed() != n || r.OK != 0 || told.Load() != n {
				t.Errorf("failures %v, %d right, told of %d, want only %s", r.Failures, r.OK, told.Load(), c.want)
			}
			if want := map[bool]uint64{true: n}[c.broken]; r.Broken != want || r.Opened != want {
				t.Errorf("%d opened, %d broken after %d failures, want %d", r.Opened, r.Broken, n, want)
			}
		})
	}
}

// hasty answers one request of a connection and closes it on reading the
// second: what a client sees whose load balancer forgot its connection. It
// returns its address and the count of requests it has read.
func hasty(t *testing.T) (netip.AddrPort, *atomic.Uint64) {
	var seen atomic.Uint64
	at := listen(t, func(c *net.TCPConn) {
		in := bufio.NewReader(c)
		req, err := http.ReadRequest(in)
		if err != nil {
			return
		}
		seen.Add(1)
		body := origin.Body("b", req.FormValue("token"), 20)
		fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nX-Backend: b\r\nContent-Length: 20\r\n\r\n%s", body)
		if _, err := http.ReadRequest(in); err == nil {
			seen.Add(1)
		}
	})
	return at, &seen
}

// TestNothingIsRetried: requests on broken kept-alive connections are failures,
// and none is sent twice.
func TestNothingIsRetried(t *testing.T) {
	at, seen := hasty(t)
	h := NewHTTP(HTTPConfig{Dial: dial, Target: at, Kept: 1, KeptRate: 200, Size: 20})
	driveFor(t, 300*time.Millisecond, h.Run)
	r := h.Report()
	if r.OK+r.Failed() != seen.Load() {
		t.Errorf("%d right and %d failed requests, but %d arrived", r.OK, r.Failed(), seen.Load())
	}
	if r.Failed() < 10 || r.OK-r.Failed() > 1 || r.Broken != r.Failed() {
		t.Errorf("%d right, failures %v, %d broken, want every second request to fail", r.OK, r.Failures, r.Broken)
	}
}

// TestTransportRetries is the control of TestNothingIsRetried: the standard
// client hides the same fault.
func TestTransportRetries(t *testing.T) {
	at, seen := hasty(t)
	client := http.Client{Transport: &http.Transport{}}
	for range 2 {
		resp, err := client.Get("http://" + at.String() + "/?token=x")
		if err != nil {
			t.Fatalf("the standard client reports the fault: %v", err)
		}
		io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
	}
	if got := seen.Load(); got != 3 {
		t.Errorf("2 calls made %d requests, want 3: one repeated", got)
	}
}

// TestStuckAtTheEndFails: the end of the context doesn't hide requests that
// would never have been answered.
func TestStuckAtTheEndFails(t *testing.T) {
	silence := make(chan struct{})
	t.Cleanup(func() { close(silence) })
	at := listen(t, func(*net.TCPConn) { <-silence })
	h := NewHTTP(HTTPConfig{Dial: dial, Target: at, FreshRate: 100, ReadTimeout: 300 * time.Millisecond})
	driveFor(t, 100*time.Millisecond, h.Run)
	r := h.Report()
	if r.Failures[ReadTimeout] < 5 || r.Failures[ReadTimeout] != r.Opened {
		t.Errorf("%d opened, failures %v, want a read timeout for each", r.Opened, r.Failures)
	}
}

// TestFreshGoesByTheClock: missing answers don't slow new connections down, and
// what the bound on them holds back is counted.
func TestFreshGoesByTheClock(t *testing.T) {
	silence := make(chan struct{})
	t.Cleanup(func() { close(silence) })
	at := listen(t, func(*net.TCPConn) { <-silence })
	h := NewHTTP(HTTPConfig{Dial: dial, Target: at, FreshRate: 200, MaxInFlight: 50, ReadTimeout: time.Second})
	driveFor(t, 500*time.Millisecond, h.Run)
	r := h.Report()
	if r.Opened != 50 || r.Failures[ReadTimeout] != 50 {
		t.Errorf("%d opened, failures %v, want the 50 that are allowed", r.Opened, r.Failures)
	}
	if n := r.Failures[Overload]; n < 35 || n > 55 {
		t.Errorf("%d requests over the bound, want about 50 of 100", n)
	}
}

func TestFailureSaysBoth(t *testing.T) {
	f := &Failure{Reset, io.ErrUnexpectedEOF}
	if !errors.Is(f, io.ErrUnexpectedEOF) || !strings.HasPrefix(f.Error(), "reset: ") {
		t.Errorf("failure %q", f)
	}
}
