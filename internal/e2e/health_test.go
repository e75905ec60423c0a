package e2e

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/netip"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"appliance/internal/lab"
	"appliance/internal/lab/origin"
)

const checkTimes = "\ninterval = \"500ms\"\ntimeout = \"500ms\"\nrise = 1\nfall = 2\n"

// checked is a virtual server of the first VIP with a health check of its own.
func checked(l *lab.Lab, protocol string, port int, check string) lab.NodeOptions {
	return lab.NodeOptions{Services: []lab.Service{{
		Name: "checked", VIP: l.VIPs[0].V4, Port: port, BackendPort: port,
		Protocol: protocol, Mode: "nat", Method: "roundrobin", Health: check + checkTimes,
	}}}
}

// takenOut breaks the second of two backends, and mends it again: meanwhile all
// flows go to the first. who opens a new flow and returns who answered it.
func takenOut(t *testing.T, p *lab.Process, broken *atomic.Bool, who func() string) {
	t.Helper()
	for _, down := range []bool{true, false} {
		broken.Store(down)
		eventually(t, fmt.Sprintf("b2 is down: %v", down), func() bool { return up(t, p, "checked", "b2") != down })
		seen := map[string]int{}
		for range 20 {
			seen[who()]++
		}
		if seen["b1"]+seen["b2"] != 20 || (seen["b2"] == 0) != down {
			t.Errorf("b2 down: %v, and of 20 flows: %v", down, seen)
		}
	}
}

// A name server that answers its check with an error gets no new flow.
func TestDNSCheckTakesABackendOut(t *testing.T) {
	l := buildLab(t, lab.Config{Backends: 2})
	var broken atomic.Bool
	for i, b := range l.Backends {
		serveDNS(t, b, byte(i+1), func() bool { return i == 1 && broken.Load() })
	}
	p := start(t, l, checked(l, "udp", 53, "type = \"dns\"\nquery = \"www.example.org\""))
	takenOut(t, p, &broken, func() string { return resolve(t, dial(t, l, "udp", l.VIPs[0].V4, 53)) })
}

// serveDNS answers every query to b with the address 192.0.2.number, or with
// SERVFAIL while it is broken.
func serveDNS(t *testing.T, b *lab.Backend, number byte, broken func() bool) {
	t.Helper()
	conn, err := b.ListenPacket("udp", netip.AddrPortFrom(b.Addr.V4, 53).String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	go func() {
		buf := make([]byte, 512)
		for {
			n, client, err := conn.ReadFrom(buf)
			if err != nil {
				return
			}
			var m dnsmessage.Message
			if m.Unpack(buf[:n]) != nil || len(m.Questions) != 1 {
				continue
			}
			m.Response = true
			m.Answers = []dnsmessage.Resource{{
				Header: dnsmessage.ResourceHeader{Name: m.Questions[0].Name, Class: dnsmessage.ClassINET},
				Body:   &dnsmessage.AResource{A: [4]byte{192, 0, 2, number}},
			}}
			if broken() {
				m.RCode = dnsmessage.RCodeServerFailure
			}
			if answer, err := m.Pack(); err == nil {
				conn.WriteTo(answer, client)
			}
		}
	}()
}

// resolve asks over conn and returns the backend whose number is in the answer.
func resolve(t *testing.T, conn net.Conn) string {
	t.Helper()
	defer conn.Close()
	query := dnsmessage.Message{Header: dnsmessage.Header{ID: 7}, Questions: []dnsmessage.Question{{
		Name: dnsmessage.MustNewName("www.example.org."), Type: dnsmessage.TypeA, Class: dnsmessage.ClassINET,
	}}}
	datagram, err := query.Pack()
	if err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 512)
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Write(datagram); err != nil {
		t.Fatal(err)
	}
	n, err := conn.Read(buf)
	if err != nil {
		t.Fatal(err)
	}
	var m dnsmessage.Message
	if err := m.Unpack(buf[:n]); err != nil || len(m.Answers) != 1 {
		t.Fatalf("answer % x: %v", buf[:n], err)
	}
	a, _ := m.Answers[0].Body.(*dnsmessage.AResource)
	return "b" + strconv.Itoa(int(a.A[3]))
}

// A web server whose certificate is not the CA's gets no new flow.
func TestHTTPSCheckTakesABackendOut(t *testing.T) {
	l := buildLab(t, lab.Config{Backends: 2})
	file := filepath.Join(t.TempDir(), "ca.pem")
	good, bad := selfSigned(t, l), selfSigned(t, l)
	write(t, file, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: good.Certificate[0]})))
	var broken atomic.Bool
	for i, b := range l.Backends {
		serveTLS(t, b, func() *tls.Certificate {
			if i == 1 && broken.Load() {
				return &bad
			}
			return &good
		})
	}
	p := start(t, l, checked(l, "tcp", 443, fmt.Sprintf("type = \"https\"\nca_file = %q\nexpect = \"I am b\"", file)))
	takenOut(t, p, &broken, func() string { return askTLS(t, dial(t, l, "tcp", l.VIPs[0].V4, 443)) })
}

// selfSigned returns a new certificate for the addresses of all backends.
func selfSigned(t *testing.T, l *lab.Lab) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	for _, b := range l.Backends {
		template.IPAddresses = append(template.IPAddresses, b.Addr.V4.AsSlice())
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// serveTLS answers every request to b, of which it sees no more than its first
// bytes, with b's name.
func serveTLS(t *testing.T, b *lab.Backend, certificate func() *tls.Certificate) {
	t.Helper()
	listener, err := b.Listen("tcp", netip.AddrPortFrom(b.Addr.V4, 443).String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	cfg := &tls.Config{GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return certificate(), nil }}
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				secure := tls.Server(conn, cfg)
				if _, err := secure.Read(make([]byte, 1024)); err == nil {
					fmt.Fprintf(secure, "HTTP/1.0 200 OK\r\n\r\nI am %s", b.Host())
				}
				secure.Close()
			}()
		}
	}()
}

// askTLS returns the name of the backend that answers over conn.
func askTLS(t *testing.T, conn net.Conn) string {
	t.Helper()
	defer conn.Close()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	secure := tls.Client(conn, &tls.Config{InsecureSkipVerify: true}) // the check verifies; this client wants to know who it is
	if err := secure.HandshakeContext(ctx); err != nil {
		t.Fatal(err)
	}
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	fmt.Fprint(secure, "GET / HTTP/1.0\r\n\r\n")
	answer, err := io.ReadAll(secure)
	if err != nil || len(answer) < 2 {
		t.Fatalf("answer %q: %v", answer, err)
	}
	return string(answer[len(answer)-2:])
}

// A backend that answers datagrams, but not as expected, gets no flow, from the
// source address that checks were given.
func TestUDPCheckTakesABackendOut(t *testing.T) {
	l := buildLab(t, lab.Config{Backends: 2})
	check := fmt.Sprintf("type = \"udp\"\nsend = \"ping\"\nexpect = \"b1 ping\"\nsource = %q", l.Nodes[0].ServerAddr.V4)
	p := start(t, l, checked(l, "udp", origin.EchoPort, check))
	if !up(t, p, "checked", "b1") || up(t, p, "checked", "b2") {
		t.Fatal("b1 is not up, or b2 is")
	}
	for range 20 {
		if name, err := ask(dial(t, l, "udp", l.VIPs[0].V4, origin.EchoPort), "hello"); err != nil || name != "b1" {
			t.Fatalf("answered by %q: %v", name, err)
		}
	}
}
