package origin

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// A place stands in for a host: it gives every service a free port of the
// loopback interface instead of its own, and remembers which.
type place struct {
	mu    sync.Mutex
	ports map[string]string // "tcp 127.0.0.1:80" -> real address
}

func (p *place) listen(network, address string) (net.Listener, error) {
	l, err := net.Listen(network, "127.0.0.1:0")
	if err == nil {
		p.note(network, address, l.Addr())
	}
	return l, err
}

func (p *place) listenPacket(network, address string) (net.PacketConn, error) {
	c, err := net.ListenPacket(network, "127.0.0.1:0")
	if err == nil {
		p.note(network, address, c.LocalAddr())
	}
	return c, err
}

func (p *place) note(network, address string, real net.Addr) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ports[network+" "+address] = real.String()
}

func (p *place) addr(network string, port int) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.ports[fmt.Sprintf("%s 127.0.0.1:%d", network, port)]
}

func start(t *testing.T) (*Server, *place) {
	t.Helper()
	p := &place{ports: make(map[string]string)}
	s := New(Config{
		Name:         "b1",
		Addrs:        []netip.Addr{netip.MustParseAddr("127.0.0.1")},
		Listen:       p.listen,
		ListenPacket: p.listenPacket,
	})
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Stop)
	return s, p
}

func dial(t *testing.T, network, address string) net.Conn {
	t.Helper()
	c, err := net.Dial(network, address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(5 * time.Second))
	return c
}

func TestHTTP(t *testing.T) {
	s, p := start(t)
	for _, c := range []struct {
		path   string
		status int
		body   string
	}{
		{"/", 200, "b1 \n"},
		{"/?token=x", 200, "b1 x\n"},
		{"/?size=12&token=x", 200, "b1 x\nb1 x\nb1"},
		{"/?size=0", 200, ""},
		{"/?size=-1", 400, "size must be 0 to 67108864\n"},
		{"/?size=67108865", 400, "size must be 0 to 67108864\n"},
		{"/?size=lots", 400, "size must be 0 to 67108864\n"},
		{"/health", 200, ""},
		{"/other", 404, "404 page not found\n"},
	} {
		resp, err := http.Get("http://" + p.addr("tcp", HTTPPort) + c.path)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil || resp.StatusCode != c.status || string(body) != c.body {
			t.Errorf("%s: status %d, body %q, error %v, want %d, %q", c.path, resp.StatusCode, body, err, c.status, c.body)
		}
		if got := resp.Header.Get(NameHeader); c.status == 200 && got != "b1" {
			t.Errorf("%s: backend %q, want b1", c.path, got)
		}
	}
	if got := s.Counters().Requests; got != 4 {
		t.Errorf("counted %d requests, want 4: neither errors nor health checks", got)
	}
	s.SetHealthy(false)
	resp, err := http.Get("http://" + p.addr("tcp", HTTPPort) + "/health")
	if err != nil || resp.StatusCode != 503 {
		t.Errorf("health of an unhealthy server: %v, %v, want 503", resp, err)
	}
}

func TestEchoAnswersHalfClose(t *testing.T) {
	_, p := start(t)
	conn := dial(t, "tcp", p.addr("tcp", EchoPort))
	sent := bytes.Repeat([]byte("0123456789"), 1000)
	if _, err := conn.Write(sent); err != nil {
		t.Fatal(err)
	}
	conn.(*net.TCPConn).CloseWrite()
	got, err := io.ReadAll(conn)
	if err != nil || !bytes.Equal(got, sent) {
		t.Errorf("echo returned %d bytes, error %v, want the %d bytes sent", len(got), err, len(sent))
	}
}

func TestStream(t *testing.T) {
	_, p := start(t)
	conn := dial(t, "tcp", p.addr("tcp", StreamPort))
	fmt.Fprintf(conn, "42\n")
	got, want := make([]byte, 100_000), make([]byte, 100_000)
	if _, err := io.ReadFull(conn, got); err != nil {
		t.Fatal(err)
	}
	io.ReadFull(Stream(42), want)
	if !bytes.Equal(got, want) {
		t.Error("the stream differs from Stream(42)")
	}
	refused := dial(t, "tcp", p.addr("tcp", StreamPort))
	fmt.Fprintf(refused, "not a number\n")
	if n, err := refused.Read(got); err == nil {
		t.Errorf("a bad number was answered with %d bytes", n)
	}
}

func TestUDP(t *testing.T) {
	s, p := start(t)
	conn := dial(t, "udp", p.addr("udp", EchoPort))
	for _, sent := range []string{"hello", "", strings.Repeat("x", 60_000)} {
		conn.Write([]byte(sent))
		got := make([]byte, 65_535)
		n, err := conn.Read(got)
		if err != nil || string(got[:n]) != "b1 "+sent {
			t.Errorf("sent %d bytes, got %d, error %v, want the same behind the name", len(sent), n, err)
		}
	}
	if got := s.Counters().Datagrams; got != 3 {
		t.Errorf("counted %d datagrams, want 3", got)
	}
}

func TestStopEndsEverything(t *testing.T) {
	s, p := start(t)
	var open []net.Conn
	for _, port := range []int{HTTPPort, EchoPort, StreamPort} {
		open = append(open, dial(t, "tcp", p.addr("tcp", port)))
	}
	fmt.Fprintf(open[0], "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	fmt.Fprintf(open[1], "x")
	fmt.Fprintf(open[2], "1\n")
	for _, conn := range open { // each is being served
		if _, err := conn.Read(make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
	}
	old := p.addr("tcp", HTTPPort)
	s.Stop()
	for i, conn := range open {
		conn.SetDeadline(time.Now().Add(time.Second))
		if _, err := io.Copy(io.Discard, conn); errors.Is(err, syscall.ETIMEDOUT) || isTimeout(err) {
			t.Errorf("connection %d stays open after Stop", i)
		}
	}
	if conn, err := net.Dial("tcp", old); err == nil {
		conn.Close()
		t.Error("the port still accepts after Stop")
	}
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	dial(t, "tcp", p.addr("tcp", HTTPPort))
}

func isTimeout(err error) bool {
	var timeout net.Error
	return errors.As(err, &timeout) && timeout.Timeout()
}

func TestFailedStartClosesAll(t *testing.T) {
	p := &place{ports: make(map[string]string)}
	s := New(Config{
		Name:   "b1",
		Addrs:  []netip.Addr{netip.MustParseAddr("127.0.0.1")},
		Listen: p.listen,
		ListenPacket: func(string, string) (net.PacketConn, error) {
			return nil, syscall.EADDRINUSE
		},
	})
	if err := s.Start(); !errors.Is(err, syscall.EADDRINUSE) {
		t.Fatalf("Start: %v, want the listener's error", err)
	}
	if conn, err := net.Dial("tcp", p.addr("tcp", HTTPPort)); err == nil {
		conn.Close()
		t.Error("a listener stays open after a failed Start")
	}
}
