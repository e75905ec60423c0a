package lab

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// namespaceDir is where ip(8) keeps named namespaces, so that `ip netns exec
// lab-12ab-r tcpdump` works on a running lab.
const namespaceDir = "/run/netns"

// A Namespace is one host of the lab: a network namespace with a name. Its
// methods may be called from any goroutine, but not after the lab's Close.
type Namespace struct {
	host   string // inside the lab: c1
	name   string // on the machine: lab-12ab-c1
	handle netns.NsHandle
	links  *netlink.Handle // rtnetlink socket inside the namespace
}

// newNamespace makes a namespace with only the loopback interface, up.
func newNamespace(host, name string) (*Namespace, error) {
	handle, err := makeNamed(name)
	if err != nil {
		return nil, fmt.Errorf("lab: make namespace %s: %w", name, err)
	}
	n := &Namespace{host: host, name: name, handle: handle}
	if n.links, err = netlink.NewHandleAt(handle, unix.NETLINK_ROUTE); err != nil {
		handle.Close()
		return nil, fmt.Errorf("lab: open netlink in %s: %w", name, err)
	}
	if err := n.SetLink("lo", true); err != nil {
		n.close()
		return nil, err
	}
	return n, nil
}

// makeNamed makes a named namespace and leaves the thread where it was.
func makeNamed(name string) (netns.NsHandle, error) {
	var handle netns.NsHandle
	err := homeAgain(func() (err error) {
		handle, err = netns.NewNamed(name)
		return err
	})
	return handle, err
}

// homeAgain runs fn, which may change the network namespace of its thread, and
// brings the thread back. If that fails the thread stays locked, so that it
// ends with the goroutine and runs nothing else in the wrong namespace.
func homeAgain(fn func() error) (err error) {
	runtime.LockOSThread()
	home, err := netns.Get()
	if err != nil {
		runtime.UnlockOSThread()
		return fmt.Errorf("open the current network namespace: %w", err)
	}
	defer func() {
		defer home.Close()
		if back := netns.Set(home); back != nil {
			err = errors.Join(err, fmt.Errorf("return to the first network namespace: %w", back))
			return
		}
		runtime.UnlockOSThread()
	}()
	return fn()
}

// close lets go of the namespace without deleting it.
func (n *Namespace) close() {
	n.links.Close()
	n.handle.Close()
}

// Host returns the host's name inside the lab: c1.
func (n *Namespace) Host() string { return n.host }

// Name returns the namespace's name as ip(8) shows it: lab-12ab-c1.
func (n *Namespace) Name() string { return n.name }

// In runs fn on a thread inside the namespace: every socket, /proc/sys/net file
// and netlink connection that fn itself opens belongs to it, and stays there
// when In returns. Goroutines that fn starts do not run inside.
func (n *Namespace) In(fn func() error) error {
	return homeAgain(func() error {
		if err := netns.Set(n.handle); err != nil {
			return fmt.Errorf("lab: enter namespace %s: %w", n.name, err)
		}
		return fn()
	})
}

// Launch starts a program inside the namespace: it is born there, so that Close
// finds it from its first moment. It sees the host's /sys, which `ip netns exec`
// would mount anew. The process ends with the lab at the latest.
func (n *Namespace) Launch(cmd *exec.Cmd) error { return n.In(cmd.Start) }

// Output runs a program inside the namespace to its end and returns what it
// wrote. The error, if it failed, holds that too.
func (n *Namespace) Output(ctx context.Context, name string, args ...string) (string, error) {
	var out []byte
	err := n.In(func() (err error) {
		out, err = exec.CommandContext(ctx, name, args...).CombinedOutput()
		return err
	})
	if err != nil {
		return "", fmt.Errorf("lab: run %s in %s: %w: %s", name, n.name, err, out)
	}
	return string(out), nil
}

// DialContext connects from inside the namespace, as net.Dialer does from
// outside. address holds an IP address, no name: the lab has no DNS.
func (n *Namespace) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	var conn net.Conn
	err := n.In(func() (err error) {
		conn, err = new(net.Dialer).DialContext(ctx, network, address)
		return err
	})
	return conn, err
}

// Listen opens a TCP listener inside the namespace. It speaks plain TCP: Go
// would offer Multipath TCP, whose listeners take another path in the kernel.
func (n *Namespace) Listen(network, address string) (net.Listener, error) {
	var config net.ListenConfig
	config.SetMultipathTCP(false)
	var listener net.Listener
	err := n.In(func() (err error) {
		listener, err = config.Listen(context.Background(), network, address)
		return err
	})
	return listener, err
}

// ListenPacket opens a UDP socket inside the namespace.
func (n *Namespace) ListenPacket(network, address string) (net.PacketConn, error) {
	var conn net.PacketConn
	err := n.In(func() (err error) {
		conn, err = net.ListenPacket(network, address)
		return err
	})
	return conn, err
}

// Sysctl sets a kernel parameter of the namespace, named by its path below
// /proc/sys: net/ipv4/ip_forward.
func (n *Namespace) Sysctl(path, value string) error {
	err := n.In(func() error {
		return os.WriteFile(filepath.Join("/proc/sys", path), []byte(value), 0)
	})
	if err != nil {
		return fmt.Errorf("lab: set %s in %s: %w", path, n.name, err)
	}
	return nil
}
