package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"appliance/internal/api"
	"appliance/internal/node"
	"appliance/vserver"
)

// A fake is a node that says what it is told to.
type fake struct {
	status node.Status
	where  node.Where
	reload error
	asked  func() // called with each Status
	denied []node.Denial
	change error    // of Deny and Allow
	said   []string // what they were asked for
}

func (f *fake) Ready() error { return nil }

func (f *fake) Status(context.Context) (node.Status, error) {
	if f.asked != nil {
		f.asked()
	}
	return f.status, nil
}

func (f *fake) Where(context.Context, node.Flow) (node.Where, error) { return f.where, nil }
func (f *fake) Reload(context.Context) error                         { return f.reload }
func (f *fake) Denied() []node.Denial                                { return f.denied }

func (f *fake) Deny(p netip.Prefix, duration time.Duration) error {
	f.said = append(f.said, fmt.Sprintf("deny %v for %v", p, duration))
	return f.change
}

func (f *fake) Allow(p netip.Prefix) error {
	f.said = append(f.said, fmt.Sprintf("allow %v", p))
	return f.change
}

// serveAPI answers for f at a socket, which it returns.
func serveAPI(t *testing.T, f *fake) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "api.sock")
	l, err := api.Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	s := api.NewServer(api.Config{Source: f, Reload: f.Reload, Metrics: prometheus.NewRegistry(), Log: slog.New(slog.DiscardHandler)})
	done := make(chan error, 1)
	go func() { done <- s.Serve(l) }()
	t.Cleanup(func() {
		if err := errors.Join(s.Close(), <-done); err != nil {
			t.Error(err)
		}
	})
	return path
}

// ago returns a moment as JSON can hold it.
func ago(d time.Duration) time.Time { return time.Now().Add(-d).UTC().Truncate(time.Second) }

// sample is a node that has seen something of everything.
func sample() node.Status {
	vip4, vip6 := netip.MustParseAddr("203.0.113.10"), netip.MustParseAddr("2001:db8:f::10")
	return node.Status{
		Version: "v1.2.3", Node: "lb1", ID: 4, PID: 4711, Started: time.Now().Add(-90 * time.Minute), Generation: 77,
		Totals: node.Totals{RxPackets: 1_000_300, TxPackets: 1_000_000, Flows: 12, Dropped: map[string]uint64{"no_flow": 200, "bad_length": 100}, Answered: map[string]uint64{"no_service": 9}},
		Engines: []node.EngineStatus{
			{ID: 0, RxPackets: 1_000_300, OwnedPackets: 1_000_000, HandedOff: 300, TxPackets: 999_700, Flows: 12, FlowCapacity: 1 << 20,
				LongestPassUS: 123.4, Dropped: map[string]uint64{"no_flow": 200, "bad_length": 100}},
			{ID: 1, RxPackets: 300, OwnedPackets: 300, TakenOver: 300, TxPackets: 300, FlowCapacity: 1 << 20, Dropped: map[string]uint64{}},
		},
		Interfaces: []node.InterfaceStatus{
			{Name: "eth0", Planes: []string{"client", "server"}, State: "up", MTU: 1500, MAC: "02:00:00:00:00:01", XDP: "native", RSS: "partial",
				Filter: node.FilterStatus{Passed: 42, Redirected: 1_000_400, NoSocket: 50, Denied: 7000},
				Ports: []node.PortStatus{
					{Queue: 0, RxPackets: 1_000_000, TxPackets: 999_700, RxDropped: 10, RxRingFull: 20, FillEmpty: 30},
					{Queue: 1, RxPackets: 300},
				}},
			{Name: "eth1", Planes: []string{"server"}, State: "failed", Error: "MTU 9000 is more than the 3814 bytes that a frame holds", MTU: 9000},
		},
		Services: []node.ServiceStatus{
			{Name: "web", VIP: vip4, Port: 80, Protocol: "tcp", Mode: "nat", Method: "maglev", Persistence: vserver.BySource, Packets: 123456, Flows: 12, State: vserver.Degraded, Eligible: 2, MinHealthy: 3, Backends: []node.BackendStatus{
				{Name: "web1", Address: netip.MustParseAddrPort("10.2.3.1:80"), Weight: 1, Up: true, Reachable: "found", Check: "https", Since: ago(7*time.Hour + time.Minute), Packets: 123456, NewFlows: 99, Flows: 12, Ramp: 0.4},
				{Name: "web2", Address: netip.MustParseAddrPort("10.2.3.2:80"), Weight: 0, Reachable: "found", Check: "tcp", Since: ago(150 * time.Second), Error: "health: connect: connection refused"},
				{Name: "web3", Address: netip.MustParseAddrPort("10.2.3.3:8080"), Weight: 1, Up: true, Reachable: "not resolved", Flows: 7, Open: 5, MaxFlows: 5},
			}},
			{Name: "dns", VIP: vip6, Port: vserver.Ports(53, 54), State: vserver.Up, OnBackups: true, Flows: 3, Open: 2, MaxFlows: 100, Protocol: "udp", Mode: "dsr", Method: "roundrobin", Backends: []node.BackendStatus{
				{Name: "spare", Address: netip.MustParseAddrPort("[fd00::3:1]:0"), Weight: 1, Up: true, Reachable: "found", Backup: true, Ramp: 1},
			}},
		},
		Frames: node.FrameStatus{Total: 8192, Free: 97, Fill: 8000, Transmit: 90, Handoff: 2, Held: 3},
		Reload: node.ReloadStatus{At: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), Error: "lb.toml:3: engine.batch: 0: give 1 to 256"},

		DeniedPrefixes: 3,
	}
}

// uptime is what changes from one print to the next.
var uptime = regexp.MustCompile(`up 1h3\dm\d+s,`)

func TestStatusForPeople(t *testing.T) {
	socket := serveAPI(t, &fake{status: sample()})
	r := appliance(t, "status", "--socket", socket)
	r.want(t, 0, r.out, "")
	golden(t, "status.txt", uptime.ReplaceAllString(r.out, "up 1h30m0s,"))
}

// An engine that doesn't answer has no numbers, and frames can't be counted.
func TestStatusWithAStuckEngine(t *testing.T) {
	s := node.Status{Node: "lb1", Started: time.Now().Add(-90 * time.Minute), Engines: []node.EngineStatus{{ID: 0}, {ID: 1, Stuck: true}}}
	s.Frames.Total = 8192
	r := appliance(t, "status", "--socket", serveAPI(t, &fake{status: s}))
	r.want(t, 0, r.out, "")
	golden(t, "stuck.txt", uptime.ReplaceAllString(r.out, "up 1h30m0s,"))
}

// With --json there is one object on stdout and nothing else.
func TestStatusJSON(t *testing.T) {
	s := sample()
	s.Started = s.Started.UTC().Truncate(time.Second)
	r := appliance(t, "status", "--json", "--socket", serveAPI(t, &fake{status: s}))
	r.want(t, 0, r.out, "")
	var got node.Status
	if err := json.Unmarshal([]byte(r.out), &got); err != nil {
		t.Fatalf("%v:\n%s", err, r.out)
	}
	if !reflect.DeepEqual(got, s) {
		t.Errorf("got %+v, want %+v", got, s)
	}
}

// --watch prints until it is interrupted, which is no failure.
func TestStatusWatch(t *testing.T) {
	ctx, interrupt := context.WithCancel(t.Context())
	defer interrupt()
	times := 0
	f := &fake{status: sample(), asked: func() {
		if times++; times == 4 {
			interrupt()
		}
	}}
	r := within(ctx, "status", "--watch", "1ms", "--socket", serveAPI(t, f))
	if n := strings.Count(r.out, "node lb1 "); n < 3 {
		t.Errorf("printed %d times", n)
	}
	r.want(t, 0, r.out, "")
}

func TestWhere(t *testing.T) {
	known := node.Where{Hash: 0xdeadbeef, Bucket: 3823, CoreEntry: 111, Engine: 1, Service: "web", Ports: 80, Backend: "web1",
		Source: netip.MustParseAddrPort("10.2.2.1:4711"), State: "established", ExpiresS: 7439.6, Why: "the flow has a record"}
	tunnelled := known
	tunnelled.Source = netip.MustParseAddrPort("10.200.1.7:0")
	nobody := node.Where{Hash: 7, Bucket: 7, CoreEntry: 7, Why: "203.0.113.99 is no VIP"}
	call := []string{"where", "tcp", "198.51.100.7:40000", "203.0.113.10:80"}
	for name, w := range map[string]node.Where{"where.txt": known, "where_ipip.txt": tunnelled, "nowhere.txt": nobody} {
		socket := serveAPI(t, &fake{where: w})
		r := appliance(t, append(call, "--socket", socket)...)
		r.want(t, 0, r.out, "")
		golden(t, name, r.out)

		r = appliance(t, append(call, "--json", "--socket", socket)...)
		r.want(t, 0, r.out, "")
		var got node.Where
		if err := json.Unmarshal([]byte(r.out), &got); err != nil || got != w {
			t.Errorf("%s: got %+v (%v), want %+v", name, got, err, w)
		}
	}
}

func TestReload(t *testing.T) {
	appliance(t, "reload", "--socket", serveAPI(t, new(fake))).want(t, 0, "reloaded\n", "")
	// What the node says of its configuration reads as if it were read here.
	problems := "lb.toml:3: engine.batch: 0: give 1 to 256\nlb.toml:9: nat.snips: give one"
	socket := serveAPI(t, &fake{reload: errors.New(problems)})
	appliance(t, "reload", "--socket", socket).want(t, exitUsage, "", problems+"\n")
}

// Commands that ask a node say so when there is none.
func TestNoNode(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "none.sock")
	for _, args := range [][]string{
		{"status"}, {"status", "--json"}, {"status", "--watch", "1s"}, {"reload"},
		{"deny", "add", "198.51.100.0/24"}, {"deny", "remove", "198.51.100.0/24"}, {"deny", "list"},
		{"where", "tcp", "198.51.100.7:40000", "203.0.113.10:80"},
	} {
		appliance(t, append(args, "--socket", socket)...).want(t, exitFailed, "",
			"appliance: no appliance answers at "+socket+": is it running, and is this its [api] socket? (--socket)\n")
	}
}
