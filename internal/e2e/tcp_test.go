package e2e

import (
	"errors"
	"io"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	"appliance/internal/lab"
	"appliance/internal/lab/origin"
)

// A pingpong is a TCP connection to the echo service that a test keeps alive.
type pingpong struct {
	t *testing.T
	c net.Conn
	n byte
}

func newPingpong(t *testing.T, c net.Conn) *pingpong {
	p := &pingpong{t: t, c: c}
	p.exchange()
	return p
}

// exchange sends some bytes and wants them back.
func (p *pingpong) exchange() {
	p.t.Helper()
	if err := p.try(patience); err != nil {
		p.t.Fatal(err)
	}
}

// try is exchange with a time limit. What an earlier one that failed had sent may
// come back late, and is passed over.
func (p *pingpong) try(within time.Duration) error {
	p.n++
	if err := p.c.SetDeadline(time.Now().Add(within)); err != nil {
		return err
	}
	sent := []byte{p.n, 'p', 'i', 'n', 'g'}
	if _, err := p.c.Write(sent); err != nil {
		return err
	}
	for got := make([]byte, len(sent)); string(got) != string(sent); {
		if _, err := io.ReadFull(p.c, got); err != nil {
			return err
		}
		if string(got[1:]) != string(sent[1:]) || int8(got[0]-p.n) > 0 {
			return errors.New("other bytes came back: " + string(got))
		}
	}
	return nil
}

// The server's end of a connection that the client half-closes goes on (this is
// what echo in traffic_test.go relies on too, with more data).
func TestHalfClose(t *testing.T) {
	l, _ := build(t, lab.Config{}, lab.NodeOptions{})
	c := newPingpong(t, dial(t, l, "tcp", l.VIPs[0].V4, origin.EchoPort)).c
	if err := c.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if n, err := io.Copy(io.Discard, c); n != 0 || err != nil {
		t.Errorf("after half-close: %d bytes, %v; want the end", n, err)
	}
}

// A reset of the client reaches the backend, and one of the backend the client.
func TestReset(t *testing.T) {
	l, p := build(t, lab.Config{Backends: 1}, lab.NodeOptions{})
	vip := l.VIPs[0].V4
	// The client's: SetLinger(0) closes by reset. The record must leave its
	// established state.
	c := newPingpong(t, dial(t, l, "tcp", vip, origin.EchoPort)).c
	local := c.LocalAddr().String()
	if err := c.(*net.TCPConn).SetLinger(0); err != nil {
		t.Fatal(err)
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	target := c.RemoteAddr().String()
	eventually(t, "the flow is no longer established", func() bool {
		w, err := p.Where(t.Context(), "tcp", local, target)
		if err != nil {
			t.Fatal(err)
		}
		return w.State != "established"
	})
	// The backend's: its server closes a connection with unread data.
	c = newPingpong(t, dial(t, l, "tcp", vip, origin.EchoPort)).c
	l.Backends[0].Stop()
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	_, err := io.Copy(io.Discard, c)
	if err != nil && !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("error %v, want the end or a reset", err)
	}
}

// Both ends close at the same moment.
func TestSimultaneousClose(t *testing.T) {
	l, p := build(t, lab.Config{Backends: 1}, lab.NodeOptions{})
	vip := l.VIPs[0].V4
	var open []net.Conn
	for range 50 {
		open = append(open, newPingpong(t, dial(t, l, "tcp", vip, origin.EchoPort)).c)
	}
	stopped := make(chan struct{})
	go func() { l.Backends[0].Stop(); close(stopped) }()
	for _, c := range open {
		c.Close()
	}
	<-stopped
	if err := l.Backends[0].Start(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the backend is up again", func() bool { return up(t, p, "http4", "b1") && up(t, p, "echo4", "b1") })
	newPingpong(t, dial(t, l, "tcp", vip, origin.EchoPort))
	accounted(t, status(t, p))
}

// A connection is the same one after a minute of silence in miniature: records
// expire by their own timeouts, not earlier.
func TestIdleConnectionOutlivesShortTimeouts(t *testing.T) {
	l := buildLab(t, lab.Config{Backends: 1})
	text, err := l.Nodes[0].Config(lab.NodeOptions{})
	if err != nil {
		t.Fatal(err)
	}
	text = strings.ReplaceAll(text, "[vserver.health]", "[vserver.timeouts]\nhandshake = \"2s\"\nhalf_closed = \"2s\"\n[vserver.health]")
	start(t, l, lab.NodeOptions{Config: text})
	c := newPingpong(t, dial(t, l, "tcp", l.VIPs[0].V4, origin.EchoPort))
	time.Sleep(4 * time.Second)
	c.exchange()
}

// A packet in the middle of a connection that nobody knows is answered by a
// reset, so that a client learns at once rather than by its own timeout.
func TestUnknownConnectionIsReset(t *testing.T) {
	l, p := build(t, lab.Config{Backends: 1}, lab.NodeOptions{})
	c := newPingpong(t, dial(t, l, "tcp", l.VIPs[0].V4, origin.EchoPort))
	restart(t, l, p, lab.NodeOptions{}) // the new process has no records
	if err := c.try(patience); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("error %v, want connection reset", err)
	}
}
