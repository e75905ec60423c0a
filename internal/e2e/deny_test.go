package e2e

import (
	"net/netip"
	"os/exec"
	"strings"
	"testing"

	"appliance/internal/lab"
	"appliance/internal/lab/origin"
)

// command runs the program's command line against the node and wants it to
// succeed. It returns what it wrote.
func command(t *testing.T, l *lab.Lab, args ...string) string {
	t.Helper()
	out, err := tryCommand(t, l, args...)
	if err != nil {
		t.Fatalf("%q: %v: %s", args, err, out)
	}
	return out
}

func tryCommand(t *testing.T, l *lab.Lab, args ...string) (string, error) {
	t.Helper()
	binary, err := lab.Build(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), binary, append(args, "--socket", l.Nodes[0].Socket())...).CombinedOutput()
	return string(out), err
}

// denials returns what the client plane's XDP program has denied.
func denials(t *testing.T, p *lab.Process) (n uint64) {
	t.Helper()
	for _, i := range status(t, p).Interfaces {
		if i.Name == lab.ClientPlane {
			n += i.Filter.Denied
		}
	}
	return n
}

// pongs reports whether the client's ping of the VIP is answered.
func pongs(t *testing.T, c *lab.Client, vip netip.Addr) bool {
	t.Helper()
	_, err := c.Output(t.Context(), "ping", "-n", "-c", "1", "-W", "1", vip.String())
	return err == nil
}

// An operator denies one of two clients under traffic: it gets nothing, also on
// a connection that is open, while the other is served; and once it is allowed
// again, its connection goes on. The node's own traffic is never touched.
func TestDenyUnderTraffic(t *testing.T) {
	l, p := build(t, lab.Config{Clients: 2, IPv6: true}, lab.NodeOptions{})
	bad, good := l.Clients[0], l.Clients[1]
	for i, vip := range l.VIPs[0].All() {
		prefix := bad.Addr.All()[i].String()
		open := newPingpong(t, dial(t, l, "tcp", vip, origin.EchoPort)) // of the first client
		open.exchange()
		before := denials(t, p)

		command(t, l, "deny", "add", prefix, "--for", "10m")
		if list := command(t, l, "deny", "list"); !strings.Contains(list, prefix+"/") {
			t.Errorf("%s is not listed:\n%s", prefix, list)
		}
		if pongs(t, bad, vip) || denials(t, p) == before {
			t.Errorf("%s is denied and gets answers from %s; %d packets denied", prefix, vip, denials(t, p)-before)
		}
		for range 5 {
			if _, err := get(t.Context(), good, vip, 5000); err != nil {
				t.Errorf("the other client, which is not denied: %v", err)
			}
		}
		stopped := denials(t, p)
		sent := make(chan error, 1)
		go func() { sent <- open.try(patience) }()
		eventually(t, "the open connection is denied, too", func() bool { return denials(t, p) > stopped })
		if s := status(t, p); s.DeniedPrefixes != 1 {
			t.Errorf("status says %d denied prefixes, want 1", s.DeniedPrefixes)
		}

		command(t, l, "deny", "remove", prefix)
		if err := <-sent; err != nil {
			t.Errorf("the open connection does not go on: %v", err)
		}
		if _, err := get(t.Context(), bad, vip, 5000); err != nil {
			t.Errorf("allowed again: %v", err)
		}
	}
	accounted(t, status(t, p))
}

// What the configuration denies comes and goes with reloads, what was added by
// hand stays over them; and only what was added can be removed by hand, at the
// latest by its time.
func TestDenyAndReload(t *testing.T) {
	l := buildLab(t, lab.Config{Clients: 2})
	denied := lab.NodeOptions{Extra: "[deny]\nprefixes = [\"" + l.Clients[0].Addr.V4.String() + "\"]\n"}
	p := start(t, l, denied)
	vip, first, second := l.VIPs[0].V4, l.Clients[0], l.Clients[1]
	served := func(one, two bool) {
		t.Helper()
		if pongs(t, first, vip) != one || pongs(t, second, vip) != two {
			t.Errorf("the clients are served %v, %v, want %v, %v", !one, !two, one, two)
		}
	}
	served(false, true)
	out, err := tryCommand(t, l, "deny", "remove", first.Addr.V4.String())
	if err == nil || !strings.Contains(out, "take it out there and reload") {
		t.Errorf("a configured prefix was removed by hand: %v: %s", err, out)
	}
	command(t, l, "deny", "add", second.Addr.V4.String())
	served(false, false)
	reload(t, l, p, lab.NodeOptions{})
	served(true, false)
	reload(t, l, p, denied)
	served(false, false)
	command(t, l, "deny", "add", second.Addr.V4.String(), "--for", "1s")
	eventually(t, "the time of the second one ends", func() bool { return pongs(t, second, vip) })
	served(false, true)
}
