package health

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// These tests run against real servers, through the kernel's loopback.

// firstResult checks tgt until the first result is in.
func firstResult(t *testing.T, tgt Target) Status {
	t.Helper()
	c := New(Config{})
	defer c.Close()
	set(t, c, tgt)
	for range 2000 {
		if s := c.Status()[0]; !s.Checked.IsZero() {
			return s
		}
		time.Sleep(time.Millisecond)
	}
	t.Fatal("no result within 2 s")
	return Status{}
}

func TestTCP(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	tgt := Target{Service: "dns", Backend: "b1", Addr: netip.MustParseAddrPort(listener.Addr().String()), Check: DefaultCheck(TCP)}
	if s := firstResult(t, tgt); s.State != Up || s.Error != "" || s.Duration <= 0 {
		t.Errorf("listening: %+v", s)
	}
	listener.Close()
	if s := firstResult(t, tgt); s.State != Unknown || !strings.Contains(s.Error, "connection refused") {
		t.Errorf("closed: %+v", s)
	}
}

func httpTarget(server *httptest.Server) Target {
	addr := netip.MustParseAddrPort(strings.TrimPrefix(server.URL, "http://"))
	return Target{Service: "web", Backend: "b1", Addr: addr, Check: DefaultCheck(HTTP)}
}

func TestHTTPStatus(t *testing.T) {
	cases := []struct {
		status, min, max int
		up               bool
	}{
		{200, 200, 399, true}, {204, 200, 399, true}, {302, 200, 399, true}, {399, 200, 399, true},
		{404, 200, 399, false}, {503, 200, 399, false}, {302, 200, 299, false}, {404, 404, 404, true},
	}
	for _, c := range cases {
		var requests atomic.Int32
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			requests.Add(1)
			w.Header().Set("Location", "/elsewhere")
			w.WriteHeader(c.status)
		}))
		tgt := httpTarget(server)
		tgt.Check.StatusMin, tgt.Check.StatusMax = c.min, c.max
		s := firstResult(t, tgt)
		if (s.State == Up) != c.up {
			t.Errorf("status %d, want %d to %d: %+v", c.status, c.min, c.max, s)
		}
		if n := requests.Load(); n != 1 {
			t.Errorf("status %d drew %d requests, want 1: redirects are not followed", c.status, n)
		}
		server.Close()
	}
}

func TestHTTPRequest(t *testing.T) {
	seen := make(chan *http.Request, 1)
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		select {
		case seen <- r:
		default:
		}
	}))
	defer server.Close()
	tgt := httpTarget(server)
	tgt.Check.Path, tgt.Check.Host = "/a%2Fb?c=d&e", "www.example.org"
	if s := firstResult(t, tgt); s.State != Up {
		t.Fatalf("%+v", s)
	}
	r := <-seen
	if r.Method != "GET" || r.RequestURI != "/a%2Fb?c=d&e" || r.Host != "www.example.org" || !r.Close {
		t.Errorf("request %s %s, host %s, close %v", r.Method, r.RequestURI, r.Host, r.Close)
	}
}

// TestHTTPBadAnswers: whatever a backend sends, the check ends in time and
// reads little.
func TestHTTPBadAnswers(t *testing.T) {
	cases := []struct {
		name, answer string
		endless      bool
		up           bool
		says         string
	}{
		{"not HTTP", "SSH-2.0-OpenSSH\r\n", false, false, "malformed"},
		{"nothing", "", false, false, "get"},
		{"silence", "", true, false, "no answer within 200ms"},
		{"endless header", "HTTP/1.1 200 OK\r\nX: " + strings.Repeat("x", 1<<20), false, false, "header"},
		{"endless body", "HTTP/1.1 200 OK\r\n\r\n" + strings.Repeat("x", 1<<20), true, true, ""},
		{"body cut off", "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nx", false, true, ""},
		{"status that fails", "HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n", false, false, "status 500, want 200 to 399"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			tgt := Target{Service: "web", Backend: "b1", Addr: rawServer(t, c.answer, c.endless), Check: DefaultCheck(HTTP)}
			tgt.Check.Timeout = 200 * time.Millisecond
			s := firstResult(t, tgt)
			if (s.State == Up) != c.up || !strings.Contains(s.Error, c.says) {
				t.Errorf("%+v, want up %v, error with %q", s, c.up, c.says)
			}
		})
	}
}

// rawServer answers each request with the same bytes and, unless it is to
// stay open, closes it.
func rawServer(t *testing.T, answer string, stayOpen bool) netip.AddrPort {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				if _, err := http.ReadRequest(bufio.NewReader(conn)); err != nil {
					return
				}
				fmt.Fprint(conn, answer)
				if stayOpen {
					_, _ = io.Copy(io.Discard, conn)
				}
			}()
		}
	}()
	return netip.MustParseAddrPort(listener.Addr().String())
}

// The body counts if something is expected of it, and its first 16 KiB only.
func TestHTTPBody(t *testing.T) {
	page := func(body string) string {
		return fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
	}
	pad := strings.Repeat("x", maxBody-4)
	cases := []struct {
		name, answer, text, regexp string
		endless                    bool
		says                       string // in the error; empty: up
	}{
		{"text", page("all is well"), "is well", "", false, ""},
		{"text at the bound", page(pad + "well"), "well", "", false, ""},
		{"text beyond the bound", page(pad + "xwell"), "well", "", false, "body: the answer is not what is expected within 16384 bytes"},
		{"text that never comes", page("all is ill"), "well", "", false, "body: the answer is not what is expected"},
		{"text of an endless body", "HTTP/1.1 200 OK\r\n\r\nwell", "well", "", true, ""},
		{"endless body without the text", "HTTP/1.1 200 OK\r\n\r\nill", "well", "", true, "no answer within 200ms: health: get: body: "},
		{"text, then cut off", "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nwell", "well", "", false, ""},
		{"cut off before the text", "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nwe", "well", "", false, "body: unexpected EOF"},
		{"pattern", page("depth 7"), "", `^depth \d$`, false, ""},
		{"other pattern", page("depth 17"), "", `^depth \d$`, false, "not what is expected"},
		{"text with a wrong status", "HTTP/1.1 500 No\r\nContent-Length: 4\r\n\r\nwell", "well", "", false, "status 500"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			tgt := Target{Service: "web", Backend: "b1", Addr: rawServer(t, c.answer, c.endless), Check: DefaultCheck(HTTP)}
			tgt.Check.Timeout, tgt.Check.Expect, tgt.Check.ExpectRegexp = 200*time.Millisecond, c.text, c.regexp
			s := firstResult(t, tgt)
			if (s.State == Up) != (c.says == "") || !strings.Contains(s.Error, c.says) {
				t.Errorf("%+v, want error with %q", s, c.says)
			}
		})
	}
}

// A connection that doesn't come about is given up with its check, not when the
// kernel gives up: those to a dead host would pile up.
func TestDialsEndWithTheirCheck(t *testing.T) {
	for _, kind := range []Type{TCP, HTTP, HTTPS, UDP, DNS} {
		ended := make(chan struct{}, 1)
		c := New(Config{Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
			<-ctx.Done()
			ended <- struct{}{}
			return nil, ctx.Err()
		}})
		tgt := Target{Service: "web", Backend: "b1", Addr: netip.MustParseAddrPort("192.0.2.1:80"), Check: DefaultCheck(kind)}
		tgt.Check.Timeout, tgt.Check.Interval = 20*time.Millisecond, time.Hour
		set(t, c, tgt)
		select {
		case <-ended:
		case <-time.After(5 * time.Second):
			t.Errorf("%s: a check of 20 ms dials for 5 s", kind)
		}
		c.Close()
	}
}

// TestSourceAddress: checks come from where the Config's dialer says.
func TestSourceAddress(t *testing.T) {
	from := make(chan string, 1)
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		select {
		case from <- r.RemoteAddr:
		default:
		}
	}))
	defer server.Close()
	dialer := &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 77)}}
	c := New(Config{Dial: dialer.DialContext})
	defer c.Close()
	set(t, c, httpTarget(server))
	if got := <-from; !strings.HasPrefix(got, "127.0.0.77:") {
		t.Errorf("the check came from %s", got)
	}
}

// What has been serving without a check serves until its check has failed, whatever
// it is that the check finds.
func TestServingUntilTheCheckFails(t *testing.T) {
	dial := func(context.Context, string, string) (net.Conn, error) { return nil, errRefused }
	c := New(Config{Dial: dial})
	defer c.Close()
	serving, stranger := target(0), target(1)
	serving.Serving = true
	for _, tgt := range []*Target{&serving, &stranger} {
		tgt.Check.Interval, tgt.Check.Timeout = MinInterval, MinInterval
	}
	set(t, c, serving, stranger)
	if !c.Up("web", "b0") || c.Up("web", "b1") {
		t.Errorf("before the first check: %+v", c.Status())
	}
	for end := time.Now().Add(5 * time.Second); c.Up("web", "b0"); time.Sleep(MinInterval) {
		if time.Now().After(end) {
			t.Fatalf("still up: %+v", c.Status())
		}
		set(t, c, serving, stranger) // as reloads do: it proves nothing
	}
}

// TestRealRoundTrip sees a server stop and start again.
func TestRealRoundTrip(t *testing.T) {
	var broken atomic.Bool
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if broken.Load() {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}))
	defer server.Close()
	tgt := httpTarget(server)
	tgt.Check.Interval, tgt.Check.Timeout = 20*time.Millisecond, 20*time.Millisecond
	tgt.Check.Fall = 2
	c := New(Config{})
	defer c.Close()
	set(t, c, tgt)
	for _, up := range []bool{true, false, true} {
		broken.Store(!up)
		for c.Up("web", "b1") != up {
			select {
			case <-c.Changes():
			case <-time.After(5 * time.Second):
				t.Fatalf("not %v within 5 s: %+v", up, c.Status())
			}
		}
	}
}
