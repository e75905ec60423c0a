package node

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/vishvananda/netlink"

	"appliance/engine"
	"appliance/engine/xsk"
	"appliance/internal/privtest"
	"appliance/rss"
	"appliance/vserver"
)

// The network of these tests: a namespace with both ends of two links in it,
//
//	router0 ──── client0  node  server0 ──── fabric0
const (
	clientLink = "client0"
	serverLink = "server0"
)

// makeLinks moves the test into that network.
func makeLinks(t *testing.T) {
	t.Helper()
	privtest.NetNS(t)
	privtest.Veth(t, clientLink, "router0", 1)
	privtest.Veth(t, serverLink, "fabric0", 1)
	address(t, clientLink, "10.1.1.2/30")
	address(t, serverLink, "10.2.1.1/16")
}

// at returns an interface of the network.
func at(t *testing.T, name string) netlink.Link {
	t.Helper()
	l, err := netlink.LinkByName(name)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func address(t *testing.T, name, prefix string) {
	t.Helper()
	a, err := netlink.ParseAddr(prefix)
	if err != nil {
		t.Fatal(err)
	}
	if err := netlink.AddrAdd(at(t, name), a); err != nil {
		t.Fatal(err)
	}
}

// network is the configuration of a node on it. Nothing is health-checked:
// checks would run outside of the namespace.
func network(t *testing.T) Config {
	t.Helper()
	key, err := rss.RandomKey()
	if err != nil {
		t.Fatal(err)
	}
	return Config{
		Name: "n1", Engine: engine.DefaultConfig(), Driver: DriverXSK, FlowCapacity: 1024, Key: key,
		RxRing: 256, TxRing: 256,
		Interfaces: []Interface{{Name: clientLink, Client: true}, {Name: serverLink, Server: true}},
		Services: Services{Services: vserver.Config{
			SNIPs: []netip.Addr{addr("10.2.2.1")},
			Services: []vserver.ServiceConfig{{
				Name: "web", VIP: addr("203.0.113.1"), Port: 80, Protocol: vserver.TCP,
				Backends: []vserver.BackendConfig{{Name: "b1", Address: addr("10.2.3.1"), Weight: 1}},
			}},
		}},
		Log: slog.New(slog.DiscardHandler),
	}
}

// traces are what a node leaves on the machine while it runs.
type traces struct {
	programs, snips, descriptors, goroutines int
}

func look(t *testing.T) (n traces) {
	t.Helper()
	for _, name := range []string{clientLink, serverLink} {
		l := at(t, name)
		if x := l.Attrs().Xdp; x != nil && x.Attached {
			n.programs++
		}
		addrs, err := netlink.AddrList(l, netlink.FAMILY_ALL)
		if err != nil {
			t.Fatal(err)
		}
		for _, a := range addrs {
			if a.IP.String() == "10.2.2.1" {
				n.snips++
			}
		}
	}
	fds, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	n.descriptors, n.goroutines = len(fds), runtime.NumGoroutine()
	return n
}

// beyond reports whether there is more of something than there was.
func (n traces) beyond(was traces) bool {
	return n.programs > was.programs || n.snips > was.snips ||
		n.descriptors > was.descriptors || n.goroutines > was.goroutines
}

// gone waits until nothing is there that wasn't before: the kernel detaches
// programs and takes back sockets a moment after their end.
func gone(t *testing.T, was traces) {
	t.Helper()
	var is traces
	for end := time.Now().Add(5 * time.Second); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if is = look(t); !is.beyond(was) {
			return
		}
	}
	buf := make([]byte, 1<<16)
	t.Errorf("left behind: %+v, was %+v; goroutines:\n%s", is, was, buf[:runtime.Stack(buf, true)])
}

// What stops a start, in the order in which Start meets it, with what is
// running by then. Each case prepares the hindrance and returns what removes it.
var hindrances = []struct {
	name   string
	want   string // in the error
	hinder func(t *testing.T, cfg *Config) (remove func())
}{
	{"missing interface", "server1 does not exist", func(_ *testing.T, cfg *Config) func() {
		cfg.Interfaces[1].Name = "server1"
		return func() { cfg.Interfaces[1].Name = serverLink }
	}},
	{"MTU that no frame holds", "ip link set dev server0 mtu 3506", func(t *testing.T, _ *Config) func() { return setMTU(t, 9000) }},
	{"bad engine configuration", "batch", func(_ *testing.T, cfg *Config) func() {
		cfg.Engine.Batch = -1
		return func() { cfg.Engine.Batch = engine.DefaultConfig().Batch }
	}},
	{"MTU that the frames don't hold", "interface server0: MTU 3000", func(t *testing.T, cfg *Config) func() {
		cfg.FrameSize = 2048
		return setMTU(t, 3000)
	}},
	{"more engines than queues", "interface client0 has 1 receive queues for 2 engines", func(_ *testing.T, cfg *Config) func() {
		cfg.Engine.Engines = 2
		return func() { cfg.Engine.Engines = 1 }
	}},
	{"too few frames", "frames", func(_ *testing.T, cfg *Config) func() {
		cfg.Frames = 128
		return func() { cfg.Frames = 0 }
	}},
	{"queue taken", "server0", holdQueue},
	{"program attached", "ip link set dev server0 xdp off", func(t *testing.T, _ *Config) func() {
		attachOther(t)
		return func() {
			if err := netlink.LinkSetXdpFd(at(t, serverLink), -1); err != nil {
				t.Fatal(err)
			}
		}
	}},
	{"VIP of the node", "is an address of this node", func(_ *testing.T, cfg *Config) func() {
		vip := cfg.Services.Services.Services[0].VIP
		cfg.Services.Services.Services[0].VIP = addr("10.1.1.2")
		return func() { cfg.Services.Services.Services[0].VIP = vip }
	}},
	{"SNIP of the node", "dedicated", func(_ *testing.T, cfg *Config) func() {
		cfg.Services.Services.SNIPs[0] = addr("10.2.1.1")
		return func() { cfg.Services.Services.SNIPs[0] = addr("10.2.2.1") }
	}},
	{"bad services", "weight", func(_ *testing.T, cfg *Config) func() {
		b := &cfg.Services.Services.Services[0].Backends[0]
		b.Weight = -1
		return func() { b.Weight = 1 }
	}},
}

// A node starts whole or leaves nothing: no program, socket, address, thread or
// goroutine. What stopped it can be mended, and then it starts.
func TestStartIsAllOrNothing(t *testing.T) {
	for _, h := range hindrances {
		t.Run(h.name, func(t *testing.T) {
			makeLinks(t)
			cfg := network(t)
			remove := h.hinder(t, &cfg)
			before := look(t)
			n, err := Start(t.Context(), cfg)
			if err == nil {
				t.Fatal(errors.Join(errors.New("started"), n.Close()))
			}
			if !strings.Contains(err.Error(), h.want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("error %q, want one line with %q", err, h.want)
			}
			gone(t, before)

			remove()
			before = look(t)
			if n, err = Start(t.Context(), cfg); err != nil {
				t.Fatalf("the hindrance is gone, but: %v", err)
			}
			if now := look(t); now.programs != 2 || now.snips != 1 {
				t.Errorf("running with %+v", now)
			}
			checkRunning(t, n)
			if err := n.Close(); err != nil {
				t.Error(err)
			}
			gone(t, before)
		})
	}
}

// checkRunning fails the test unless both interfaces are served and all frames
// are in their places.
func checkRunning(t *testing.T, n *Node) {
	t.Helper()
	s, err := n.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range s.Interfaces {
		if i.State != stateUp || i.XDP != "native" || len(i.Ports) != 1 {
			t.Errorf("interface %+v", i)
		}
	}
	if f := s.Frames; f.Total == 0 || f.Free+f.Fill+f.Transmit+f.Handoff+f.Held != f.Total {
		t.Errorf("frames %+v", f)
	}
}

// setMTU changes the server link's MTU and returns what puts it back.
func setMTU(t *testing.T, mtu int) (restore func()) {
	t.Helper()
	set := func(mtu int) {
		if err := netlink.LinkSetMTU(at(t, serverLink), mtu); err != nil {
			t.Fatal(err)
		}
	}
	set(mtu)
	return func() { set(1500) }
}

// holdQueue binds another socket to the server link's queue.
func holdQueue(t *testing.T, _ *Config) (release func()) {
	t.Helper()
	arena, err := engine.NewArena(1024, 2048)
	if err != nil {
		t.Fatal(err)
	}
	s, err := xsk.Open(arena, xsk.Config{Interface: serverLink, RxRing: 64, TxRing: 64})
	if err != nil {
		privtest.Unable(t, "open an AF_XDP socket", err)
	}
	return func() {
		if err := errors.Join(s.Close(engine.NewFrames(0)), arena.Close()); err != nil {
			t.Fatal(err)
		}
	}
}

// attachOther puts another program onto the server link, by netlink: it stays
// although its descriptor is closed.
func attachOther(t *testing.T) {
	t.Helper()
	const xdpPass = 2 // enum xdp_action: include/uapi/linux/bpf.h
	p, err := ebpf.NewProgram(&ebpf.ProgramSpec{
		Type: ebpf.XDP, License: "Dual MIT/GPL", Instructions: asm.Instructions{asm.Mov.Imm(asm.R0, xdpPass), asm.Return()},
	})
	if err != nil {
		privtest.Unable(t, "load an XDP program", err)
	}
	defer p.Close()
	if err := netlink.LinkSetXdpFd(at(t, serverLink), p.FD()); err != nil {
		t.Fatal(err)
	}
}

// A start that is interrupted leaves nothing either.
func TestStartInterrupted(t *testing.T) {
	makeLinks(t)
	cfg := network(t)
	before := look(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if n, err := Start(ctx, cfg); err == nil {
		t.Fatal(errors.Join(errors.New("started"), n.Close()))
	}
	gone(t, before)
}
