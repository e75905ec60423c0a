package e2e

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"

	"appliance/internal/lab"
	"appliance/internal/lab/origin"
	"appliance/internal/node"
)

// TCP and UDP, both families, every mode, both drivers: each request reaches a
// backend and its answer the client, and every backend gets some.
func TestTraffic(t *testing.T) {
	for _, mode := range []string{"nat", "dsr"} {
		for _, driver := range []string{"xsk", "asavie"} {
			t.Run(mode+"/"+driver, func(t *testing.T) {
				l := buildLab(t, lab.Config{Backends: 3, IPv6: true})
				p := start(t, l, lab.NodeOptions{
					Services: l.Services(mode, "maglev"),
					Engine:   map[string]string{"driver": `"` + driver + `"`},
				})
				checkTraffic(t, l)
				s := status(t, p)
				accounted(t, s)
				if n := unexplained(s); n != 0 {
					t.Errorf("%d packets dropped: %v", n, s.Totals.Dropped)
				}
			})
		}
	}
}

// restart replaces the node's appliance by one with other options.
func restart(t *testing.T, l *lab.Lab, p *lab.Process, opts lab.NodeOptions) *lab.Process {
	t.Helper()
	if err := p.Stop(); err != nil {
		t.Fatal(err)
	}
	return start(t, l, opts)
}

// checkTraffic sends requests of all kinds to the first VIP's addresses.
func checkTraffic(t *testing.T, l *lab.Lab) {
	t.Helper()
	for _, vip := range l.VIPs[0].All() {
		seen := map[string]int{}
		for i := range 60 {
			name, err := get(t.Context(), l.Clients[0], vip, 1+i*i*50)
			if err != nil {
				t.Fatalf("HTTP request %d to %s: %v", i, vip, err)
			}
			seen[name]++
		}
		for i := range 60 {
			c := dial(t, l, "udp", vip, origin.EchoPort)
			name, err := ask(c, strings.Repeat("x", 1+i*i*17)) // up to 41 fragments
			if err != nil {
				t.Fatalf("datagram %d to %s: %v", i, vip, err)
			}
			seen[name]++
			c.Close()
		}
		if len(seen) != len(l.Backends) {
			t.Errorf("requests to %s reached %v of %d backends", vip, seen, len(l.Backends))
		}
	}
}

// A connection that moves megabytes both ways uses all that TCP negotiates:
// window scaling, selective acknowledgements, timestamps.
func TestBulkBothWays(t *testing.T) {
	for _, mode := range []string{"nat", "dsr"} {
		t.Run(mode, func(t *testing.T) {
			l := buildLab(t, lab.Config{IPv6: true})
			p := start(t, l, lab.NodeOptions{Services: l.Services(mode, "maglev")})
			for _, vip := range l.VIPs[0].All() {
				echo(t, dial(t, l, "tcp", vip, origin.EchoPort), 4<<20)
			}
			accounted(t, status(t, p))
		})
	}
}

// echo sends n bytes, half-closes, and wants exactly them back, then the end.
func echo(t *testing.T, c net.Conn, n int) {
	t.Helper()
	sent := make([]byte, n)
	if _, err := io.ReadFull(origin.Stream(uint64(n)), sent); err != nil {
		t.Fatal(err)
	}
	failed := make(chan error, 1)
	go func() {
		_, err := c.Write(sent)
		if err == nil {
			err = c.(*net.TCPConn).CloseWrite()
		}
		failed <- err
	}()
	got, err := io.ReadAll(c)
	if err != nil {
		t.Fatal(err)
	}
	if err := <-failed; err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, sent) {
		t.Fatalf("sent %d bytes, %d others came back", n, len(got))
	}
}

// Two engines, each with a queue of its own: the client's packets of a flow come
// in on one queue, and whichever engine owns the flow handles both directions.
func TestTwoEnginesHandOff(t *testing.T) {
	l := buildLab(t, lab.Config{Backends: 3, Queues: 2, IPv6: true})
	p := start(t, l, lab.NodeOptions{
		Services: l.Services("nat", "maglev"),
		Engine:   map[string]string{"engines": "2"},
	})
	checkTraffic(t, l)
	for _, vip := range l.VIPs[0].All() {
		echo(t, dial(t, l, "tcp", vip, origin.EchoPort), 1<<20)
	}
	var s node.Status
	eventually(t, "all packets that were handed off are taken over", func() bool { // the last ones of a connection still travel
		s = status(t, p)
		var handed, taken uint64
		for _, e := range s.Engines {
			handed, taken = handed+e.HandedOff, taken+e.TakenOver
		}
		return handed > 0 && handed == taken
	})
	accounted(t, s)
	for _, e := range s.Engines {
		if e.OwnedPackets == 0 {
			t.Errorf("engine %d owned no packet", e.ID)
		}
	}
	if n := unexplained(s); n != 0 {
		t.Errorf("%d packets dropped: %v", n, s.Totals.Dropped)
	}
}

// The VIP answers ping, in both families, and its answers carry what was sent.
func TestPing(t *testing.T) {
	l := buildLab(t, lab.Config{IPv6: true})
	p := start(t, l, lab.NodeOptions{})
	for _, vip := range l.VIPs[0].All() {
		for _, size := range []string{"16", "56", "1400"} {
			out, err := l.Clients[0].Output(t.Context(), "ping", "-n", "-c", "3", "-i", "0.05", "-W", "2", "-s", size, vip.String())
			if err != nil || !strings.Contains(out, " 0% packet loss") {
				t.Errorf("ping -s %s %s: %v\n%s", size, vip, err, out)
			}
		}
	}
	accounted(t, status(t, p))
}

// A lab with larger packets than Ethernet's usual.
func TestLargeMTU(t *testing.T) {
	l := buildLab(t, lab.Config{MTU: 3400})
	p := start(t, l, lab.NodeOptions{})
	vip := l.VIPs[0].V4
	c := dial(t, l, "udp", vip, origin.EchoPort)
	if _, err := ask(c, strings.Repeat("y", 3300)); err != nil {
		t.Errorf("a datagram of 3300 bytes: %v", err)
	}
	echo(t, dial(t, l, "tcp", vip, origin.EchoPort), 1<<20)
	accounted(t, status(t, p))
}

func TestMTUThatNoFrameHoldsIsRefused(t *testing.T) {
	l := buildLab(t, lab.Config{MTU: 9000})
	refused(t, l, lab.NodeOptions{}, "MTU 9000", fmt.Sprintf("ip link set dev %s mtu", lab.ClientPlane))
}

// refused starts a node that must not start, and wants its log to hold words.
func refused(t *testing.T, l *lab.Lab, opts lab.NodeOptions, words ...string) {
	t.Helper()
	binary, err := lab.Build(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	opts.Binary = binary
	p, err := l.Nodes[0].Start(t.Context(), opts)
	if err == nil {
		t.Fatalf("the node started; log:\n%s", p.Log())
	}
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("the error does not say %q:\n%v", w, err)
		}
	}
}

// Hosts at the other end of a veth leave checksums and segmentation to hardware
// that isn't there, as they do unless told otherwise: the node finishes
// checksums, and the kernel segments what goes to an interface with XDP.
func TestSendersWithOffloads(t *testing.T) {
	for _, mode := range []string{"nat", "dsr", "ipip", "gue"} {
		t.Run(mode, func(t *testing.T) {
			l := buildLab(t, lab.Config{IPv6: true, Tunnels: true})
			hosts := []*lab.Namespace{l.Router, l.Fabric}
			for _, c := range l.Clients {
				hosts = append(hosts, c.Namespace)
			}
			for _, b := range l.Backends {
				hosts = append(hosts, b.Namespace)
			}
			for _, h := range hosts {
				offload(t, h)
			}
			p := start(t, l, lab.NodeOptions{Services: l.Services(mode, "maglev")})
			checkTraffic(t, l)
			echo(t, dial(t, l, "tcp", l.VIPs[0].V4, origin.EchoPort), 4<<20)
			accounted(t, status(t, p))
		})
	}
}

// offload turns offloads on, on every link of a host.
func offload(t *testing.T, h *lab.Namespace) {
	t.Helper()
	links, err := h.Output(t.Context(), "ip", "-o", "link")
	if err != nil {
		t.Fatal(err)
	}
	on := 0
	for line := range strings.Lines(links) {
		name, _, _ := strings.Cut(strings.Fields(line)[1], "@")
		name = strings.TrimSuffix(name, ":")
		if name == "lo" {
			continue
		}
		if _, err := h.Output(t.Context(), "ethtool", "-K", name, "tx", "on", "tso", "on", "gso", "on", "gro", "on"); err != nil {
			t.Fatal(err)
		}
		on++
	}
	if on == 0 {
		t.Fatalf("%s has no links: %s", h.Name(), links)
	}
}
