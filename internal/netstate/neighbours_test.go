package netstate

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"appliance/internal/fib"
)

func addrs(list ...string) (all []netip.Addr) {
	for _, a := range list {
		all = append(all, netip.MustParseAddr(a))
	}
	return all
}

// isManaged reports whether the kernel says that it manages the neighbour.
func (w *world) isManaged(addr string) bool {
	w.t.Helper()
	return strings.Contains(w.do("ip neigh show to "+addr), "managed")
}

func found(dst string) func(State) bool {
	return func(s State) bool { _, result := lookup(s, dst); return result == fib.Found }
}

// TestManage: backends on the link, behind a gateway and none at all.
func TestManage(t *testing.T) {
	w := newWorld(t)
	watcher := w.watch()
	w.do("ip route add 203.0.113.0/24 via 10.2.0.3")
	w.do("ip -6 route add 2001:db8:9::/48 via 2001:db8:2::2")
	watcher.Manage(addrs("10.2.0.2", "203.0.113.7", "2001:db8:1::2", "192.0.2.1"))
	for _, dst := range []string{"10.2.0.2", "203.0.113.7", "2001:db8:1::2", "2001:db8:9::1"} {
		until(t, watcher, dst+" resolved", found(dst))
	}
	for _, neighbour := range []string{"10.2.0.2", "10.2.0.3", "2001:db8:1::2", "2001:db8:2::2"} {
		if !w.isManaged(neighbour) {
			t.Errorf("%s is not managed: %s", neighbour, w.do("ip neigh show to "+neighbour))
		}
	}
	watcher.Manage(addrs("2001:db8:1::2"))
	if w.isManaged("10.2.0.2") || !w.isManaged("2001:db8:1::2") || !w.isManaged("10.2.0.3") {
		t.Errorf("after a smaller set: %s", w.do("ip neigh"))
	}
	w.do("ip route del 203.0.113.0/24")
	eventually(t, patience, "the former gateway is let go", func() bool { return !w.isManaged("10.2.0.3") })
	if err := watcher.Close(); err != nil {
		t.Fatal(err)
	}
	if all := w.do("ip neigh"); strings.Contains(all, "managed") {
		t.Errorf("managed after Close: %s", all)
	}
}

// TestManagedComesBack: entries that are flushed, or lose their flag, are asked
// for again.
func TestManagedComesBack(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	watcher := w.watch()
	watcher.Manage(addrs("10.2.0.2"))
	until(t, watcher, "resolved", found("10.2.0.2"))
	w.do("ip neigh del 10.2.0.2 dev server0")
	eventually(t, manageRetry/2, "managed after a deletion", func() bool { return w.isManaged("10.2.0.2") })
	until(t, watcher, "resolved again", found("10.2.0.2"))

	w.do("ip link set server0 down")
	until(t, watcher, "link down", func(s State) bool { return !s.Links[1].Up })
	w.do("ip link set server0 up")
	eventually(t, manageRetry/2, "managed after the link was down", func() bool { return w.isManaged("10.2.0.2") })
	until(t, watcher, "resolved after the link was down", found("10.2.0.2"))

	w.do("ip neigh replace 10.2.0.2 dev server0 use")
	key := adjacency{netip.MustParseAddr("10.2.0.2"), watcher.Current().Links[1].Index}
	eventually(t, patience, "the lost flag is seen", func() bool {
		watcher.mu.Lock()
		defer watcher.mu.Unlock()
		return !watcher.view.neighbours[key].managed
	})
	watcher.mu.Lock()
	watcher.keepNeighbours(time.Now())
	tooEarly := w.isManaged("10.2.0.2")
	watcher.keepNeighbours(time.Now().Add(manageRetry))
	watcher.mu.Unlock()
	if tooEarly || !w.isManaged("10.2.0.2") {
		t.Errorf("managed at once %v, later %v; want only later", tooEarly, w.isManaged("10.2.0.2"))
	}
}

// TestFixedNeighbourStays: what an administrator entered is used as it is.
func TestFixedNeighbourStays(t *testing.T) {
	w := newWorld(t)
	w.do("ip neigh replace 10.2.0.2 dev server0 lladdr 02:00:00:00:00:22")
	watcher := w.watch()
	watcher.Manage(addrs("10.2.0.2"))
	watcher.Resolve(netip.MustParseAddr("10.2.0.2"))
	if got := w.do("ip neigh show to 10.2.0.2"); !strings.Contains(got, "02:00:00:00:00:22 PERMANENT") {
		t.Errorf("the fixed neighbour became %s", got)
	}
	if hop, result := lookup(watcher.Current(), "10.2.0.2"); result != fib.Found || hop.Dst[5] != 0x22 {
		t.Errorf("next hop %+v, %d", hop, result)
	}
}

// TestChangedMAC measures how long it takes until a backend's new MAC is in the
// forwarding table, from its announcement on.
func TestChangedMAC(t *testing.T) {
	w := newWorld(t)
	w.do("sysctl -qw net.ipv4.neigh.server0.locktime=0")
	w.inPeer("sysctl -qw net.ipv4.conf.ps0.arp_notify=1 net.ipv6.conf.ps0.ndisc_notify=1")
	watcher := w.watch()
	watcher.Manage(addrs("10.2.0.2", "2001:db8:2::2"))
	until(t, watcher, "resolved", found("10.2.0.2"))
	until(t, watcher, "resolved", found("2001:db8:2::2"))
	for round := range byte(3) {
		mac := [6]byte{2, 0, 0, 0, 0xbb, round}
		w.inPeer(fmt.Sprintf("ip link set ps0 address 02:00:00:00:bb:%02x", round))
		start := time.Now()
		for _, dst := range []string{"10.2.0.2", "2001:db8:2::2"} {
			until(t, watcher, "new MAC", func(s State) bool { hop, _ := lookup(s, dst); return hop.Dst == mac })
		}
		t.Logf("both addresses %v after the change", time.Since(start))
	}
}

// TestResolve asks for a neighbour that nobody else asks for.
func TestResolve(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	watcher := w.watch()
	if _, result := lookup(watcher.Current(), "10.1.0.2"); result != fib.NoNeighbour {
		t.Fatalf("result %d before anyone asked", result)
	}
	start := time.Now()
	watcher.Resolve(netip.MustParseAddr("10.1.0.2"))
	until(t, watcher, "resolved", found("10.1.0.2"))
	t.Logf("resolved after %v", time.Since(start))
	if w.isManaged("10.1.0.2") {
		t.Error("Resolve made a managed neighbour")
	}

	w.do("ip neigh flush dev client0")
	until(t, watcher, "flushed", func(s State) bool { return !found("10.1.0.2")(s) })
	watcher.Resolve(netip.MustParseAddr("10.1.0.2"))
	if got := w.do("ip neigh show to 10.1.0.2"); got != "" {
		t.Errorf("asked again within a second: %s", got)
	}
	watcher.Resolve(netip.MustParseAddr("198.51.100.1")) // no route: nobody to ask
	watcher.Resolve(netip.Addr{})
}

// A Watcher that is closed before it ran, as at a start that fails, leaves no
// neighbour managed: the kernel would ask for it for ever.
func TestCloseBeforeRun(t *testing.T) {
	w := newWorld(t)
	w.do("ip route add 198.51.100.0/24 via 10.1.0.2")
	watcher, err := New(Config{Interfaces: bothInterfaces})
	if err != nil {
		t.Fatal(err)
	}
	watcher.Manage(addrs("10.2.0.2", "10.2.0.3"))
	eventually(t, patience, "neighbours are managed", func() bool {
		return w.isManaged("10.1.0.2") && w.isManaged("10.2.0.2") && w.isManaged("10.2.0.3")
	})
	if err := watcher.Close(); err != nil {
		t.Fatal(err)
	}
	if all := w.do("ip neigh"); strings.Contains(all, "managed") {
		t.Errorf("managed after Close: %s", all)
	}
}

// TestResolveManaged: asking for a managed neighbour leaves it managed, and a
// gateway of link-local address is found although no route leads to it.
func TestResolveManaged(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	watcher := w.watch()
	w.do("ip -6 route add default via fe80::77 dev client0")
	eventually(t, patience, "gateway managed", func() bool { return w.isManaged("fe80::77") })
	watcher.Resolve(netip.MustParseAddr("fe80::77"))
	if !w.isManaged("fe80::77") {
		t.Errorf("Resolve took the flag away: %s", w.do("ip neigh show to fe80::77"))
	}
	w.inPeer("ip address add fe80::77/64 dev pc0 nodad")
	until(t, watcher, "the gateway answers", found("2001:db8:9::1"))
}

func TestProbesAreBounded(t *testing.T) {
	k := newKeeper()
	now := time.Now()
	address := func(i int) netip.Addr {
		var a [4]byte
		binary.BigEndian.PutUint32(a[:], uint32(i))
		return netip.AddrFrom4(a)
	}
	for i := range resolveMost {
		if !k.mayProbe(address(i), now) {
			t.Fatalf("probe %d was refused", i)
		}
	}
	if k.mayProbe(address(resolveMost), now) {
		t.Error("a probe beyond the limit was allowed")
	}
	if k.mayProbe(address(1), now.Add(resolveRetry-1)) {
		t.Error("a second probe within the pause was allowed")
	}
	if !k.mayProbe(address(1), now.Add(resolveRetry)) {
		t.Error("a second probe after the pause was refused")
	}
	if !k.mayProbe(address(resolveMost), now.Add(resolveRetry)) || len(k.probed) > 2 {
		t.Errorf("%d probes are remembered after all but one have expired", len(k.probed))
	}
}

// TestSettled: one wanted neighbour that nobody resolves is enough.
func TestSettled(t *testing.T) {
	w := newWorld(t)
	watcher := w.watch()
	if !watcher.Settled() {
		t.Error("not settled although nothing is wanted")
	}
	watcher.Manage(addrs("10.2.0.2", "10.2.0.9"))
	until(t, watcher, "one of two resolved", found("10.2.0.2"))
	if watcher.Settled() {
		t.Error("settled although 10.2.0.9 is not resolved")
	}
	w.inPeer("ip address add 10.2.0.9/24 dev ps0")
	until(t, watcher, "both resolved", func(State) bool { return watcher.Settled() })
}
