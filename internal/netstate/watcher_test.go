package netstate

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"appliance/internal/fib"
)

func TestNewRefuses(t *testing.T) {
	many := make([]Interface, 256)
	for i := range many {
		many[i].Name = fmt.Sprintf("eth%d", i)
	}
	for name, interfaces := range map[string][]Interface{
		"no name": {{}}, "twice": {{Name: "eth0"}, {Name: "eth0"}}, "too many": many,
	} {
		if w, err := New(Config{Interfaces: interfaces}); err == nil {
			t.Errorf("%s: no error", name)
			w.Close()
		}
	}
}

// TestLostMessages overflows the socket before anyone reads it.
func TestLostMessages(t *testing.T) {
	w := newWorld(t)
	watcher, err := New(Config{Interfaces: bothInterfaces})
	if err != nil {
		t.Fatal(err)
	}
	if err := watcher.kernel.events.SetReceiveBufferSize(1, true); err != nil {
		t.Fatal(err)
	}
	var batch strings.Builder
	for i := range 200 {
		fmt.Fprintf(&batch, "route add 172.16.0.%d/32 via 10.1.0.2\n", i)
	}
	batch.WriteString("neigh replace 10.1.0.2 dev client0 lladdr 02:00:00:00:00:12\n")
	file := filepath.Join(t.TempDir(), "batch")
	if err := os.WriteFile(file, []byte(batch.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	w.do("ip -batch " + file)
	// The neighbour's message came last and is lost for certain; only loading
	// everything again can find it.
	w.run(watcher)
	until(t, watcher, "what the last, lost message said", func(s State) bool {
		hop, result := lookup(s, "172.16.0.199")
		return result == fib.Found && hop.Dst[5] == 0x12
	})
}

func TestRunEnds(t *testing.T) {
	newWorld(t)
	before := runtime.NumGoroutine()
	for name, end := range map[string]func(*Watcher, context.CancelFunc){
		"context":                 func(_ *Watcher, cancel context.CancelFunc) { cancel() },
		"close":                   func(w *Watcher, _ context.CancelFunc) { w.Close() },
		"close after lost socket": func(w *Watcher, _ context.CancelFunc) { w.kernel.events.Close(); w.Close() },
	} {
		watcher, err := New(Config{Interfaces: bothInterfaces})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(context.Background())
		ended := make(chan struct{})
		go func() { watcher.Run(ctx); close(ended) }()
		time.Sleep(20 * time.Millisecond) // so that it waits for messages
		end(watcher, cancel)
		select {
		case <-ended:
		case <-time.After(patience):
			t.Fatalf("%s: Run doesn't return", name)
		}
		cancel()
		watcher.Close()
		watcher.Run(context.Background()) // returns, which is all that is asked of it
		watcher.Manage(addrs("10.2.0.2"))
		watcher.Resolve(netip.MustParseAddr("10.2.0.2"))
	}
	eventually(t, patience, "no goroutine is left", func() bool { return runtime.NumGoroutine() <= before })
}

// TestLostSocket: a Watcher that gets no messages any more looks for itself,
// and keeps SNIPs alive.
func TestLostSocket(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	watcher, err := New(Config{Interfaces: bothInterfaces})
	if err != nil {
		t.Fatal(err)
	}
	watcher.snips.lifetime = 2 * time.Second
	w.run(watcher)
	setSNIPs(t, watcher, "10.2.0.100")
	watcher.kernel.events.Close()
	w.do("ip route add 172.16.0.0/24 via 10.1.0.2")
	until(t, watcher, "the route", func(s State) bool {
		_, result := lookup(s, "172.16.0.1")
		return result != fib.NoRoute
	})
	time.Sleep(2 * watcher.snips.lifetime)
	if !w.holds("server0", "10.2.0.100") {
		t.Error("the SNIP was not refreshed")
	}
}

func TestSysctlProblems(t *testing.T) {
	root := t.TempDir()
	write := func(key, value string) {
		path := filepath.Join(root, key)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(value+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for key, value := range map[string]string{
		"ipv4/ip_forward": "0", "ipv6/conf/all/forwarding": "0", "ipv4/nexthop_compat_mode": "1",
		"ipv4/conf/all/rp_filter": "2", "ipv4/conf/eth0.7/rp_filter": "1", "ipv4/conf/eth0.7/arp_ignore": "1",
		"ipv4/conf/all/arp_ignore": "0",
	} {
		write(key, value)
	}
	interfaces := []string{"eth0.7", "absent0"}
	if got := sysctlProblems(root, interfaces); got != nil {
		t.Errorf("problems where there are none: %v", got)
	}
	for key, value := range map[string]string{
		"ipv4/ip_forward": "1", "ipv6/conf/all/forwarding": "1", "ipv4/nexthop_compat_mode": "0",
		"ipv4/conf/all/rp_filter": "0", "ipv4/conf/eth0.7/arp_ignore": "2",
	} {
		write(key, value)
	}
	var keys []string
	for _, p := range sysctlProblems(root, interfaces) {
		keys = append(keys, strings.SplitN(p.String(), ":", 2)[0])
	}
	want := "net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1 net.ipv4.nexthop_compat_mode=0 " +
		"net.ipv4.conf.eth0/7.rp_filter=1 net.ipv4.conf.eth0/7.arp_ignore=2"
	if got := strings.Join(keys, " "); got != want {
		t.Errorf("problems %s\nwant     %s", got, want)
	}
}

// TestSysctlProblemsOfNamespace: the settings are those of the thread's
// namespace, not of the machine.
func TestSysctlProblemsOfNamespace(t *testing.T) {
	w := newWorld(t)
	has := func() bool {
		for _, p := range SysctlProblems([]string{"server0"}) {
			if p.Key == "net.ipv4.conf.server0.rp_filter" {
				return true
			}
		}
		return false
	}
	w.do("sysctl -qw net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.server0.rp_filter=0")
	if has() {
		t.Error("rp_filter=0 is called a problem")
	}
	w.do("sysctl -qw net.ipv4.conf.server0.rp_filter=1")
	if !has() {
		t.Error("rp_filter=1 is not called a problem")
	}
}
