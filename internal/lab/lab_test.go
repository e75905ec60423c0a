package lab_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/safchain/ethtool"

	"appliance/internal/lab"
	"appliance/internal/lab/origin"
	"appliance/internal/privtest"
)

// build builds a lab for a test and closes it at its end.
func build(t *testing.T, cfg lab.Config) *lab.Lab {
	t.Helper()
	privtest.NeedNetNS(t)
	l, err := lab.New(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	return l
}

// get asks a backend's HTTP server from a host of the lab and returns the body.
func get(from *lab.Namespace, addr netip.Addr) (string, error) {
	client := http.Client{
		Transport: &http.Transport{DialContext: from.DialContext, DisableKeepAlives: true},
		Timeout:   5 * time.Second,
	}
	resp, err := client.Get("http://" + netip.AddrPortFrom(addr, origin.HTTPPort).String() + "/")
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return strings.TrimSpace(string(body)), err
}

// left returns what a lab with that id has on the machine.
func left(t *testing.T, id string) []string {
	t.Helper()
	var found []string
	for _, pattern := range []string{"/run/netns/lab-" + id + "-*", "/run/appliance-lab/" + id} {
		paths, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		found = append(found, paths...)
	}
	return found
}

func TestClientsReachBackends(t *testing.T) {
	l := build(t, lab.Config{Backends: 2, Clients: 2, IPv6: true})
	for _, c := range l.Clients {
		for _, b := range l.Backends {
			for _, addr := range b.Addr.All() {
				got, err := get(c.Namespace, addr)
				if err != nil || got != b.Host() {
					t.Errorf("%s asks %s: %q, %v, want %s", c.Host(), addr, got, err, b.Host())
				}
			}
		}
	}
	packets, err := l.Backends[0].Packets(lab.HostLink)
	if err != nil || packets.Rx < 20 || packets.Tx < 20 {
		t.Errorf("b1 counts %+v, %v, want at least 20 each way for four HTTP requests", packets, err)
	}
}

// TestDirectReply sends the VIP to a backend without a node, by a static route
// and neighbour as a node in mode dsr would, and gets the answer from the VIP.
func TestDirectReply(t *testing.T) {
	l := build(t, lab.Config{Backends: 2, IPv6: true})
	b := l.Backends[1]
	for i, vip := range l.VIPs[0].All() {
		// As seen from the router: the VIP lies behind the backend's address.
		via := b.Addr.All()[i].String()
		if _, err := l.Router.Output(t.Context(), "ip", "route", "replace", vip.String(), "via", via); err != nil {
			t.Fatal(err)
		}
		if got, err := get(l.Clients[0].Namespace, vip); err != nil || got != "b2" {
			t.Errorf("asked %s: %q, %v, want b2", vip, got, err)
		}
		conn, err := l.Clients[0].DialContext(t.Context(), "udp", netip.AddrPortFrom(vip, origin.EchoPort).String())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		conn.SetDeadline(time.Now().Add(5 * time.Second))
		conn.Write([]byte("hello"))
		answer := make([]byte, 100)
		if n, err := conn.Read(answer); err != nil || string(answer[:n]) != "b2 hello" {
			t.Errorf("UDP through %s: %q, %v, want an answer from the VIP itself", vip, answer[:n], err)
		}
	}
}

// TestNobodyAnswersForVIP: a backend has the VIP, but the server plane must not
// learn it from ARP or neighbour discovery.
func TestNobodyAnswersForVIP(t *testing.T) {
	l := build(t, lab.Config{Backends: 2, IPv6: true})
	for _, vip := range l.VIPs[0].All() {
		if _, err := l.Router.Output(t.Context(), "ip", "route", "replace", vip.String(), "dev", lab.ServerPlane); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		conn, err := l.Router.DialContext(ctx, "tcp", netip.AddrPortFrom(vip, origin.HTTPPort).String())
		if err == nil {
			conn.Close()
			t.Errorf("a backend answered for %s on the server plane", vip)
		}
	}
}

func TestLinks(t *testing.T) {
	l := build(t, lab.Config{Queues: 2, MTU: 3000})
	for _, end := range []struct {
		at     *lab.Namespace
		link   string
		queues uint32
	}{
		{l.Clients[0].Namespace, lab.HostLink, 1}, {l.Router, "c1", 1},
		{l.Nodes[0].Namespace, lab.ClientPlane, 2}, {l.Router, "n1", 2},
		{l.Nodes[0].Namespace, lab.ServerPlane, 2}, {l.Fabric, "n1", 2},
		{l.Router, lab.ServerPlane, 1}, {l.Fabric, "r", 1},
		{l.Backends[0].Namespace, lab.HostLink, 1}, {l.Fabric, "b1", 1},
	} {
		err := end.at.In(func() error {
			tool, err := ethtool.NewEthtool()
			if err != nil {
				return err
			}
			defer tool.Close()
			features, err := tool.FeaturesWithState(end.link)
			if err != nil {
				return err
			}
			for _, name := range []string{"tx-checksum-ip-generic", "rx-checksum", "tx-generic-segmentation",
				"tx-tcp-segmentation", "rx-gro", "tx-vlan-hw-insert", "rx-vlan-hw-parse"} {
				if state, ok := features[name]; !ok || state.Active {
					t.Errorf("%s of %s: %s is %+v, want off", end.link, end.at.Host(), name, state)
				}
			}
			channels, err := tool.GetChannels(end.link)
			if err == nil && (channels.RxCount != end.queues || channels.TxCount != end.queues) {
				t.Errorf("%s of %s: %d and %d queues, want %d", end.link, end.at.Host(), channels.RxCount, channels.TxCount, end.queues)
			}
			link, err := net.InterfaceByName(end.link)
			if err == nil && link.MTU != 3000 {
				t.Errorf("%s of %s: MTU %d, want 3000", end.link, end.at.Host(), link.MTU)
			}
			return err
		})
		if err != nil {
			t.Errorf("%s of %s: %v", end.link, end.at.Host(), err)
		}
	}
}

func TestOnlyRouterForwards(t *testing.T) {
	l := build(t, lab.Config{IPv6: true})
	hosts := []*lab.Namespace{l.Router, l.Fabric, l.Clients[0].Namespace, l.Nodes[0].Namespace, l.Backends[0].Namespace}
	for _, host := range hosts {
		want := "0"
		if host == l.Router {
			want = "1"
		}
		for _, path := range []string{"/proc/sys/net/ipv4/ip_forward", "/proc/sys/net/ipv6/conf/all/forwarding"} {
			err := host.In(func() error {
				text, err := os.ReadFile(path)
				if got := strings.TrimSpace(string(text)); err == nil && got != want {
					t.Errorf("%s: %s is %s, want %s", host.Host(), path, got, want)
				}
				return err
			})
			if err != nil {
				t.Error(err)
			}
		}
	}
}

func TestDetachAttach(t *testing.T) {
	l := build(t, lab.Config{IPv6: true, Nodes: 2})
	node := l.Nodes[0]
	reach := func() error {
		for _, addr := range []netip.Addr{node.ClientAddr.V4, node.ClientAddr.V6, node.ServerAddr.V4, node.ServerAddr.V6} {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			// Nothing listens: a reset shows that the host is there.
			conn, err := l.Backends[0].DialContext(ctx, "tcp", netip.AddrPortFrom(addr, 1).String())
			if err == nil {
				conn.Close()
			}
			if !refused(err) {
				return fmt.Errorf("%s: %w", addr, err)
			}
		}
		return nil
	}
	if err := reach(); err != nil {
		t.Fatal(err)
	}
	for _, plane := range []string{lab.ClientPlane, lab.ServerPlane} {
		if err := node.Detach(plane); err != nil {
			t.Fatal(err)
		}
		if reach() == nil {
			t.Errorf("the node is whole without %s", plane)
		}
		if err := node.Attach(plane); err != nil {
			t.Fatal(err)
		}
		if err := reach(); err != nil {
			t.Errorf("after %s came back: %v", plane, err)
		}
	}
}

func refused(err error) bool {
	return err != nil && strings.Contains(err.Error(), "connection refused")
}

func TestTwoLabsAtOnce(t *testing.T) {
	one, two := build(t, lab.Config{}), build(t, lab.Config{})
	if one.ID() == two.ID() {
		t.Fatalf("both labs are %s", one.ID())
	}
	for _, l := range []*lab.Lab{one, two} {
		if got, err := get(l.Clients[0].Namespace, l.Backends[0].Addr.V4); err != nil || got != "b1" {
			t.Errorf("lab %s: %q, %v", l.ID(), got, err)
		}
	}
	if err := one.Close(); err != nil {
		t.Fatal(err)
	}
	if found := left(t, one.ID()); len(found) > 0 {
		t.Errorf("lab %s left %s", one.ID(), found)
	}
	if got, err := get(two.Clients[0].Namespace, two.Backends[0].Addr.V4); err != nil || got != "b1" {
		t.Errorf("closing one lab hurt the other: %q, %v", got, err)
	}
}

func TestCloseRemovesEverything(t *testing.T) {
	l := build(t, lab.Config{IPv6: true})
	before := links(t)
	sleeper := exec.CommandContext(t.Context(), "sleep", "60")
	if err := l.Clients[0].Launch(sleeper); err != nil {
		t.Fatal(err)
	}
	if len(left(t, l.ID())) == 0 {
		t.Fatal("a running lab has no namespaces and no directory: this test looks in the wrong place")
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if found := left(t, l.ID()); len(found) > 0 {
		t.Errorf("left: %s", found)
	}
	if err := sleeper.Wait(); err == nil || !strings.Contains(err.Error(), "killed") {
		t.Errorf("the lab's process ended with %v, want killed", err)
	}
	if after := links(t); after != before {
		t.Errorf("links of the machine before: %s, after: %s", before, after)
	}
	if err := l.Close(); err != nil {
		t.Errorf("second Close: %v", err)
	}
}

// links returns the names of the machine's own interfaces.
func links(t *testing.T) string {
	t.Helper()
	all, err := net.Interfaces()
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, link := range all {
		names = append(names, link.Name)
	}
	return strings.Join(names, " ")
}

func TestRunClosesAfterPanic(t *testing.T) {
	privtest.NeedNetNS(t)
	var id string
	func() {
		defer func() {
			if recover() == nil {
				t.Error("the panic got lost")
			}
		}()
		lab.Run(t.Context(), lab.Config{}, func(_ context.Context, l *lab.Lab) error {
			id = l.ID()
			panic("as a bug would")
		})
	}()
	if found := left(t, id); len(found) > 0 {
		t.Errorf("left: %s", found)
	}
}

func TestNewStopsWithContext(t *testing.T) {
	privtest.NeedNetNS(t)
	stop := errors.New("enough")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(stop)
	if l, err := lab.New(ctx, lab.Config{}); !errors.Is(err, stop) {
		t.Errorf("New: %v, %v, want the context's cause", l, err)
	}
}
