package e2e

import (
	"context"
	"fmt"
	"math"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"appliance/internal/lab"
	"appliance/internal/lab/origin"
)

// A thousand connections at once, spread by weight: round robin to within 5 %,
// Maglev as a random sample of its table may be.
func TestThousandConnectionsRespectWeights(t *testing.T) {
	weights := []int{3, 2, 1}
	for _, method := range []string{"roundrobin", "maglev"} {
		t.Run(method, func(t *testing.T) {
			l := buildLab(t, lab.Config{Backends: 3, Clients: 4})
			services := l.Services("nat", method)
			for i := range services {
				services[i].Weights = weights
			}
			p := start(t, l, lab.NodeOptions{Services: services})
			const n = 1002 // divides by the weights' sum
			got := hold(t, l, n)
			share := func(i int) float64 { return float64(n*weights[i]) / 6 }
			var chi2 float64
			for i, b := range l.Backends {
				seen, want := float64(got[b.Host()]), share(i)
				chi2 += (seen - want) * (seen - want) / want
				if method == "roundrobin" && math.Abs(seen-want) > 0.05*want {
					t.Errorf("%s has %v connections, want %v within 5%%", b.Host(), seen, want)
				}
			}
			// 13.8: two degrees of freedom, wrong once in a thousand runs.
			if method == "maglev" && chi2 > 13.8 {
				t.Errorf("chi square %.1f of %v for weights %v", chi2, got, weights)
			}
			accounted(t, status(t, p))
		})
	}
}

// hold opens n TCP connections, has all of them open at once, and returns how
// many each backend has.
func hold(t *testing.T, l *lab.Lab, n int) map[string]int {
	t.Helper()
	var mu sync.Mutex
	var wg sync.WaitGroup
	got := map[string]int{}
	target := netip.AddrPortFrom(l.VIPs[0].V4, origin.HTTPPort)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	limit := make(chan struct{}, 64)
	for i := range n {
		limit <- struct{}{}
		wg.Go(func() {
			name, err := openAndAsk(ctx, t, l.Clients[i%len(l.Clients)], target)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				t.Errorf("connection %d: %v", i, err)
			}
			got[name]++
			<-limit
		})
	}
	wg.Wait()
	return got
}

// openAndAsk makes a request over a new connection that stays open until the
// test's end, and returns who answered.
func openAndAsk(ctx context.Context, t *testing.T, c *lab.Client, target netip.AddrPort) (string, error) {
	conn, err := c.DialContext(ctx, "tcp", target.String())
	if err != nil {
		return "", err
	}
	t.Cleanup(func() { conn.Close() })
	return askName(conn)
}

// askName makes a request over a connection, and returns who answered.
func askName(conn net.Conn) (string, error) {
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		return "", err
	}
	if _, err := fmt.Fprintf(conn, "GET /?size=1&token=w HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		return "", err
	}
	buf := make([]byte, 4096)
	n, err := conn.Read(buf)
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(string(buf[:n])) {
		if name, ok := strings.CutPrefix(line, origin.NameHeader+": "); ok {
			return strings.TrimSpace(name), nil
		}
	}
	return "", fmt.Errorf("answer without a name: %q", buf[:n])
}

// A backend whose servers die gets no new flow once its health check has found
// out, so that no request fails any more; when they are back it gets some again.
func TestDeadBackendIsTakenOut(t *testing.T) {
	l, p := build(t, lab.Config{Backends: 3}, lab.NodeOptions{})
	vip := l.VIPs[0].V4
	victim := l.Backends[1]
	victim.Stop()
	eventually(t, "the health check found out", func() bool { return !up(t, p, "http4", victim.Host()) })
	for i := range 100 {
		name, err := get(t.Context(), l.Clients[0], vip, 100)
		if err != nil {
			t.Fatalf("request %d after detection: %v", i, err)
		}
		if name == victim.Host() {
			t.Fatalf("request %d was answered by the dead backend", i)
		}
	}
	if err := victim.Start(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the returned backend gets requests", func() bool {
		name, err := get(t.Context(), l.Clients[0], vip, 100)
		if err != nil {
			t.Fatal(err)
		}
		return name == victim.Host()
	})
}

func up(t *testing.T, p *lab.Process, service, backend string) bool {
	t.Helper()
	for _, s := range status(t, p).Services {
		if s.Name != service {
			continue
		}
		for _, b := range s.Backends {
			if b.Name == backend {
				return b.Up
			}
		}
	}
	t.Fatalf("status knows no backend %s of %s", backend, service)
	return false
}

// With every backend down, a client is told at once.
func TestNoBackendIsRefusedAtOnce(t *testing.T) {
	l, p := build(t, lab.Config{Backends: 2}, lab.NodeOptions{})
	for _, b := range l.Backends {
		b.Stop()
	}
	eventually(t, "all backends are down", func() bool {
		return !up(t, p, "http4", "b1") && !up(t, p, "http4", "b2")
	})
	_, err := get(t.Context(), l.Clients[0], l.VIPs[0].V4, 1)
	if err == nil || !strings.Contains(err.Error(), syscall.ECONNREFUSED.Error()) {
		t.Errorf("error %v, want connection refused", err)
	}
}

// A port of the VIP that nobody serves refuses, TCP and UDP.
func TestNoServiceIsRefused(t *testing.T) {
	l, _ := build(t, lab.Config{IPv6: true}, lab.NodeOptions{})
	for _, vip := range l.VIPs[0].All() {
		c, err := l.Clients[0].DialContext(t.Context(), "tcp", netip.AddrPortFrom(vip, 4444).String())
		if err == nil {
			c.Close()
		}
		if err == nil || !strings.Contains(err.Error(), syscall.ECONNREFUSED.Error()) {
			t.Errorf("tcp %s: error %v, want connection refused", vip, err)
		}
		if _, err = ask(dial(t, l, "udp", vip, 4444), "x"); err == nil || !strings.Contains(err.Error(), syscall.ECONNREFUSED.Error()) {
			t.Errorf("udp %s: error %v, want connection refused", vip, err)
		}
	}
}

// A reload drains a backend by weight 0: connections that it has go on, new
// ones go elsewhere, and connections of others don't notice.
func TestDrainByReload(t *testing.T) {
	l := buildLab(t, lab.Config{Backends: 2})
	services := l.Services("nat", "roundrobin")
	opts := lab.NodeOptions{Services: services}
	p := start(t, l, opts)
	vip := l.VIPs[0].V4
	var open []*pingpong
	for range 10 {
		open = append(open, newPingpong(t, dial(t, l, "tcp", vip, origin.EchoPort)))
	}
	for i := range services {
		services[i].Weights = []int{0, 1}
	}
	reload(t, l, p, opts)
	for i := range 20 {
		if name, err := get(t.Context(), l.Clients[0], vip, 10); err != nil || name != "b2" {
			t.Fatalf("request %d went to %q (%v), want b2", i, name, err)
		}
	}
	for _, c := range open {
		c.exchange()
	}
}

// reload gives the running node another configuration file and a SIGHUP, and
// waits until it is in force.
func reload(t *testing.T, l *lab.Lab, p *lab.Process, opts lab.NodeOptions) {
	t.Helper()
	text, err := l.Nodes[0].Config(opts)
	if err != nil {
		t.Fatal(err)
	}
	reloadText(t, l, p, text)
	if s := status(t, p); s.Reload.Error != "" {
		t.Fatalf("reload refused: %s", s.Reload.Error)
	}
}

func reloadText(t *testing.T, l *lab.Lab, p *lab.Process, text string) {
	t.Helper()
	before := status(t, p).Reload.At
	if err := os.WriteFile(l.Nodes[0].ConfigFile(), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := p.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the reload is done", func() bool { return status(t, p).Reload.At.After(before) })
}

// A configuration that is refused changes nothing and is shown in status.
func TestBadReloadKeepsTheLastGood(t *testing.T) {
	l, p := build(t, lab.Config{}, lab.NodeOptions{})
	c := newPingpong(t, dial(t, l, "tcp", l.VIPs[0].V4, origin.EchoPort))
	for _, c := range []struct{ name, text, want string }{
		{"syntax", "[[vserver]\n", "n1.toml:1: not TOML"},
		{"unknown key", "[engine]\nengins = 1\n", "engins"},
	} {
		reloadText(t, l, p, c.text)
		if got := status(t, p).Reload.Error; !strings.Contains(got, c.want) {
			t.Errorf("%s: status says %q, want %q in it", c.name, got, c.want)
		}
	}
	c.exchange()
	if _, err := get(t.Context(), l.Clients[0], l.VIPs[0].V4, 10); err != nil {
		t.Error(err)
	}
}
