package e2e

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"syscall"
	"testing"
	"time"

	"appliance/internal/lab"
	"appliance/internal/lab/origin"
)

// narrowMTU is that of the link in the middle of a way that both ends take for
// one of 1500 bytes.
const narrowMTU = 1400

// narrow moves a host behind a second router, on whose link with the first one
// packets have narrowMTU bytes at most. That router is a client of the lab that
// has nothing else to do:
//
//	host ── 1500 ── hop ── 1400 ── r ── 1500 ── node
//
// The host keeps its address, and sends to far over the hop. It has no other way
// to learn of the narrow link than the errors of the two routers.
func narrow(t *testing.T, l *lab.Lab, host *lab.Namespace, self lab.Addrs, hop *lab.Client, far lab.Addrs) {
	t.Helper()
	run := func(at *lab.Namespace, args ...string) {
		t.Helper()
		if _, err := at.Output(t.Context(), args[0], args[1:]...); err != nil {
			t.Fatal(err)
		}
	}
	for _, s := range []string{"net/ipv4/ip_forward", "net/ipv6/conf/all/forwarding"} {
		if err := hop.Sysctl(s, "1"); err != nil {
			t.Fatal(err)
		}
	}
	mtu := fmt.Sprint(narrowMTU)
	run(hop.Namespace, "ip", "link", "set", lab.HostLink, "mtu", mtu)
	run(l.Router, "ip", "link", "set", hop.Host(), "mtu", mtu)
	run(hop.Namespace, "ip", "link", "add", "wide", "type", "veth", "peer", "name", "wide", "netns", host.Name())
	for i, n := range []*lab.Namespace{hop.Namespace, host} {
		run(n, "ethtool", "-K", "wide", "tx", "off", "tso", "off", "gso", "off", "gro", "off")
		run(n, "ip", "address", "add", fmt.Sprintf("10.9.0.%d/24", 1+i), "dev", "wide")
		run(n, "ip", "address", "add", fmt.Sprintf("fd00:9::%d/64", 1+i), "dev", "wide")
	}
	run(host, "ip", "link", "set", "wide", "up") // its peer must not solicit before it is
	run(hop.Namespace, "ip", "link", "set", "wide", "up")

	for i, a := range self.All() {
		gateway, neighbour := []string{"10.9.0.1", "fd00:9::1"}[i], []string{"10.9.0.2", "fd00:9::2"}[i]
		run(hop.Namespace, "ip", "route", "replace", a.String(), "via", neighbour)
		run(l.Router, "ip", "route", "replace", a.String(), "via", hop.Addr.All()[i].String())
		run(host, "ip", "route", "replace", far.All()[i].String(), "via", gateway, "src", a.String())
		eventually(t, fmt.Sprintf("%s answers from behind %s", host.Host(), hop.Host()), func() bool {
			_, err := l.Router.Output(t.Context(), "ping", "-n", "-c", "1", "-W", "1", a.String())
			return err == nil
		})
	}
}

// learnt waits until a host's kernel knows the narrow link on its way to dst.
func learnt(t *testing.T, host *lab.Namespace, dst netip.Addr) {
	t.Helper()
	eventually(t, fmt.Sprintf("%s knows the path MTU to %s", host.Host(), dst), func() bool {
		route, err := host.Output(t.Context(), "ip", "route", "get", dst.String())
		if err != nil {
			t.Fatal(err)
		}
		return strings.Contains(route, fmt.Sprintf(" mtu %d", narrowMTU))
	})
}

// Path MTU discovery works from end to end through a node, when the narrow link
// is on the client's side or, in nat, on the servers': the errors of the router
// in front of it reach whoever sends too long packets, in both families, and
// whichever engine meets them.
func TestPathMTU(t *testing.T) {
	for _, tc := range []struct {
		mode  string
		place func(t *testing.T, l *lab.Lab)
		know  func(t *testing.T, l *lab.Lab, i int)
	}{
		{"nat/clients' side", narrowClient, func(t *testing.T, l *lab.Lab, i int) {
			learnt(t, l.Backends[0].Namespace, l.Nodes[0].SNIP.All()[i])
		}},
		{"nat/servers' side", narrowBackend, func(t *testing.T, l *lab.Lab, i int) {
			learnt(t, l.Clients[0].Namespace, l.VIPs[0].All()[i])
		}},
		{"dsr/clients' side", narrowClient, knowClient},
		{"ipip/clients' side", narrowClient, knowClient},
		{"gue/clients' side", narrowClient, knowClient},
	} {
		t.Run(tc.mode, func(t *testing.T) {
			mode, _, _ := strings.Cut(tc.mode, "/")
			l := buildLab(t, lab.Config{Clients: 2, Backends: 1, Queues: 2, IPv6: true, Tunnels: true})
			tc.place(t, l)
			p := start(t, l, lab.NodeOptions{
				Services: l.Services(mode, "maglev"),
				Engine:   map[string]string{"engines": "2"},
			})
			passed := uint64(0)
			for i, vip := range l.VIPs[0].All() {
				c := dial(t, l, "tcp", vip, origin.EchoPort)
				if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
					t.Fatal(err)
				}
				echo(t, c, 2<<20)
				tc.know(t, l, i)
				before := passed
				if passed = icmpErrors(t, p); passed == before {
					t.Errorf("%s: no error was passed on", vip)
				}
			}
			s := status(t, p)
			accounted(t, s)
			if n := unexplained(s); n != 0 {
				t.Errorf("%d packets dropped: %v", n, s.Totals.Dropped)
			}
		})
	}
}

func knowClient(t *testing.T, l *lab.Lab, i int) {
	learnt(t, l.Backends[0].Namespace, l.Clients[0].Addr.All()[i])
}

func narrowClient(t *testing.T, l *lab.Lab) {
	c := l.Clients[0]
	narrow(t, l, c.Namespace, c.Addr, l.Clients[1], l.VIPs[0])
}

// narrowBackend moves the backend away from the server plane: the node reaches
// it over the router's leg there.
func narrowBackend(t *testing.T, l *lab.Lab) {
	b, n := l.Backends[0], l.Nodes[0]
	narrow(t, l, b.Namespace, b.Addr, l.Clients[1], n.SNIP)
	for i, gateway := range []string{"10.2.0.1", "fd00:b::1"} {
		_, err := n.Output(t.Context(), "ip", "route", "replace", b.Addr.All()[i].String(), "via", gateway, "dev", lab.ServerPlane)
		if err != nil {
			t.Fatal(err)
		}
	}
}

// icmpErrors returns how many errors about flows the node has passed on.
func icmpErrors(t *testing.T, p *lab.Process) (n uint64) {
	t.Helper()
	for _, e := range status(t, p).Engines {
		n += e.ICMPErrors
	}
	return n
}

// A client learns at once that nobody listens behind a virtual server: the
// backend's unreachable reaches it as if it came from the VIP.
func TestClosedPortIsNoticed(t *testing.T) {
	l := buildLab(t, lab.Config{Backends: 1, IPv6: true})
	services := l.Services("nat", "maglev")
	for i := range services {
		services[i].Health = "" // or the node itself would refuse
	}
	start(t, l, lab.NodeOptions{Services: services})
	l.Backends[0].Stop()
	for _, vip := range l.VIPs[0].All() {
		if _, err := ask(dial(t, l, "udp", vip, origin.EchoPort), "hello"); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("%s: %v, want connection refused", vip, err)
		}
	}
}
