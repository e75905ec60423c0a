package health

import (
	"crypto/tls"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"
)

// secureServer serves "all is well" over TLS, and sends each server name that is
// asked for to the returned channel.
func secureServer(t *testing.T, cert tls.Certificate, most uint16) (netip.AddrPort, <-chan string) {
	t.Helper()
	names := make(chan string, 16)
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		io.WriteString(w, "all is well")
	}))
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.TLS = &tls.Config{
		GetConfigForClient: func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
			names <- hello.ServerName
			return &tls.Config{MinVersion: tls.VersionTLS10, MaxVersion: most, Certificates: []tls.Certificate{cert}}, nil
		},
	}
	server.StartTLS()
	t.Cleanup(server.Close)
	return netip.MustParseAddrPort(server.Listener.Addr().String()), names
}

func TestHTTPS(t *testing.T) {
	ours, other := newCA(t), newCA(t)
	good := ours.server(t, time.Now().Add(time.Hour))
	expired := ours.server(t, time.Now().Add(-time.Minute))
	cases := []struct {
		name   string
		cert   tls.Certificate
		change func(*Check)
		sni    string // that the server sees
		says   string // in the error; empty: up
	}{
		{"by server name", good, func(c *Check) { c.ServerName = "www.example.org" }, "www.example.org", ""},
		{"by Host header", good, func(c *Check) { c.Host = "www.example.org:8443" }, "www.example.org", ""},
		{"server name before Host header", good, func(c *Check) { c.Host, c.ServerName = "elsewhere", "www.example.org" }, "www.example.org", ""},
		{"by address", good, func(*Check) {}, "", ""},
		{"by another address", good, func(c *Check) { c.ServerName = "127.0.0.2" }, "", `the certificate is not for "127.0.0.2"`},
		{"wrong name", good, func(c *Check) { c.ServerName = "www.example.com" }, "www.example.com", `the certificate is not for "www.example.com"`},
		{"wrong CA", good, func(c *Check) { c.CA = other.ca }, "", "not signed by a trusted CA"},
		{"the system's CAs", good, func(c *Check) { c.CA = CA{} }, "", "not signed by a trusted CA"},
		{"expired", expired, func(*Check) {}, "", "has expired"},
		{"insecure: wrong CA", good, func(c *Check) { c.CA, c.Insecure = CA{}, true }, "", ""},
		{"insecure: wrong name", good, func(c *Check) { c.CA, c.Insecure, c.ServerName = CA{}, true, "x.org" }, "x.org", ""},
		{"insecure: expired", expired, func(c *Check) { c.CA, c.Insecure = CA{}, true }, "", ""},
		{"status", good, func(c *Check) { c.StatusMin = 201 }, "", "status 200, want 201 to 399"},
		{"expected text", good, func(c *Check) { c.Expect = "well" }, "", ""},
		{"other text", good, func(c *Check) { c.Expect = "ill" }, "", "body: the answer is not what is expected"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			addr, names := secureServer(t, c.cert, 0)
			tgt := Target{Service: "web", Backend: "b1", Addr: addr, Check: DefaultCheck(HTTPS)}
			tgt.Check.CA = ours.ca
			c.change(&tgt.Check)
			s := firstResult(t, tgt)
			if (s.State == Up) != (c.says == "") || !strings.Contains(s.Error, c.says) {
				t.Errorf("%+v, want error with %q", s, c.says)
			}
			if strings.Contains(s.Error, "confidential") || strings.Contains(s.Error, "secret") {
				t.Errorf("the error repeats the certificate: %s", s.Error)
			}
			if name := <-names; name != c.sni {
				t.Errorf("the server was asked for %q, want %q", name, c.sni)
			}
		})
	}
}

// Old TLS and no TLS are failures, and so is a server that never answers the
// handshake, in time.
func TestHTTPSHandshakeFails(t *testing.T) {
	ca := newCA(t)
	old, _ := secureServer(t, ca.server(t, time.Now().Add(time.Hour)), tls.VersionTLS11)
	silent, err := net.Listen("tcp", "127.0.0.1:0") // the kernel accepts, nobody reads
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	for _, c := range []struct {
		name string
		addr netip.AddrPort
		says string
	}{
		{"TLS 1.1", old, "health: TLS: remote error: tls: protocol version not supported"},
		{"no TLS", rawServer(t, "HTTP/1.1 400 Bad Request\r\n\r\n", false), "health: TLS: "},
		{"silence", netip.MustParseAddrPort(silent.Addr().String()), "health: no answer within 200ms: health: TLS: "},
	} {
		tgt := Target{Service: "web", Backend: "b1", Addr: c.addr, Check: DefaultCheck(HTTPS)}
		tgt.Check.CA, tgt.Check.Timeout = ca.ca, 200*time.Millisecond
		if s := firstResult(t, tgt); s.State == Up || !strings.HasPrefix(s.Error, c.says) {
			t.Errorf("%s: %+v, want error %q", c.name, s, c.says)
		}
	}
}
