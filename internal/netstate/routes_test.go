package netstate

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"appliance/internal/fib"
)

func TestFirstState(t *testing.T) {
	w := newWorld(t)
	watcher, err := New(Config{Interfaces: append([]Interface{{Name: "absent0"}}, bothInterfaces...)})
	if err != nil {
		t.Fatal(err)
	}
	w.run(watcher)
	s := watcher.Current()
	if s.Generation != 1 || len(s.Links) != 3 {
		t.Fatalf("first state: %+v", s)
	}
	if (s.Links[0] != Link{Name: "absent0"}) {
		t.Errorf("interface that doesn't exist: %+v", s.Links[0])
	}
	l := s.Links[2]
	if l.Name != "server0" || !l.Exists || !l.Up || l.Index == 0 || l.MTU != 1500 || l.MAC == [6]byte{} || l.RxQueues != 4 || l.TxQueues != 4 {
		t.Errorf("server0: %+v", l)
	}
	hop, result := lookup(s, "10.2.0.2")
	if hop.Interface != 2 || hop.Src != l.MAC || hop.MTU != 1500 || hop.Link != l.Index || result == fib.NoRoute {
		t.Errorf("next hop: %+v, %d", hop, result)
	}
	if reason(s, "10.2.0.1") != fib.ReasonLocal || reason(s, "10.2.0.255") != fib.ReasonBroadcast || reason(s, "10.2.0.0") != fib.ReasonBroadcast {
		t.Error("own or broadcast addresses are not known as such")
	}
	found := 0
	for _, p := range s.Addresses {
		if p == netip.MustParsePrefix("10.2.0.1/24") || p == netip.MustParsePrefix("2001:db8:2::1/64") {
			found++
		}
	}
	if found != 2 {
		t.Errorf("addresses: %v", s.Addresses)
	}
}

// TestRoutesShowUp adds, replaces and removes routes of every sort, and waits
// for each to show in the forwarding table.
func TestRoutesShowUp(t *testing.T) {
	w := newWorld(t)
	watcher := w.watch()
	w.do("ip link add other0 type veth peer name other1")
	w.do("ip address add 10.9.0.1/24 dev other0")
	w.do("ip link set other0 up")
	w.do("ip link set other1 up")
	for _, g := range []string{"10.1.0.2 dev client0", "10.2.0.2 dev server0", "10.2.0.3 dev server0"} {
		w.do("ip neigh replace " + g + " lladdr 02:00:00:00:00:" + g[3:4] + g[7:8])
	}
	w.do("ip neigh replace fe80::1 dev client0 lladdr 02:00:00:00:00:61")
	steps := []struct {
		do, dst string
		want    fib.Result
		mac     byte       // last byte of the destination MAC when Found
		reason  fib.Reason // when NoRoute
	}{
		{"ip route add default via 10.1.0.2", "198.51.100.1", fib.Found, 0x12, 0},
		{"ip route add 198.51.100.0/24 via 10.2.0.2", "198.51.100.1", fib.Found, 0x22, 0},
		{"ip route add 198.51.100.0/24 via 10.1.0.2 metric 5", "198.51.100.1", fib.Found, 0x22, 0},
		{"ip route del 198.51.100.0/24 via 10.2.0.2", "198.51.100.1", fib.Found, 0x12, 0},
		{"ip route del 198.51.100.0/24 via 10.1.0.2 metric 5", "198.51.100.1", fib.Found, 0x12, 0},
		{"ip route add blackhole 198.51.100.0/24", "198.51.100.1", fib.NoRoute, 0, fib.ReasonBlackhole},
		{"ip route replace unreachable 198.51.100.0/24", "198.51.100.1", fib.NoRoute, 0, fib.ReasonUnreachable},
		{"ip route replace prohibit 198.51.100.0/24", "198.51.100.1", fib.NoRoute, 0, fib.ReasonProhibit},
		{"ip route replace throw 198.51.100.0/24", "198.51.100.1", fib.NoRoute, 0, fib.ReasonUnreachable},
		{"ip route replace 198.51.100.0/24 via 10.9.0.2", "198.51.100.1", fib.NoRoute, 0, fib.ReasonForeign},
		{"ip route del 198.51.100.0/24", "198.51.100.1", fib.Found, 0x12, 0},
		{"ip -4 route replace default via inet6 fe80::1 dev client0", "198.51.100.1", fib.Found, 0x61, 0},
		{"ip route replace default via 10.2.0.3 dev server0 onlink mtu 1400", "198.51.100.1", fib.Found, 0x23, 0},
		{"ip route add 198.51.100.0/24 via 10.1.0.2 table 77", "198.51.100.1", fib.Found, 0x23, 0},
		{"ip route add 198.51.100.0/24 via 10.1.0.2 tos 8", "198.51.100.1", fib.Found, 0x23, 0},
		{"ip route del default", "198.51.100.1", fib.NoRoute, 0, fib.ReasonNoPrefix},
		{"ip -6 route add default via fe80::1 dev client0", "2001:db8:9::1", fib.Found, 0x61, 0},
		{"ip -6 route add blackhole 2001:db8:9::/48", "2001:db8:9::1", fib.NoRoute, 0, fib.ReasonBlackhole},
		{"ip -6 route del blackhole 2001:db8:9::/48", "2001:db8:9::1", fib.Found, 0x61, 0},
		{"ip -6 route del default", "2001:db8:9::1", fib.NoRoute, 0, fib.ReasonNoPrefix},
		{"ip route add default nhid 1", "198.51.100.1", fib.Found, 0x12, 0},
		{"ip nexthop replace id 1 via 10.2.0.2 dev server0", "198.51.100.1", fib.Found, 0x22, 0},
		// It takes its IPv4 routes along without a message about them.
		{"ip nexthop del id 1", "198.51.100.1", fib.NoRoute, 0, fib.ReasonNoPrefix},
	}
	for _, step := range steps {
		if step.do == "ip route add default nhid 1" {
			w.do("ip nexthop add id 1 via 10.1.0.2 dev client0")
		}
		w.do(step.do)
		until(t, watcher, step.do, func(s State) bool {
			hop, result := lookup(s, step.dst)
			return result == step.want && reason(s, step.dst) == step.reason &&
				(result != fib.Found || hop.Dst[5] == step.mac)
		})
	}
}

// TestMultipath follows a weighted route over two interfaces, one of which
// loses its carrier and gets it back.
func TestMultipath(t *testing.T) {
	w := newWorld(t)
	watcher := w.watch()
	w.do("ip neigh replace 10.1.0.2 dev client0 lladdr 02:00:00:00:00:12")
	w.do("ip neigh replace 10.2.0.2 dev server0 lladdr 02:00:00:00:00:22")
	w.do("ip route add default nexthop via 10.1.0.2 weight 1 nexthop via 10.2.0.2 weight 3")
	shares := func(s State) (client, server int) {
		for hash := range uint32(4000) {
			hop, _ := s.FIB.Lookup(netip.MustParseAddr("198.51.100.1"), hash)
			switch {
			case hop == nil || !hop.Resolved:
				return 0, 0
			case hop.Interface == 0:
				client++
			default:
				server++
			}
		}
		return client, server
	}
	weighted := func(s State) bool {
		client, server := shares(s)
		return client > 900 && client < 1100 && client+server == 4000
	}
	until(t, watcher, "weights 1 to 3", weighted)
	w.inPeer("ip link set pc0 down")
	until(t, watcher, "traffic on server0 alone", func(s State) bool { _, server := shares(s); return server == 4000 })
	w.inPeer("ip link set pc0 up")
	until(t, watcher, "weights 1 to 3 again", weighted)
}

// TestInterfaceAway: an interface goes down, is removed and comes back, with
// another index, MAC and MTU.
func TestInterfaceAway(t *testing.T) {
	w := newWorld(t)
	w.do("sysctl -qw net.ipv6.conf.server0.disable_ipv6=1") // whose messages would hide what IPv4 doesn't say
	watcher := w.watch()
	before := watcher.Current().Links[1]
	link := func(ok func(Link) bool) func(State) bool {
		return func(s State) bool { return ok(s.Links[1]) }
	}
	w.inPeer("ip link set ps0 down")
	s := until(t, watcher, "carrier lost", link(func(l Link) bool { return l.Exists && !l.Up }))
	if why := reason(s, "10.2.0.2"); why != fib.ReasonDown {
		t.Errorf("without carrier: %q, want %q", why, fib.ReasonDown)
	}
	w.inPeer("ip link set ps0 up")
	until(t, watcher, "carrier back", link(func(l Link) bool { return l == before }))
	w.do("ip link set server0 down")
	// The kernel removes the link's routes without a message.
	until(t, watcher, "link down and route gone", func(s State) bool {
		return !s.Links[1].Up && reason(s, "10.2.0.2") == fib.ReasonNoPrefix
	})
	w.do("ip link set server0 up")
	until(t, watcher, "route back", func(s State) bool { _, r := lookup(s, "10.2.0.2"); return r != fib.NoRoute })
	w.do("ip link set server0 mtu 1400")
	until(t, watcher, "MTU", func(s State) bool {
		hop, _ := lookup(s, "10.2.0.2")
		return s.Links[1].MTU == 1400 && hop.MTU == 1400
	})
	w.do("ip link set server0 address 02:00:00:00:aa:01")
	until(t, watcher, "MAC", func(s State) bool {
		hop, _ := lookup(s, "10.2.0.2")
		return s.Links[1].MAC[5] == 1 && hop.Src == s.Links[1].MAC
	})
	w.do("ip link del server0")
	s = until(t, watcher, "interface gone", link(func(l Link) bool { return l == Link{Name: "server0"} }))
	if why := reason(s, "10.2.0.2"); why != fib.ReasonNoPrefix {
		t.Errorf("without the interface: %q, want %q", why, fib.ReasonNoPrefix)
	}
	w.do("ip link add server0 numrxqueues 2 numtxqueues 2 type veth peer name back0")
	w.do("ip address add 10.2.0.1/24 dev server0")
	w.do("ip link set back0 up")
	w.do("ip link set server0 up")
	s = until(t, watcher, "interface back", link(func(l Link) bool { return l.Up && l.RxQueues == 2 }))
	if l := s.Links[1]; l.Index == before.Index || l.MAC == before.MAC {
		t.Errorf("the interface is said to be the same as before: %+v", l)
	}
	until(t, watcher, "route over the new link", func(s State) bool {
		hop, _ := lookup(s, "10.2.0.2")
		return hop.Interface == 1 && hop.Link == s.Links[1].Index
	})
}

// TestQueueCount: a changed queue count is found by looking, as most drivers
// cause no message.
func TestQueueCount(t *testing.T) {
	newWorld(t)
	watcher, err := New(Config{Interfaces: bothInterfaces})
	if err != nil {
		t.Fatal(err)
	}
	defer watcher.Close()
	if watcher.tick() {
		t.Error("a tick found something new although nothing changed")
	}
	channels, err := watcher.kernel.ethtool.GetChannels("server0")
	if err != nil {
		t.Fatal(err)
	}
	channels.RxCount, channels.TxCount = 2, 2
	if _, err := watcher.kernel.ethtool.SetChannels("server0", channels); err != nil {
		t.Fatal(err)
	}
	if !watcher.tick() {
		t.Error("a tick found nothing new")
	}
	if err := watcher.locked(watcher.apply); err != nil {
		t.Fatal(err)
	}
	if s := watcher.Current(); s.Links[0].RxQueues != 4 || s.Links[1].RxQueues != 2 {
		t.Errorf("queues %d and %d, want 4 and 2", s.Links[0].RxQueues, s.Links[1].RxQueues)
	}
}

// TestStormIsGathered: a thousand routes make few States, and the last one has
// them all.
func TestStormIsGathered(t *testing.T) {
	w := newWorld(t)
	watcher := w.watch()
	before := watcher.Current().Generation
	var batch strings.Builder
	for i := range 1000 {
		fmt.Fprintf(&batch, "route add 172.16.%d.%d/32 via 10.1.0.2\n", i/250, i%250)
	}
	file := filepath.Join(t.TempDir(), "batch")
	if err := os.WriteFile(file, []byte(batch.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	w.do("ip -batch " + file)
	took := time.Since(start)
	s := until(t, watcher, "the last route", func(s State) bool { return reason(s, "172.16.3.249") == fib.ReasonNone })
	if reason(s, "172.16.0.0") != fib.ReasonNone {
		t.Error("the first route is missing")
	}
	if states := s.Generation - before; time.Duration(states) > 2+2*took/gatherTime {
		t.Errorf("%d states for changes that took %v", states, took)
	}
}
