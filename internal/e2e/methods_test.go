package e2e

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"syscall"
	"testing"

	"appliance/internal/lab"
	"appliance/internal/lab/origin"
	"appliance/internal/node"
)

// vserver returns a virtual server of the first VIP in TOML: keys are its own,
// backends are those of each backend, in order.
func vserver(l *lab.Lab, name, keys string, backends ...string) string {
	var text strings.Builder
	fmt.Fprintf(&text, "\n[[vserver]]\nname = %q\nvip = %q\n%s\n", name, l.VIPs[0].V4, keys)
	for i, b := range l.Backends {
		fmt.Fprintf(&text, "\n[[vserver.backend]]\nname = %q\naddress = %q\n", b.Host(), b.Addr.V4)
		if i < len(backends) {
			fmt.Fprintln(&text, backends[i])
		}
	}
	return text.String()
}

// checkedByWeb is the health check of a virtual server of any port: by HTTP, so that a
// test can take a backend down without ending its connections.
const checkedByWeb = "\n[vserver.health]\nport = 80\n" + lab.HealthHTTP + "\n"

// startWith starts the node with these virtual servers only.
func startWith(t *testing.T, l *lab.Lab, engines int, vservers ...string) *lab.Process {
	t.Helper()
	return start(t, l, lab.NodeOptions{
		Services: []lab.Service{}, Extra: strings.Join(vservers, ""),
		Engine: map[string]string{"engines": fmt.Sprint(engines)},
	})
}

// serviceOf returns the status of a virtual server.
func serviceOf(t *testing.T, p *lab.Process, name string) node.ServiceStatus {
	t.Helper()
	for _, s := range status(t, p).Services {
		if s.Name == name {
			return s
		}
	}
	t.Fatalf("status knows no virtual server %s", name)
	return node.ServiceStatus{}
}

// A client reaches every port of a range, by nat on one port of the backends,
// and any other through the virtual server of all ports, on the same port.
func TestPortRanges(t *testing.T) {
	l := buildLab(t, lab.Config{})
	p := startWith(t, l, 1,
		vserver(l, "range", "port = \"8000-8099\"\n", "port = 80", "port = 80")+checkedByWeb,
		vserver(l, "all", "port = \"*\"\n")+checkedByWeb,
		vserver(l, "one", "port = 8042\n", "port = 80\nweight = 0", "port = 80")+checkedByWeb)
	vip := l.VIPs[0].V4
	for _, port := range []int{8000, 8041, 8042, 8099, origin.HTTPPort} {
		url := fmt.Sprintf("http://%s:%d/?size=100&token=e2e", vip, port)
		for range 4 {
			body, err := l.Clients[0].Output(t.Context(), "curl", "-sS", "-m", "5", url)
			if err != nil {
				t.Fatalf("port %d: %v", port, err)
			}
			if b1, b2 := string(origin.Body("b1", "e2e", 100)), string(origin.Body("b2", "e2e", 100)); body != b2 && (body != b1 || port == 8042) {
				t.Errorf("port %d: %q", port, body)
			}
		}
	}
	newPingpong(t, dial(t, l, "tcp", vip, origin.EchoPort))
	for name, flows := range map[string]uint64{"range": 12, "one": 4, "all": 5} {
		if got := serviceOf(t, p, name); got.NewFlows != flows || got.Port.String() != map[string]string{"range": "8000-8099", "one": "8042", "all": "*"}[name] {
			t.Errorf("%s, port %s: %d flows, want %d", name, got.Port, got.NewFlows, flows)
		}
	}
	_, err := l.Clients[0].DialContext(t.Context(), "tcp", netip.AddrPortFrom(vip, 9999).String())
	if !errors.Is(err, syscall.ECONNREFUSED) { // by the backend
		t.Errorf("a port that no backend serves: %v", err)
	}
	accounted(t, status(t, p))
}

// The backends of a range in dsr are asked on the ports that clients ask for.
func TestPortRangeInDSR(t *testing.T) {
	l := buildLab(t, lab.Config{})
	p := startWith(t, l, 1, vserver(l, "range", "port = \"7-80\"\nmode = \"dsr\"\n")+checkedByWeb)
	newPingpong(t, dial(t, l, "tcp", l.VIPs[0].V4, origin.EchoPort))
	works := func() error { _, err := get(t.Context(), l.Clients[0], l.VIPs[0].V4, 100); return err }
	if err := works(); err != nil {
		t.Error(err)
	}
	accounted(t, status(t, p))
}

// keepOpen opens a connection to the web server that stays open, and returns it
// with the name of the backend.
func keepOpen(t *testing.T, c *lab.Client, vip netip.Addr) (net.Conn, string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	conn, err := c.DialContext(ctx, "tcp", netip.AddrPortFrom(vip, origin.HTTPPort).String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	name, err := askName(conn)
	if err != nil {
		t.Fatal(err)
	}
	return conn, name
}

// With leastconn, the backend that has lost its connections gets the next ones,
// until it has as many as the others, whichever engines they come by.
func TestLeastConn(t *testing.T) {
	l := buildLab(t, lab.Config{Backends: 3, Clients: 2, Queues: 2})
	p := startWith(t, l, 2, vserver(l, "web", "port = 80\nmethod = \"leastconn\"", "weight = 2")+checkedByWeb)
	vip := l.VIPs[0].V4
	open := map[string][]net.Conn{}
	for i := range 40 {
		conn, name := keepOpen(t, l.Clients[i%2], vip)
		open[name] = append(open[name], conn)
	}
	if len(open["b1"]) != 20 || len(open["b2"]) != 10 || len(open["b3"]) != 10 {
		t.Fatalf("connections of weights 2, 1 and 1: %d, %d and %d", len(open["b1"]), len(open["b2"]), len(open["b3"]))
	}
	for _, c := range open["b3"] {
		c.Close()
	}
	eventually(t, "b3's connections are closed", func() bool { return serviceOf(t, p, "web").Backends[2].Open == 0 })
	for i := range 10 {
		if _, name := keepOpen(t, l.Clients[i%2], vip); name != "b3" {
			t.Fatalf("connection %d after b3 has lost its own went to %s", i, name)
		}
	}
	s := status(t, p)
	if s.Engines[0].Flows == 0 || s.Engines[1].Flows == 0 {
		t.Errorf("engines have %d and %d flows: nothing was shared", s.Engines[0].Flows, s.Engines[1].Flows)
	}
	accounted(t, s)
}

// Over its limit, a virtual server refuses at once, and serves again when a
// connection has closed.
func TestFlowLimit(t *testing.T) {
	l := buildLab(t, lab.Config{})
	p := startWith(t, l, 1, vserver(l, "web", "port = 80\nmax_flows = 7", "max_flows = 3", "max_flows = 3")+checkedByWeb)
	vip := l.VIPs[0].V4
	has := map[string]int{}
	var conns []net.Conn
	for range 6 {
		conn, name := keepOpen(t, l.Clients[0], vip)
		has[name]++
		conns = append(conns, conn)
	}
	if has["b1"] != 3 || has["b2"] != 3 {
		t.Errorf("backends that may have 3 connections each have %v", has)
	}
	if _, err := get(t.Context(), l.Clients[0], vip, 1); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("one more: %v, want connection refused", err)
	}
	if n := status(t, p).Totals.Answered["backends_full"]; n != 1 {
		t.Errorf("status counts %d refused", n)
	}
	conns[0].Close()
	eventually(t, "a connection has room", func() bool {
		_, err := get(t.Context(), l.Clients[0], vip, 1)
		return err == nil
	})
}

// The backup serves while the others are down, and only then.
func TestBackupTakesOver(t *testing.T) {
	l := buildLab(t, lab.Config{Backends: 3})
	p := startWith(t, l, 1, vserver(l, "web", "port = 80\nmin_healthy = 2", "", "", "backup = true")+checkedByWeb)
	vip := l.VIPs[0].V4
	is := func(state string, eligible int, onBackups bool) {
		t.Helper()
		eventually(t, fmt.Sprintf("it is %s with %d backends", state, eligible), func() bool {
			s := serviceOf(t, p, "web")
			return string(s.State) == state && s.Eligible == eligible && s.OnBackups == onBackups
		})
	}
	served := func() map[string]int {
		by := map[string]int{}
		for range 10 {
			name, err := get(t.Context(), l.Clients[0], vip, 1)
			if err != nil {
				t.Fatal(err)
			}
			by[name]++
		}
		return by
	}
	if is("up", 2, false); served()["b3"] > 0 {
		t.Error("the backup serves beside the others")
	}
	l.Backends[0].SetHealthy(false)
	if is("degraded", 1, false); served()["b2"] != 10 {
		t.Error("not all requests went to b2")
	}
	l.Backends[1].SetHealthy(false)
	if is("degraded", 1, true); served()["b3"] != 10 {
		t.Error("not all requests went to the backup")
	}
	l.Backends[0].SetHealthy(true)
	if is("degraded", 1, false); served()["b1"] != 10 {
		t.Error("not all requests went to b1, which is back")
	}
}

// A backend that is back has little of its weight at first, and all of it in the
// end.
func TestSlowStartOfAReturnedBackend(t *testing.T) {
	l := buildLab(t, lab.Config{})
	p := startWith(t, l, 1, vserver(l, "web", "port = 80\nmethod = \"roundrobin\"\nslow_start = \"3s\"")+checkedByWeb)
	ramp := func() float64 { return serviceOf(t, p, "web").Backends[1].Ramp }
	eventually(t, "both have started", func() bool { return ramp() == 1 })
	l.Backends[1].SetHealthy(false)
	eventually(t, "b2 is down", func() bool { return ramp() == 0 })
	l.Backends[1].SetHealthy(true)
	eventually(t, "b2 is back", func() bool { return ramp() > 0 })
	if got := ramp(); got > 0.9 {
		t.Errorf("just back, b2 has %v of its weight", got)
	}
	eventually(t, "b2 has its whole weight", func() bool { return ramp() == 1 })
	by := map[string]int{}
	for range 10 {
		name, err := get(t.Context(), l.Clients[0], l.VIPs[0].V4, 1)
		if err != nil {
			t.Fatal(err)
		}
		by[name]++
	}
	if by["b1"] != 5 || by["b2"] != 5 {
		t.Errorf("in the end requests go %v", by)
	}
}

// A backend that goes down keeps its connections, or they are reset with their
// next packet, as configured.
func TestConnectionsOfADownBackend(t *testing.T) {
	l := buildLab(t, lab.Config{})
	p := startWith(t, l, 1,
		vserver(l, "kept", "port = 1007", "port = 7", "port = 7")+checkedByWeb,
		vserver(l, "reset", "port = 2007\non_backend_down = \"reset\"", "port = 7", "port = 7")+checkedByWeb)
	vip := l.VIPs[0].V4
	kept, reset := newPingpong(t, dial(t, l, "tcp", vip, 1007)), newPingpong(t, dial(t, l, "tcp", vip, 2007))
	for _, b := range l.Backends {
		b.SetHealthy(false)
	}
	for _, name := range []string{"kept", "reset"} {
		eventually(t, "all backends are down", func() bool { return serviceOf(t, p, name).State == "down" })
	}
	kept.exchange()
	if err := reset.try(patience); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("error %v, want connection reset", err)
	}
	if n := status(t, p).Totals.Answered["backend_down"]; n != 1 {
		t.Errorf("status counts %d reset", n)
	}
}

// All connections of a client go to one backend, whichever engine has them, and
// after a restart to the same.
func TestPersistenceOfAClient(t *testing.T) {
	l := buildLab(t, lab.Config{Backends: 5, Clients: 8, Queues: 2})
	web := vserver(l, "web", "port = 80") + checkedByWeb + "\n[vserver.persistence]\nby = \"source\"\n"
	visit := func(p *lab.Process) (all []string) {
		for _, c := range l.Clients {
			first := ""
			for i := range 12 {
				name, err := get(t.Context(), c, l.VIPs[0].V4, 1)
				if err != nil {
					t.Fatal(err)
				}
				if first == "" {
					first = name
				}
				if name != first {
					t.Errorf("connection %d of %s went to %s, the first to %s", i, c.Host(), name, first)
				}
			}
			all = append(all, first)
		}
		accounted(t, status(t, p))
		return all
	}
	p := startWith(t, l, 2, web)
	before := visit(p)
	if err := p.Stop(); err != nil {
		t.Fatal(err)
	}
	after := visit(startWith(t, l, 1, web))
	if fmt.Sprint(before) != fmt.Sprint(after) {
		t.Errorf("clients were at %v, after a restart at %v", before, after)
	}
	different := map[string]bool{}
	for _, name := range before {
		different[name] = true
	}
	if len(different) < 2 {
		t.Errorf("all clients are at %v", before)
	}
}

// A client that is remembered stays with the backend that took it over when its
// own is back; one that isn't goes back.
func TestClientStaysWhereItIs(t *testing.T) {
	l := buildLab(t, lab.Config{Backends: 3})
	p := startWith(t, l, 1,
		vserver(l, "web", "port = 80")+checkedByWeb+"\n[vserver.persistence]\nby = \"source\"\ntimeout = \"10m\"\n",
		vserver(l, "alt", "port = 8080", "port = 80", "port = 80", "port = 80")+checkedByWeb+"\n[vserver.persistence]\nby = \"source\"\n")
	at := func(port uint16) string {
		t.Helper()
		conn, err := l.Clients[0].DialContext(t.Context(), "tcp", netip.AddrPortFrom(l.VIPs[0].V4, port).String())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		name, err := askName(conn)
		if err != nil {
			t.Fatal(err)
		}
		return name
	}
	backend := map[string]*lab.Backend{}
	for _, b := range l.Backends {
		backend[b.Host()] = b
	}
	home, other := at(80), at(8080)
	backend[home].SetHealthy(false)
	backend[other].SetHealthy(false)
	eventually(t, "both are down", func() bool { return !up(t, p, "web", home) && !up(t, p, "alt", other) })
	refuge := at(80)
	if at(8080) == other || refuge == home {
		t.Error("a flow went to a backend that is down")
	}
	backend[home].SetHealthy(true)
	backend[other].SetHealthy(true)
	eventually(t, "both are back", func() bool { return up(t, p, "web", home) && up(t, p, "alt", other) })
	if got := at(80); got != refuge {
		t.Errorf("remembered, the client went from %s to %s", refuge, got)
	}
	if got := at(8080); got != other {
		t.Errorf("by hash alone, the client is at %s, was at %s", got, other)
	}
}
