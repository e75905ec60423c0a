package api

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"appliance/internal/node"
)

// A fake is a Source, and the reload function, that says what the test told it.
type fake struct {
	ready  error
	status node.Status
	where  node.Where
	err    error // of Status, Where and Reload

	mu    sync.Mutex
	asked []node.Flow
	said  []string // what Deny and Allow were asked for
}

func (f *fake) Ready() error                                { return f.ready }
func (f *fake) Status(context.Context) (node.Status, error) { return f.status, f.err }
func (f *fake) Reload(context.Context) error                { return f.err }

func (f *fake) Denied() []node.Denial {
	return []node.Denial{{Prefix: netip.MustParsePrefix("198.51.100.0/24"), Added: true, Until: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}}
}

func (f *fake) Deny(p netip.Prefix, duration time.Duration) error {
	f.said = append(f.said, fmt.Sprintf("deny %v for %v", p, duration))
	return f.err
}

func (f *fake) Allow(p netip.Prefix) error {
	f.said = append(f.said, fmt.Sprintf("allow %v", p))
	return f.err
}

func (f *fake) Where(_ context.Context, flow node.Flow) (node.Where, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked = append(f.asked, flow)
	return f.where, f.err
}

// serve starts a server for f and returns its socket.
func serve(t *testing.T, f *fake) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "run", "api.sock") // a folder that isn't there yet
	l, err := Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	registry := prometheus.NewRegistry()
	flows := prometheus.NewGauge(prometheus.GaugeOpts{Name: "appliance_flows", Help: "Flows."})
	flows.Set(7)
	registry.MustRegister(flows)
	s := NewServer(Config{Source: f, Reload: f.Reload, Metrics: registry, Log: slog.New(slog.DiscardHandler)})
	done := make(chan error, 1)
	go func() { done <- s.Serve(l) }()
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		if err := <-done; err != nil {
			t.Error(err)
		}
		if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("the socket is still there: %v", err)
		}
	})
	return path
}

// request makes an HTTP request over the socket.
func request(t *testing.T, socket, method, target string) (code int, body string, header http.Header) {
	t.Helper()
	c := http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(context.Context, string, string) (net.Conn, error) {
			return net.Dial("unix", socket)
		},
	}}
	req, err := http.NewRequestWithContext(t.Context(), method, "http://appliance"+target, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := c.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(text), resp.Header
}

// The client understands what the server says, word for word.
func TestRoundTrip(t *testing.T) {
	f := &fake{
		status: node.Status{
			Version: "v1", Node: "lb1", ID: 3, PID: 99, Started: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), Generation: 12,
			Totals:     node.Totals{RxPackets: 5, Dropped: map[string]uint64{"no_flow": 2}},
			Engines:    []node.EngineStatus{{ID: 0, RxPackets: 5, Dropped: map[string]uint64{"no_flow": 2}}},
			Interfaces: []node.InterfaceStatus{{Name: "eth0", Planes: []string{"client"}, State: "up", Ports: []node.PortStatus{{Queue: 1}}}},
			Services: []node.ServiceStatus{{Name: "web", VIP: netip.MustParseAddr("2001:db8::1"), Port: 80, Backends: []node.BackendStatus{
				{Name: "b1", Address: netip.MustParseAddrPort("10.0.0.1:80"), Up: true, Since: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)},
			}}},
			Frames: node.FrameStatus{Total: 10, Free: 4, Fill: 6},
			Reload: node.ReloadStatus{Error: "lb.toml:3: engine.batch: \"<none>\" & such"},
		},
		where: node.Where{Hash: 0xdeadbeef, Bucket: 3823, CoreEntry: 111, Engine: 1, Service: "web", Backend: "b1",
			Source: netip.MustParseAddrPort("10.2.2.1:4711"), State: "established", ExpiresS: 12.5, Why: "the flow has a record"},
	}
	c := NewClient(serve(t, f))
	if err := c.Ready(t.Context()); err != nil {
		t.Error(err)
	}
	status, err := c.Status(t.Context())
	if err != nil || !reflect.DeepEqual(status, f.status) {
		t.Errorf("status is %+v (%v), want %+v", status, err, f.status)
	}
	where, err := c.Where(t.Context(), "udp", "[2001:db8::7]:5353", "[2001:db8::1]:53")
	if err != nil || where != f.where {
		t.Errorf("where is %+v (%v), want %+v", where, err, f.where)
	}
	want := node.Flow{Protocol: "udp", From: netip.MustParseAddrPort("[2001:db8::7]:5353"), To: netip.MustParseAddrPort("[2001:db8::1]:53")}
	if len(f.asked) != 1 || f.asked[0] != want {
		t.Errorf("asked for %v, want %v", f.asked, want)
	}
	if err := c.Reload(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestRoundTripOfDenials(t *testing.T) {
	f := new(fake)
	c := NewClient(serve(t, f))
	got, err := c.Denied(t.Context())
	if err != nil || !reflect.DeepEqual(got, f.Denied()) {
		t.Errorf("denied are %+v (%v), want %+v", got, err, f.Denied())
	}
	net4, net6 := netip.MustParsePrefix("198.51.100.0/24"), netip.MustParsePrefix("2001:db8::/32")
	err = errors.Join(
		c.Deny(t.Context(), net4, 90*time.Second), c.Deny(t.Context(), net6, 0), c.Allow(t.Context(), net4))
	want := []string{"deny 198.51.100.0/24 for 1m30s", "deny 2001:db8::/32 for 0s", "allow 198.51.100.0/24"}
	if err != nil || !reflect.DeepEqual(f.said, want) {
		t.Errorf("the node was asked for %q (%v), want %q", f.said, err, want)
	}
}

// Errors travel as they are, each under its status code.
func TestErrors(t *testing.T) {
	f := &fake{ready: errors.New("starting: \"<soon>\""), err: errors.New("n.toml:1: a: wrong\nn.toml:2: b: wrong")}
	socket := serve(t, f)
	c := NewClient(socket)
	const flow = "?protocol=tcp&from=10.0.0.1:1&to=10.0.0.2:2"
	for _, r := range []struct {
		method, target string
		code           int
		want           error
		ask            func() error
	}{
		{"GET", "/ready", http.StatusServiceUnavailable, f.ready, func() error { return c.Ready(t.Context()) }},
		{"GET", "/status", http.StatusInternalServerError, f.err, func() error { _, err := c.Status(t.Context()); return err }},
		{"GET", "/where" + flow, http.StatusInternalServerError, f.err, func() error {
			_, err := c.Where(t.Context(), "tcp", "10.0.0.1:1", "10.0.0.2:2")
			return err
		}},
		{"POST", "/deny?prefix=10.0.0.0/8", http.StatusConflict, f.err, func() error {
			return c.Deny(t.Context(), netip.MustParsePrefix("10.0.0.0/8"), 0)
		}},
		{"DELETE", "/deny?prefix=10.0.0.0/8", http.StatusConflict, f.err, func() error {
			return c.Allow(t.Context(), netip.MustParsePrefix("10.0.0.0/8"))
		}},
		{"POST", "/reload", http.StatusUnprocessableEntity, f.err, func() error { return c.Reload(t.Context()) }},
	} {
		code, body, header := request(t, socket, r.method, r.target)
		if code != r.code || !strings.HasPrefix(body, `{"error":`) || header.Get("Content-Type") != "application/json" {
			t.Errorf("%s: %d %s %q, want %d", r.target, code, header.Get("Content-Type"), body, r.code)
		}
		if err := r.ask(); err == nil || err.Error() != r.want.Error() {
			t.Errorf("%s: the client says %q, want %q", r.target, err, r.want)
		} else if refused := errors.As(err, new(Refusal)); refused != (r.target == "/reload") {
			t.Errorf("%s: a refusal: %v", r.target, refused)
		}
	}
}

// What isn't asked for properly is refused, and doesn't reach the node.
func TestBadRequests(t *testing.T) {
	f := new(fake)
	socket := serve(t, f)
	for _, r := range []struct {
		method, target string
		code           int
		want           string
	}{
		{"GET", "/where", 400, `protocol \"\" is neither`},
		{"GET", "/where?protocol=icmp&from=10.0.0.1:1&to=10.0.0.2:2", 400, `protocol \"icmp\" is neither tcp nor udp`},
		{"GET", "/where?protocol=tcp&from=10.0.0.1&to=10.0.0.2:2", 400, `from \"10.0.0.1\" is not ADDRESS:PORT`},
		{"GET", "/where?protocol=tcp&from=10.0.0.1:1&to=web:80", 400, `to \"web:80\" is not ADDRESS:PORT`},
		{"GET", "/where?protocol=tcp&from=10.0.0.1:70000&to=10.0.0.2:2", 400, "is not ADDRESS:PORT"},
		{"GET", "/where?protocol=udp&from=10.0.0.1:1&to=[2001:db8::1]:2", 400, "different families"},
		{"POST", "/deny", 400, `\"\" is no prefix`},
		{"POST", "/deny?prefix=10.0.0.1/8", 400, "give 10.0.0.0/8"},
		{"POST", "/deny?prefix=10.0.0.0/8&for=soon", 400, `for \"soon\": give a duration above zero`},
		{"POST", "/deny?prefix=10.0.0.0/8&for=-1s", 400, "give a duration above zero"},
		{"DELETE", "/deny?prefix=web", 400, `\"web\" is no prefix`},
		{"PUT", "/deny", 405, ""},
		{"GET", "/reload", 405, ""},
		{"POST", "/status", 405, ""},
		{"GET", "/", 404, ""},
		{"GET", "/statusx", 404, ""},
	} {
		code, body, _ := request(t, socket, r.method, r.target)
		if code != r.code || !strings.Contains(body, r.want) {
			t.Errorf("%s %s: %d %q, want %d and %q", r.method, r.target, code, body, r.code, r.want)
		}
	}
	if len(f.asked)+len(f.said) > 0 {
		t.Errorf("the node was asked for %v %v", f.asked, f.said)
	}
}

func TestMetrics(t *testing.T) {
	code, body, header := request(t, serve(t, new(fake)), "GET", "/metrics")
	if code != http.StatusOK || !strings.Contains(body, "\nappliance_flows 7\n") || !strings.HasPrefix(header.Get("Content-Type"), "text/plain") {
		t.Errorf("%d, %s:\n%s", code, header.Get("Content-Type"), body)
	}
}

// stuck is a node that doesn't answer.
type stuck struct{ asked, over chan struct{} }

func (s stuck) Ready() error { close(s.asked); <-s.over; return nil }

func (s stuck) Status(context.Context) (node.Status, error)          { return node.Status{}, nil }
func (s stuck) Where(context.Context, node.Flow) (node.Where, error) { return node.Where{}, nil }
func (s stuck) Denied() []node.Denial                                { return nil }
func (s stuck) Deny(netip.Prefix, time.Duration) error               { return nil }
func (s stuck) Allow(netip.Prefix) error                             { return nil }

// Close cuts off whoever still waits for an answer, after a second.
func TestCloseWithAnswersUnderWay(t *testing.T) {
	l, err := Listen(filepath.Join(t.TempDir(), "api.sock"))
	if err != nil {
		t.Fatal(err)
	}
	source := stuck{make(chan struct{}), make(chan struct{})}
	defer close(source.over)
	s := NewServer(Config{Source: source, Metrics: prometheus.NewRegistry(), Log: slog.New(slog.DiscardHandler)})
	served, answered := make(chan error, 1), make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	client := NewClient(l.Addr().String())
	go func() { answered <- client.do(t.Context(), http.MethodGet, "/ready", nil, nil) }()
	<-source.asked
	if err := s.Close(); err == nil {
		t.Error("Close says that nobody waited")
	}
	for name, end := range map[string]chan error{"the client": answered, "Serve": served} {
		select {
		case err := <-end:
			if (err == nil) != (name == "Serve") {
				t.Errorf("%s ended with %v", name, err)
			}
		case <-time.After(5 * time.Second):
			t.Errorf("%s goes on", name)
		}
	}
}

// Clients that send half a request, or don't read their answer, hold nobody
// else up.
func TestSlowClients(t *testing.T) {
	long := &fake{status: node.Status{Node: strings.Repeat("x", 8<<20)}} // more than a socket's buffers hold
	path := serve(t, long)
	for _, half := range []string{"", "GET /st", "GET /status HTTP/1.1\r\nHost: x\r\n", "GET /status HTTP/1.1\r\nHost: x\r\n\r\n"} {
		c, err := net.Dial("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if _, err := io.WriteString(c, half); err != nil {
			t.Fatal(err)
		}
	}
	began := time.Now()
	if err := NewClient(path).Ready(t.Context()); err != nil {
		t.Error(err)
	}
	if _, err := NewClient(path).Status(t.Context()); err != nil {
		t.Error(err)
	}
	if took := time.Since(began); took > 4*time.Second { // less than any of the server's time-outs
		t.Errorf("two answers took %v", took)
	}
}
