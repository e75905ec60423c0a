package e2e

import (
	"errors"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"

	"appliance/engine"
	"appliance/engine/xsk"
	"appliance/internal/api"
	"appliance/internal/lab"
	"appliance/internal/lab/origin"
)

// A reload that is refused late, by the kernel and not by the file's reader,
// ends no flow either, of services that the file would have removed.
func TestRefusedReloadEndsNoFlow(t *testing.T) {
	l := buildLab(t, lab.Config{})
	node := l.Nodes[0]
	p := start(t, l, lab.NodeOptions{})
	c := newPingpong(t, dial(t, l, "tcp", l.VIPs[0].V4, origin.EchoPort))
	fewer := slices.DeleteFunc(l.Services("nat", "maglev"), func(s lab.Service) bool { return s.Port == origin.EchoPort })
	text, err := node.Config(lab.NodeOptions{Services: fewer})
	if err != nil {
		t.Fatal(err)
	}
	reloadText(t, l, p, strings.Replace(text, node.SNIP.V4.String(), node.ServerAddr.V4.String(), 1))
	if got := status(t, p).Reload.Error; !strings.Contains(got, "dedicated") {
		t.Fatalf("status says %q of a SNIP that is the node's address", got)
	}
	c.exchange()
}

// A reload is possible while the interface is away that SNIPs belong on.
func TestReloadWithoutInterface(t *testing.T) {
	l, p := build(t, lab.Config{}, lab.NodeOptions{})
	if err := l.Nodes[0].Detach(lab.ServerPlane); err != nil {
		t.Fatal(err)
	}
	eventually(t, "status says so", func() bool { return state(t, p, lab.ServerPlane) == "gone" })
	time.Sleep(1100 * time.Millisecond) // SNIPs are tried again after a second
	reload(t, l, p, lab.NodeOptions{})
	if err := l.Nodes[0].Attach(lab.ServerPlane); err != nil {
		t.Fatal(err)
	}
	works(t, l)
}

// An interface that can't be opened, because another program holds its queue,
// delays neither status nor a reload, and is served once the queue is free.
func TestBusyQueueDelaysNothingElse(t *testing.T) {
	l, p := build(t, lab.Config{}, lab.NodeOptions{})
	node := l.Nodes[0]
	if err := node.Detach(lab.ClientPlane); err != nil {
		t.Fatal(err)
	}
	eventually(t, "status says so", func() bool { return state(t, p, lab.ClientPlane) == "gone" })
	release := squat(t, l, p)
	for range 20 {
		asked := time.Now()
		status(t, p)
		reload(t, l, p, lab.NodeOptions{})
		if took := time.Since(asked); took > 3*time.Second {
			t.Fatalf("status and reload took %v", took)
		}
		time.Sleep(50 * time.Millisecond)
	}
	eventually(t, "status says what is wrong", func() bool {
		for _, i := range status(t, p).Interfaces {
			if strings.Contains(i.Error, "held by another AF_XDP socket") {
				return true
			}
		}
		return false
	})
	release()
	eventually(t, "the interface is up", func() bool { return state(t, p, lab.ClientPlane) == "up" })
	works(t, l)
	accounted(t, status(t, p))
}

// squat brings the client interface back with its first queue taken, before the
// node can see it.
func squat(t *testing.T, l *lab.Lab, p *lab.Process) (release func()) {
	t.Helper()
	arena, err := engine.NewArena(256, 2048)
	if err != nil {
		t.Fatal(err)
	}
	var s *xsk.Socket
	err = errors.Join(
		p.Signal(syscall.SIGSTOP),
		l.Nodes[0].Attach(lab.ClientPlane),
		l.Nodes[0].In(func() (err error) {
			s, err = xsk.Open(arena, xsk.Config{Interface: lab.ClientPlane, RxRing: 64, TxRing: 64})
			return err
		}),
		p.Signal(syscall.SIGCONT))
	if err != nil {
		t.Fatal(err)
	}
	return func() {
		t.Helper()
		if err := errors.Join(s.Close(engine.NewFrames(0)), arena.Close()); err != nil {
			t.Error(err)
		}
	}
}

// launch starts a node's process and returns as soon as it has its socket, which
// is before it begins to build anything.
func launch(t *testing.T, l *lab.Lab) (cmd *exec.Cmd, log *strings.Builder) {
	t.Helper()
	node := l.Nodes[0]
	text, err := node.Config(lab.NodeOptions{})
	if err != nil {
		t.Fatal(err)
	}
	write(t, node.ConfigFile(), text)
	binary, err := lab.Build(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	log = new(strings.Builder)
	cmd = exec.Command(binary, "run", "-c", node.ConfigFile())
	cmd.Stdout, cmd.Stderr = log, log
	if err := node.Launch(cmd); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it has its socket", func() bool { _, err := os.Stat(node.Socket()); return err == nil })
	return cmd, log
}

// terminate ends a process by SIGTERM, which must succeed.
func terminate(t *testing.T, cmd *exec.Cmd, log *strings.Builder) {
	t.Helper()
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Error(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("the node ended with %v; its log:\n%s", err, log.String())
	}
}

// A node that is stopped while it starts ends at once and in order.
func TestStopDuringStart(t *testing.T) {
	l := buildLab(t, lab.Config{})
	for i := range 5 {
		cmd, log := launch(t, l)
		time.Sleep(time.Duration(i) * 20 * time.Millisecond)
		terminate(t, cmd, log)
		out, err := l.Nodes[0].Output(t.Context(), "ip", "addr")
		if err != nil || strings.Contains(out, "xdp") || strings.Contains(out, l.Nodes[0].SNIP.V4.String()+"/") {
			t.Errorf("a program or a SNIP is left (%v):\n%s", err, out)
		}
	}
}

// SIGHUP before a node is up does no harm: it reads its configuration anyway.
func TestHangupDuringStart(t *testing.T) {
	l := buildLab(t, lab.Config{})
	cmd, log := launch(t, l)
	answered := make(chan struct{})
	go func() {
		defer close(answered)
		_ = api.NewClient(l.Nodes[0].Socket()).Ready(t.Context()) // answers when the node runs, or has ended
	}()
	for up := false; !up; {
		_ = cmd.Process.Signal(syscall.SIGHUP)
		select {
		case <-answered:
			up = true
		case <-time.After(time.Millisecond):
		}
	}
	terminate(t, cmd, log)
}

// An interface that is away and back before the node looks, under its old
// index, as after a visit to another namespace: nothing but its dead sockets
// tells. The kernel has taken the XDP program off, too.
func TestInterfaceBounces(t *testing.T) {
	l, p := build(t, lab.Config{}, lab.NodeOptions{})
	node := l.Nodes[0]
	works(t, l)
	err := errors.Join(
		p.Signal(syscall.SIGSTOP),
		node.In(func() error { return bounce(lab.ClientPlane) }),
		p.Signal(syscall.SIGCONT))
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "the interface was opened again", func() bool {
		return strings.Count(p.Log(), `"interface served" interface=`+lab.ClientPlane) == 2
	})
	works(t, l)
	accounted(t, status(t, p))
}

// bounce moves an interface of the calling thread's namespace to another one
// and back, and gives it back the addresses and routes that this costs.
func bounce(name string) error {
	at, err := netlink.LinkByName(name)
	if err != nil {
		return err
	}
	addrs, err := netlink.AddrList(at, netlink.FAMILY_V4)
	if err != nil {
		return err
	}
	routes, err := netlink.RouteList(at, netlink.FAMILY_V4)
	if err != nil {
		return err
	}
	home, err := netns.Get()
	if err != nil {
		return err
	}
	defer home.Close()
	away, err := netns.New() // the thread is in it now
	if err != nil {
		return err
	}
	defer away.Close()
	here, err := netlink.NewHandleAt(home)
	if err != nil {
		return err
	}
	defer here.Close()
	err = errors.Join(here.LinkSetNsFd(at, int(away)), netlink.LinkSetNsFd(at, int(home)), netns.Set(home), netlink.LinkSetUp(at))
	for _, a := range addrs {
		err = errors.Join(err, netlink.AddrReplace(at, &a))
	}
	for _, r := range routes {
		err = errors.Join(err, netlink.RouteReplace(&r))
	}
	return err
}
