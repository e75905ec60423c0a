package health

import (
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"
)

// udpServer answers each datagram with what answer returns; nil: not at all.
func udpServer(t testing.TB, answer func(datagram []byte) []byte) netip.AddrPort {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	go func() {
		buf := make([]byte, 2048)
		for {
			n, client, err := conn.ReadFrom(buf)
			if err != nil {
				return
			}
			if a := answer(buf[:n]); a != nil {
				conn.WriteTo(a, client)
			}
		}
	}()
	return netip.MustParseAddrPort(conn.LocalAddr().String())
}

// closedPort returns a UDP port of the loopback that nobody listens on.
func closedPort(t *testing.T) netip.AddrPort {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	return netip.MustParseAddrPort(conn.LocalAddr().String())
}

func TestUDP(t *testing.T) {
	echo := func(d []byte) []byte { return append([]byte("b1 "), d...) }
	silent := func([]byte) []byte { return nil }
	empty := func([]byte) []byte { return []byte{} }
	cases := []struct {
		name   string
		answer func([]byte) []byte // nil: nobody listens
		change func(*Check)
		says   string // in the error; empty: up
	}{
		{"any answer", echo, func(*Check) {}, ""},
		{"empty answer", empty, func(*Check) {}, ""},
		{"expected text", echo, func(c *Check) { c.Send, c.Expect = "ping \x00\xff", "ping \x00\xff" }, ""},
		{"expected pattern", echo, func(c *Check) { c.Send, c.ExpectRegexp = "ping", "^b1 ping$" }, ""},
		{"other text", echo, func(c *Check) { c.Send, c.Expect = "ping", "pong" }, "health: receive: the answer is not what is expected"},
		{"other pattern", echo, func(c *Check) { c.Send, c.ExpectRegexp = "ping", "^ping" }, "not what is expected"},
		{"silence", silent, func(*Check) {}, "health: no answer within 200ms"},
		{"closed port", nil, func(*Check) {}, "connection refused"},
		{"silence is fine", silent, func(c *Check) { c.SilenceOK = true }, ""},
		{"silence is fine, a closed port is not", nil, func(c *Check) { c.SilenceOK = true }, "connection refused"},
		{"silence is fine, a wrong answer is not", echo, func(c *Check) { c.SilenceOK, c.Expect = true, "pong" }, "not what is expected"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			tgt := Target{Service: "game", Backend: "b1", Addr: netip.AddrPort{}, Check: DefaultCheck(UDP)}
			if tgt.Addr = closedPort(t); c.answer != nil {
				tgt.Addr = udpServer(t, c.answer)
			}
			tgt.Check.Timeout = 200 * time.Millisecond
			c.change(&tgt.Check)
			s := firstResult(t, tgt)
			if (s.State == Up) != (c.says == "") || !strings.Contains(s.Error, c.says) {
				t.Errorf("%+v, want error with %q", s, c.says)
			}
		})
	}
}

// A check that Close breaks off in the middle of its silence is no success.
func TestSilenceThatIsBrokenOff(t *testing.T) {
	tgt := Target{Service: "game", Backend: "b1", Addr: udpServer(t, func([]byte) []byte { return nil }), Check: DefaultCheck(UDP)}
	tgt.Check.SilenceOK, tgt.Check.Interval, tgt.Check.Timeout = true, time.Hour, time.Hour
	c := New(Config{})
	set(t, c, tgt)
	time.Sleep(20 * time.Millisecond) // so that it is under way, most likely
	start := time.Now()
	c.Close()
	if s := c.Status()[0]; time.Since(start) > 5*time.Second || !s.Checked.IsZero() || c.Up("game", "b1") {
		t.Errorf("after %v: %+v", time.Since(start), s)
	}
}

// Source addresses of every type of connection.
func TestCheckSource(t *testing.T) {
	from := make(chan string, 1)
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	go func() {
		if _, client, err := conn.ReadFrom(make([]byte, 16)); err == nil {
			from <- client.String()
		}
	}()
	udp := Target{Service: "game", Backend: "b1", Addr: netip.MustParseAddrPort(conn.LocalAddr().String()), Check: DefaultCheck(UDP)}
	udp.Check.Source = netip.MustParseAddr("127.0.0.77")
	udp.Check.Timeout = 100 * time.Millisecond
	firstResult(t, udp)
	if got := <-from; !strings.HasPrefix(got, "127.0.0.77:") {
		t.Errorf("the datagram came from %s", got)
	}

	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	tcp := Target{Service: "web", Backend: "b1", Addr: netip.MustParseAddrPort(listener.Addr().String()), Check: DefaultCheck(TCP)}
	tcp.Check.Source = netip.MustParseAddr("127.0.0.78")
	if s := firstResult(t, tcp); s.State != Up {
		t.Errorf("%+v", s)
	}
	accepted, err := listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer accepted.Close()
	if got := accepted.RemoteAddr().String(); !strings.HasPrefix(got, "127.0.0.78:") {
		t.Errorf("the connection came from %s", got)
	}
	tcp.Check.Source = netip.MustParseAddr("192.0.2.1") // not of this machine
	if s := firstResult(t, tcp); s.State == Up || !strings.Contains(s.Error, "cannot assign requested address") {
		t.Errorf("foreign source: %+v", s)
	}
}
