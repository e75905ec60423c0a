package e2e

import (
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"appliance/internal/lab"
	"appliance/internal/lab/origin"
	"appliance/internal/node"
)

// Down and up again, with a connection that lives through it.
func TestInterfaceDownAndUp(t *testing.T) {
	for _, plane := range []string{lab.ClientPlane, lab.ServerPlane} {
		t.Run(plane, func(t *testing.T) {
			l, p := build(t, lab.Config{}, lab.NodeOptions{})
			c := newPingpong(t, dial(t, l, "tcp", l.VIPs[0].V4, origin.EchoPort))
			if err := l.Nodes[0].SetLink(plane, false); err != nil {
				t.Fatal(err)
			}
			eventually(t, "status says so", func() bool { return state(t, p, plane) == "down" })
			if err := c.try(200 * time.Millisecond); err == nil {
				t.Fatal("the connection works without a link")
			}
			if err := l.Nodes[0].Raise(plane); err != nil {
				t.Fatal(err)
			}
			eventually(t, "the interface is up", func() bool { return state(t, p, plane) == "up" })
			if err := c.try(patience); err != nil {
				t.Errorf("the connection didn't live through it: %v", err)
			}
			works(t, l)
			accounted(t, status(t, p))
		})
	}
}

// The number of queues changes under traffic: the interface is opened anew, and
// no connection notices more than a pause. The kernel, which has the SNIP as an
// address, would reset them all if it saw the backends' packets meanwhile.
func TestQueuesChange(t *testing.T) {
	l := buildLab(t, lab.Config{Queues: 2})
	setQueues := func(plane, rx string) {
		if _, err := l.Nodes[0].Output(t.Context(), "ethtool", "-L", plane, "rx", rx); err != nil {
			t.Fatal(err)
		}
	}
	planes := []string{lab.ServerPlane, lab.ClientPlane}
	for _, plane := range planes {
		setQueues(plane, "1") // more later: the kernel lets no queue go that has a socket
	}
	p := start(t, l, lab.NodeOptions{})
	var all []*pingpong
	for range 20 {
		all = append(all, newPingpong(t, dial(t, l, "tcp", l.VIPs[0].V4, origin.EchoPort)))
	}
	for _, plane := range planes {
		setQueues(plane, "2")
		for round := 0; queuesOf(t, p, plane) != 2; round++ { // traffic goes on meanwhile
			if err := all[round%len(all)].try(patience); err != nil {
				t.Fatalf("connection %d: %v", round%len(all), err)
			}
		}
		for n, c := range all {
			if err := c.try(patience); err != nil {
				t.Fatalf("connection %d: %v", n, err)
			}
		}
	}
	accounted(t, status(t, p))
}

// queuesOf returns how many queues of an interface are served.
func queuesOf(t *testing.T, p *lab.Process, iface string) int {
	t.Helper()
	s := status(t, p)
	i := slices.IndexFunc(s.Interfaces, func(i node.InterfaceStatus) bool { return i.Name == iface })
	return len(s.Interfaces[i].Ports)
}

// Removed and back, as a card is pulled, while traffic runs: the process
// survives, status shows it, and traffic flows again by itself.
func TestInterfaceRemovedAndBack(t *testing.T) {
	for _, plane := range []string{lab.ClientPlane, lab.ServerPlane} {
		t.Run(plane, func(t *testing.T) {
			l, p := build(t, lab.Config{}, lab.NodeOptions{})
			c := newPingpong(t, dial(t, l, "tcp", l.VIPs[0].V4, origin.EchoPort))
			stop := make(chan struct{})
			done := make(chan struct{})
			go func() {
				defer close(done)
				for {
					select {
					case <-stop:
						return
					default:
						_ = c.try(100 * time.Millisecond) // fails while the link is away
					}
				}
			}()
			for range 3 {
				if err := l.Nodes[0].Detach(plane); err != nil {
					t.Fatal(err)
				}
				eventually(t, "status says so", func() bool { return state(t, p, plane) == "gone" })
				if err := l.Nodes[0].Attach(plane); err != nil {
					t.Fatal(err)
				}
				eventually(t, "the interface is up", func() bool { return state(t, p, plane) == "up" })
			}
			close(stop)
			<-done
			works(t, l)
			accounted(t, status(t, p))
		})
	}
}

func state(t *testing.T, p *lab.Process, iface string) string {
	t.Helper()
	for _, i := range status(t, p).Interfaces {
		if i.Name == iface {
			return i.State
		}
	}
	t.Fatalf("status knows no interface %s", iface)
	return ""
}

// works waits until a request succeeds.
func works(t *testing.T, l *lab.Lab) {
	t.Helper()
	eventually(t, "a request succeeds", func() bool {
		_, err := get(t.Context(), l.Clients[0], l.VIPs[0].V4, 1000)
		return err == nil
	})
}

// What stops a node from starting is said in one line with a remedy.
func TestStartErrors(t *testing.T) {
	l := buildLab(t, lab.Config{})
	node := l.Nodes[0]
	good, err := node.Config(lab.NodeOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Run("missing interface", func(t *testing.T) {
		refused(t, l, lab.NodeOptions{Config: strings.Replace(good, `"client0"`, `"nope0"`, 1)}, "interface nope0 does not exist", "ip link")
	})
	t.Run("more engines than queues", func(t *testing.T) {
		refused(t, l, lab.NodeOptions{Engine: map[string]string{"engines": "2"}}, "1 receive queue", "ethtool -L client0")
	})
	t.Run("more engines than transmit queues", func(t *testing.T) {
		wide := buildLab(t, lab.Config{Queues: 2})
		if _, err := wide.Nodes[0].Output(t.Context(), "ethtool", "-L", lab.ServerPlane, "tx", "1"); err != nil {
			t.Fatal(err)
		}
		refused(t, wide, lab.NodeOptions{Engine: map[string]string{"engines": "2"}}, "1 transmit queues for 2 engines", "ethtool -L server0")
	})
	t.Run("an interface's own address as SNIP", func(t *testing.T) {
		refused(t, l, lab.NodeOptions{Config: strings.Replace(good, node.SNIP.V4.String(), node.ServerAddr.V4.String(), 1)}, "dedicated")
	})
	t.Run("a VIP that is the node's own address", func(t *testing.T) {
		refused(t, l, lab.NodeOptions{Config: strings.ReplaceAll(good, l.VIPs[0].V4.String(), node.ClientAddr.V4.String())},
			"is an address of this node", "ip addr del")
	})
	t.Run("configuration", func(t *testing.T) {
		refused(t, l, lab.NodeOptions{Config: good + "\n[engine]\nbatch = 7\n"}, "n1.toml:")
	})
	t.Run("another appliance on the interface", func(t *testing.T) {
		p := start(t, l, lab.NodeOptions{})
		other := strings.Replace(good, node.Socket(), node.Socket()+"2", 1)
		binary, err := lab.Build(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		file := t.TempDir() + "/n.toml"
		write(t, file, other)
		var out strings.Builder
		cmd := exec.Command(binary, "run", "-c", file)
		cmd.Stdout, cmd.Stderr = &out, &out
		if err := node.Launch(cmd); err != nil {
			t.Fatal(err)
		}
		if err := cmd.Wait(); err == nil {
			t.Fatal("a second appliance started on the same interfaces")
		}
		if !strings.Contains(out.String(), "client0") {
			t.Errorf("the error doesn't name the interface:\n%s", out.String())
		}
		works(t, l)
		accounted(t, status(t, p))
	})
}

// After a stop nothing is left on the interfaces, and after a kill neither.
func TestNothingIsLeftBehind(t *testing.T) {
	l := buildLab(t, lab.Config{IPv6: true})
	for _, end := range []struct {
		name string
		by   func(*lab.Process) error
	}{
		{"stop", (*lab.Process).Stop},
		{"kill", (*lab.Process).Kill},
	} {
		t.Run(end.name, func(t *testing.T) {
			p := start(t, l, lab.NodeOptions{})
			works(t, l)
			if err := end.by(p); err != nil {
				t.Fatal(err)
			}
			eventually(t, "no XDP program is attached", func() bool {
				out, err := l.Nodes[0].Output(t.Context(), "ip", "link")
				return err == nil && !strings.Contains(out, "xdp")
			})
			eventually(t, "the SNIPs are gone", func() bool {
				out, err := l.Nodes[0].Output(t.Context(), "ip", "addr")
				return err == nil && !strings.Contains(out, l.Nodes[0].SNIP.V4.String()+"/") &&
					!strings.Contains(out, l.Nodes[0].SNIP.V6.String()+"/")
			})
		})
	}
}
