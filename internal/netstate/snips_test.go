package netstate

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"
)

func (w *world) holds(link, addr string) bool {
	w.t.Helper()
	return strings.Contains(w.do("ip address show dev "+link), addr)
}

func setSNIPs(t *testing.T, w *Watcher, list ...string) {
	t.Helper()
	if err := w.SetSNIPs(addrs(list...)); err != nil {
		t.Fatal(err)
	}
}

// TestSNIPs puts SNIPs of all sorts and takes them away again.
func TestSNIPs(t *testing.T) {
	w := newWorld(t)
	watcher := w.watch()
	const own, routed, v6, client = "10.2.0.100", "10.77.0.1", "2001:db8:2::100", "10.1.0.100"
	setSNIPs(t, watcher, own, routed, v6, client)
	for addr, link := range map[string]string{own: "server0", routed: "server0", v6: "server0", client: "client0"} {
		if !w.holds(link, addr) {
			t.Errorf("%s is not on %s", addr, link)
		}
	}
	s := until(t, watcher, "four SNIPs", func(s State) bool { return len(s.SNIPs) == 4 })
	if (s.SNIPs[1] != SNIP{netip.MustParseAddr(own), "server0"}) {
		t.Errorf("SNIPs of the state: %v", s.SNIPs)
	}
	for _, line := range strings.Split(w.do("ip -o address show dev server0"), "\n") {
		if strings.Contains(line, own) || strings.Contains(line, v6) {
			if !strings.Contains(line, "deprecated") || strings.Contains(line, "valid_lft forever") {
				t.Errorf("a SNIP may be a source address, or stays for ever: %s", line)
			}
		}
	}
	w.inPeer("ping -c 1 -W 2 " + own)
	w.inPeer("ping -c 1 -W 2 " + v6)
	setSNIPs(t, watcher, own)
	if !w.holds("server0", own) || w.holds("server0", routed) || w.holds("server0", v6) || w.holds("client0", client) {
		t.Errorf("after a smaller set: %s", w.do("ip address"))
	}
	if err := watcher.Close(); err != nil {
		t.Fatal(err)
	}
	if w.holds("server0", own) {
		t.Error("a SNIP is there after Close")
	}
	if err := watcher.SetSNIPs(nil); err == nil {
		t.Error("SetSNIPs works after Close")
	}
}

// TestSNIPIsAnnounced: a neighbour that knows another MAC learns ours, without
// asking.
func TestSNIPIsAnnounced(t *testing.T) {
	w := newWorld(t)
	watcher := w.watch()
	w.inPeer("sysctl -qw net.ipv4.neigh.ps0.locktime=0")
	for _, snip := range []string{"10.2.0.100", "2001:db8:2::100"} {
		w.inPeer("ip neigh replace " + snip + " dev ps0 lladdr 02:00:00:00:00:99 nud stale")
		setSNIPs(t, watcher, snip)
		mac := strings.Fields(w.do("ip -br link show dev server0"))[2]
		eventually(t, patience, "the peer knows the MAC of "+snip, func() bool {
			return strings.Contains(w.inPeer("ip neigh show to "+snip), mac)
		})
	}
	setSNIPs(t, watcher, "10.2.0.100")
	w.inPeer("sysctl -qw net.ipv4.conf.ps0.arp_accept=1") // the peer forgets its neighbours with its carrier
	w.do("ip link set server0 down")
	until(t, watcher, "link down", func(s State) bool { return !s.Links[1].Up })
	w.do("ip link set server0 up")
	eventually(t, patience, "the peer is told again when the link comes up", func() bool {
		return w.inPeer("ip neigh show to 10.2.0.100") != ""
	})
	const other = "02:77:00:00:00:01"
	w.do("ip link set server0 address " + other)
	eventually(t, patience, "the peer is told when the link's MAC address changes", func() bool {
		return strings.Contains(w.inPeer("ip neigh show to 10.2.0.100"), other)
	})
}

// A SNIP waits until the kernel doesn't see what comes to it.
func TestSNIPWaitsForTheGuard(t *testing.T) {
	w := newWorld(t)
	watcher, err := New(Config{Interfaces: bothInterfaces, Guarded: true})
	if err != nil {
		t.Fatal(err)
	}
	defer watcher.Close()
	link := watcher.Current().Links[1]
	if err := watcher.SetSNIPs(addrs("10.2.0.100")); !errors.Is(err, ErrNoHome) || w.holds("server0", "10.2.0.100") {
		t.Errorf("without a guard: %v; %s", err, w.do("ip address show dev server0"))
	}
	watcher.Guard(link.Name, link.Index+100) // of an earlier interface of that name
	if w.holds("server0", "10.2.0.100") {
		t.Error("another's guard was enough")
	}
	watcher.Guard(link.Name, link.Index)
	if !w.holds("server0", "10.2.0.100") {
		t.Errorf("with a guard: %s", w.do("ip address show dev server0"))
	}
}

// A SNIP returns with its interface, not when the next try is due: its backends'
// answers wait for it.
func TestSNIPReturnsWithItsLink(t *testing.T) {
	w := newWorld(t)
	watcher := w.watch()
	watcher.mu.Lock()
	watcher.snips.lifetime, watcher.snips.retry = time.Hour, time.Hour
	watcher.mu.Unlock()
	setSNIPs(t, watcher, "10.2.0.100")
	until(t, watcher, "a SNIP", func(s State) bool { return len(s.SNIPs) == 1 })
	w.do("ip link set server0 name other0")
	until(t, watcher, "no interface", func(s State) bool { return !s.Links[1].Exists })
	w.do("ip link set other0 down")
	w.do("ip address del 10.2.0.100/32 dev other0")
	w.do("ip link set other0 name server0")
	w.do("ip link set server0 up")
	eventually(t, patience, "the SNIP is back", func() bool { return w.holds("server0", "10.2.0.100") })
}

// TestSNIPLifetime: refreshed it stays, and without refresh it goes, as after a
// kill. It is then adopted by whoever comes next.
func TestSNIPLifetime(t *testing.T) {
	t.Parallel()
	const lifetime = 2 * time.Second
	w := newWorld(t)
	watcher, err := New(Config{Interfaces: bothInterfaces})
	if err != nil {
		t.Fatal(err)
	}
	defer watcher.kernel.close()
	watcher.snips.lifetime = lifetime
	ctx, cancel := context.WithCancel(context.Background())
	var run sync.WaitGroup
	run.Go(func() { watcher.Run(ctx) })
	snips := []string{"10.2.0.100", "2001:db8:2::100"}
	setSNIPs(t, watcher, snips...)
	until(t, watcher, "two SNIPs", func(s State) bool { return len(s.SNIPs) == 2 })
	// One that expired would have been put back at once, and shows as a further
	// State. So do other changes of the namespace (an address that is no longer
	// tentative), but not in every stretch of two lifetimes.
	eventually(t, 8*lifetime, "the SNIPs are refreshed without a gap", func() bool {
		before := watcher.Current()
		time.Sleep(2 * lifetime)
		s := watcher.Current()
		return len(s.SNIPs) == 2 && s.Generation == before.Generation
	})
	cancel() // and no Close: nobody refreshes, nobody removes
	run.Wait()
	successor := w.watch()
	setSNIPs(t, successor, snips[1])
	took := eventually(t, lifetime+2*time.Second, "the kernel drops the SNIP", func() bool { return !w.holds("server0", snips[0]) })
	t.Logf("the SNIP was gone %v after the last sign of life, lifetime %v", took, lifetime)
	time.Sleep(lifetime)
	if !w.holds("server0", snips[1]) {
		t.Error("the adopted SNIP is gone, too")
	}
}

// TestSNIPFollowsItsInterface through its absence, and comes back when somebody
// else removes it.
func TestSNIPFollowsItsInterface(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	watcher := w.watch()
	setSNIPs(t, watcher, "10.2.0.100", "2001:db8:2::100")
	both := func(s State) bool { return len(s.SNIPs) == 2 }
	until(t, watcher, "two SNIPs", both)
	w.do("ip address del 10.2.0.100/32 dev server0")
	until(t, watcher, "SNIPs after a deletion", both)
	w.do("ip link set server0 down") // which removes IPv6 addresses
	w.do("ip link set server0 up")
	until(t, watcher, "SNIPs after the link was down", both)
	w.do("ip link del server0")
	until(t, watcher, "no SNIP without the interface", func(s State) bool { return len(s.SNIPs) == 0 })
	w.do("ip link add server0 type veth peer name back0")
	w.do("ip link set server0 up")
	w.do("ip link set back0 up")
	until(t, watcher, "SNIPs on the new interface", both)
}

func TestSNIPsRefused(t *testing.T) {
	w := newWorld(t)
	watcher := w.watch()
	setSNIPs(t, watcher, "10.2.0.100")
	cases := []struct {
		snip string
		want error
	}{
		{"10.2.0.1", ErrNotDedicated}, {"2001:db8:1::1", ErrNotDedicated}, {"224.0.0.1", ErrBadSNIP}, {"127.0.0.2", ErrBadSNIP},
		{"0.0.0.0", ErrBadSNIP}, {"fe80::1", ErrBadSNIP}, {"::ffff:10.2.0.9", ErrBadSNIP},
	}
	for _, c := range cases {
		if err := watcher.SetSNIPs(addrs(c.snip)); !errors.Is(err, c.want) {
			t.Errorf("%s: error %v, want %v", c.snip, err, c.want)
		}
		if !w.holds("server0", "10.2.0.100") {
			t.Fatalf("%s: the SNIPs changed in spite of the error", c.snip)
		}
	}
	if err := watcher.SetSNIPs([]netip.Addr{{}}); !errors.Is(err, ErrBadSNIP) {
		t.Errorf("invalid address: error %v", err)
	}
	homeless := w.watch(Interface{Name: "client0"}, Interface{Name: "absent0", Server: true})
	if err := homeless.SetSNIPs(addrs("10.77.0.1")); !errors.Is(err, ErrNoHome) {
		t.Errorf("no server-plane interface: error %v", err)
	}
}
