package netstate

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"runtime"

	"strings"
	"sync"
	"testing"
	"time"

	"github.com/vishvananda/netns"

	"appliance/internal/fib"
	"appliance/internal/privtest"
)

// The world of these tests: two namespaces without names, which vanish with
// the test, and two veth pairs between them.
//
//	node                                  peer
//	client0  10.1.0.1/24  2001:db8:1::1 ── pc0  10.1.0.2/24  2001:db8:1::2
//	server0  10.2.0.1/24  2001:db8:2::1 ── ps0  10.2.0.2/24  2001:db8:2::2, 10.2.0.3
//
// A test's own thread is in the node's namespace; peer.run visits the other.
type world struct {
	t    *testing.T
	node netns.NsHandle
	peer netns.NsHandle
}

// newWorld builds the world. The test's thread is never unlocked, so that it
// ends with the test instead of returning to the pool in a wrong namespace.
func newWorld(t *testing.T) *world {
	t.Helper()
	privtest.NeedNetNS(t)
	if _, err := exec.LookPath("ip"); err != nil {
		privtest.Unable(t, "run ip (install iproute2)", err)
	}
	runtime.LockOSThread()
	w := &world{t: t, peer: newNS(t), node: newNS(t)}
	w.inPeer("sysctl -qw net.ipv6.conf.default.accept_dad=0")
	w.do("sysctl -qw net.ipv6.conf.default.accept_dad=0")
	w.do("ip link set lo up")
	for _, l := range []struct{ name, peer, net string }{{"client0", "pc0", "1"}, {"server0", "ps0", "2"}} {
		w.do("ip link add " + l.name + " numrxqueues 4 numtxqueues 4 type veth peer name " + l.peer + " numrxqueues 4 numtxqueues 4")
		w.do("ip link set " + l.peer + " netns " + fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), w.peer))
		w.do("ip address add 10." + l.net + ".0.1/24 dev " + l.name)
		w.do("ip address add 2001:db8:" + l.net + "::1/64 dev " + l.name + " nodad")
		w.do("ip link set " + l.name + " up")
		w.inPeer("ip address add 10." + l.net + ".0.2/24 dev " + l.peer)
		w.inPeer("ip address add 2001:db8:" + l.net + "::2/64 dev " + l.peer + " nodad")
		w.inPeer("ip link set " + l.peer + " up")
	}
	w.inPeer("ip address add 10.2.0.3/24 dev ps0")
	return w
}

func newNS(t *testing.T) netns.NsHandle {
	t.Helper()
	ns, err := netns.New() // and moves the thread there
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ns.Close() })
	return ns
}

// do runs a command in the node's namespace and returns its output.
func (w *world) do(command string) string {
	w.t.Helper()
	words := strings.Fields(command)
	cmd := exec.Command(words[0], words[1:]...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		w.t.Fatalf("%s: %v\n%s", command, err, out)
	}
	return string(out)
}

// inPeer runs a command in the peer's namespace.
func (w *world) inPeer(command string) string {
	w.t.Helper()
	if err := netns.Set(w.peer); err != nil {
		w.t.Fatal(err)
	}
	defer func() {
		if err := netns.Set(w.node); err != nil {
			w.t.Fatal(err)
		}
	}()
	return w.do(command)
}

var bothInterfaces = []Interface{{Name: "client0"}, {Name: "server0", Server: true}}

// watch returns a Watcher that runs until the test ends.
func (w *world) watch(interfaces ...Interface) *Watcher {
	w.t.Helper()
	if interfaces == nil {
		interfaces = bothInterfaces
	}
	watcher, err := New(Config{Interfaces: interfaces})
	if err != nil {
		w.t.Fatal(err)
	}
	w.run(watcher)
	return watcher
}

// run runs the Watcher until the test ends, and closes it.
func (w *world) run(watcher *Watcher) {
	ctx, cancel := context.WithCancel(context.Background())
	var run sync.WaitGroup
	run.Go(func() { watcher.Run(ctx) })
	w.t.Cleanup(func() {
		cancel()
		run.Wait()
		if err := watcher.Close(); err != nil {
			w.t.Errorf("Close: %v", err)
		}
	})
}

// patience is how long tests wait for what should take milliseconds.
const patience = 10 * time.Second

// until waits for a State that ok accepts.
func until(t *testing.T, w *Watcher, what string, ok func(State) bool) State {
	t.Helper()
	deadline := time.After(patience)
	for {
		if s := w.Current(); ok(s) {
			return s
		}
		select {
		case <-w.Changes():
		case <-deadline:
			t.Fatalf("within %v there was no state with %s; last: %+v", patience, what, w.Current())
		}
	}
}

// eventually waits until ok, which looks at the kernel rather than at a State.
func eventually(t *testing.T, within time.Duration, what string, ok func() bool) time.Duration {
	t.Helper()
	start := time.Now()
	for !ok() {
		if time.Since(start) > within {
			t.Fatalf("not within %v: %s", within, what)
		}
		time.Sleep(time.Millisecond)
	}
	return time.Since(start)
}

func lookup(s State, dst string) (fib.NextHop, fib.Result) {
	hop, result := s.FIB.Lookup(netip.MustParseAddr(dst), 0)
	if hop == nil {
		return fib.NextHop{}, result
	}
	return *hop, result
}

func reason(s State, dst string) fib.Reason { return s.FIB.Explain(netip.MustParseAddr(dst)).Reason }
