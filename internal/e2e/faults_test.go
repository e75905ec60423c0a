package e2e

import (
	"os/exec"
	"strings"
	"testing"
	"time"

	"appliance/internal/lab"
	"appliance/internal/lab/origin"
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
			bring(t, l, plane)
			eventually(t, "the interface is up", func() bool { return state(t, p, plane) == "up" })
			works(t, l)
			accounted(t, status(t, p))
		})
	}
}

// bring sets a link of the node up and gives it back what the kernel took away
// with it: IPv4 routes through gateways.
func bring(t *testing.T, l *lab.Lab, plane string) {
	t.Helper()
	if err := l.Nodes[0].Detach(plane); err != nil {
		t.Fatal(err)
	}
	if err := l.Nodes[0].Attach(plane); err != nil {
		t.Fatal(err)
	}
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
