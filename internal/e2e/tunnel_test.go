package e2e

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"appliance/internal/lab"
	"appliance/internal/lab/origin"
)

// tunnelOverhead is what the modes put around a packet, by the backend's family.
var tunnelOverhead = map[string]map[bool]int{
	"ipip": {true: 20, false: 40},
	"gue":  {true: 32, false: 52},
}

// Both modes, VIPs and backends of both families in every combination: requests
// reach backends through tunnels and their answers the clients directly, and
// connections that move megabytes find the packet size that fits.
func TestTunnels(t *testing.T) {
	for _, c := range []struct {
		mode    string
		crossed bool
		engines int
		driver  string
	}{
		{"ipip", false, 1, "xsk"}, {"ipip", true, 2, "xsk"}, {"gue", false, 2, "xsk"}, {"gue", true, 1, "xsk"},
		{"gue", false, 1, "asavie"},
	} {
		t.Run(fmt.Sprintf("%s, crossed %v, %d engines, %s", c.mode, c.crossed, c.engines, c.driver), func(t *testing.T) {
			l := buildLab(t, lab.Config{Backends: 3, Queues: c.engines, IPv6: true, Tunnels: true})
			p := start(t, l, lab.NodeOptions{
				Services: tunnelServices(l, c.mode, c.crossed),
				Engine:   map[string]string{"engines": strconv.Itoa(c.engines), "driver": `"` + c.driver + `"`},
			})
			checkTraffic(t, l)
			for _, vip := range l.VIPs[0].All() {
				echo(t, dial(t, l, "tcp", vip, origin.EchoPort), 4<<20)
			}
			for _, b := range l.Backends {
				if n, err := b.Packets("decap0"); err != nil || n.Rx < 20 {
					t.Errorf("%s took %+v packets out of others, %v", b.Host(), n, err)
				}
			}
			s := status(t, p)
			accounted(t, s)
			if n := unexplained(s); n != 0 {
				t.Errorf("%d packets dropped: %v", n, s.Totals.Dropped)
			}
			if s.Totals.Answered["too_big"] < 2 {
				t.Errorf("answered %v, want a too_big to each family's first full packet", s.Totals.Answered)
			}
		})
	}
}

func tunnelServices(l *lab.Lab, mode string, crossed bool) []lab.Service {
	all := l.Services(mode, "maglev")
	for i := range all {
		all[i].Crossed = crossed
	}
	return all
}

// A client that sends more than fits is told what does, and that much arrives.
func TestTunnelMTU(t *testing.T) {
	for mode, overhead := range tunnelOverhead {
		t.Run(mode, func(t *testing.T) {
			l := buildLab(t, lab.Config{IPv6: true, Tunnels: true})
			p := start(t, l, lab.NodeOptions{Services: l.Services(mode, "maglev")})
			for _, vip := range l.VIPs[0].All() {
				headers := map[bool]int{true: 28, false: 48}[vip.Is4()]
				want := 1500 - overhead[vip.Is4()]
				c := dial(t, l, "udp", vip, origin.EchoPort)
				if _, err := askOnce(c, strings.Repeat("x", 1500-headers)); !errors.Is(err, syscall.EMSGSIZE) && !isTimeout(err) {
					t.Fatalf("%s: a datagram that can't fit: %v", vip, err)
				}
				if got := pathMTU(t, l, vip); got != want {
					t.Errorf("%s: the client's path MTU is %d, want %d", vip, got, want)
				}
				if _, err := ask(dial(t, l, "udp", vip, origin.EchoPort), strings.Repeat("x", want-headers)); err != nil {
					t.Errorf("%s: a datagram that just fits: %v", vip, err)
				}
			}
			s := status(t, p)
			accounted(t, s)
			if s.Totals.Answered["too_big"] != 2 {
				t.Errorf("answered %v, want too_big twice", s.Totals.Answered)
			}
		})
	}
}

func isTimeout(err error) bool {
	var timeout interface{ Timeout() bool }
	return errors.As(err, &timeout) && timeout.Timeout()
}

var mtuOfRoute = regexp.MustCompile(`mtu (\d+)`)

// pathMTU returns what the client's kernel has learnt of the path to a VIP.
func pathMTU(t *testing.T, l *lab.Lab, vip netip.Addr) int {
	t.Helper()
	out, err := l.Clients[0].Output(t.Context(), "ip", "route", "get", vip.String())
	if err != nil {
		t.Fatal(err)
	}
	m := mtuOfRoute.FindStringSubmatch(out)
	if m == nil {
		return 0
	}
	n, _ := strconv.Atoi(m[1])
	return n
}

// Errors that packets in tunnels draw on the way are sent to their sources,
// which the lab's router has a route for, to the node.
func TestOuterSourcesAreRouted(t *testing.T) {
	l := buildLab(t, lab.Config{IPv6: true})
	for i, sources := range l.Nodes[0].Sources {
		out, err := l.Router.Output(t.Context(), "ip", "route", "get", sources.Addr().Next().String())
		if err != nil || !strings.Contains(out, "via "+l.Nodes[0].ClientAddr.All()[i].String()) {
			t.Errorf("%s: %v\n%s", sources, err, out)
		}
	}
}

var mssOfSocket = regexp.MustCompile(`\bmss:(\d+)`)

// With mss_clamp, backends send no larger segments, though their own links and
// the client's would take them.
func TestMSSClamp(t *testing.T) {
	for _, mode := range []string{"nat", "gue"} {
		t.Run(mode, func(t *testing.T) {
			l := buildLab(t, lab.Config{Backends: 1, IPv6: true, Tunnels: true})
			text, err := l.Nodes[0].Config(lab.NodeOptions{Services: l.Services(mode, "maglev")})
			if err != nil {
				t.Fatal(err)
			}
			start(t, l, lab.NodeOptions{Config: strings.ReplaceAll(text, `method = "maglev"`, "method = \"maglev\"\nmss_clamp = 1000")})
			for _, vip := range l.VIPs[0].All() {
				c := dial(t, l, "tcp", vip, origin.StreamPort)
				fmt.Fprintln(c, 1)
				if _, err := c.Read(make([]byte, 1)); err != nil {
					t.Fatal(err)
				}
				filter := fmt.Sprintf("( sport = :%d )", origin.StreamPort)
				out, err := l.Backends[0].Output(t.Context(), "ss", "-Htin", filter)
				m := mssOfSocket.FindStringSubmatch(out)
				if err != nil || m == nil {
					t.Fatalf("%v\n%s", err, out)
				}
				if mss, _ := strconv.Atoi(m[1]); mss < 900 || mss > 1000 {
					t.Errorf("%s: the backend sends segments of %d bytes, want at most 1000", vip, mss)
				}
				c.Close()
				eventually(t, "the connection is over", func() bool {
					out, err := l.Backends[0].Output(t.Context(), "ss", "-Htn", "state", "established", filter)
					return err == nil && out == ""
				})
			}
		})
	}
}

// A server link that leaves no room for the least IPv6 packets: "appliance
// check" refuses the mode with its line and the remedy, and a node that runs all
// the same says so.
func TestTooNarrowForTunnels(t *testing.T) {
	l := buildLab(t, lab.Config{MTU: 1280, IPv6: true, Tunnels: true})
	node := l.Nodes[0]
	services := l.Services("ipip", "maglev")
	text, err := node.Config(lab.NodeOptions{Services: services})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "narrow.toml")
	write(t, file, text)
	binary, err := lab.Build(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	check := func() string {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		var out []byte
		_ = node.In(func() (err error) {
			out, err = exec.CommandContext(ctx, binary, "check", "-c", file).CombinedOutput()
			return err
		})
		return string(out)
	}
	line := 1 + strings.Count(text[:strings.Index(text, `name = "http6"`)], "\n") + 4
	want := fmt.Sprintf("%s:%d: vserver[4].mode: ipip needs an MTU of 1320 toward fd00:b::3:1, and no server interface has more than 1280: ip link set dev server0 mtu 1320", file, line)
	if out := check(); !strings.Contains(out, want) || strings.Contains(out, "vserver[0]") {
		t.Errorf("check says\n%s\nwant\n%s", out, want)
	}
	p := start(t, l, lab.NodeOptions{Services: services})
	if n := strings.Count(p.Log(), "too narrow"); n != 8 {
		t.Errorf("%d warnings, want one for each of the IPv6 VIP's 4 services and 2 backends:\n%s", n, p.Log())
	}
	if _, err := get(t.Context(), l.Clients[0], l.VIPs[0].V4, 10_000); err != nil {
		t.Errorf("the IPv4 VIP: %v", err)
	}
	if _, err := node.Output(t.Context(), "ip", "link", "set", "dev", lab.ServerPlane, "mtu", "1320"); err != nil {
		t.Fatal(err)
	}
	if out := check(); !strings.Contains(out, "OK") {
		t.Errorf("check with the MTU that it asks for:\n%s", out)
	}
}
