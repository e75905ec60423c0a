package xsk

import (
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cilium/ebpf/link"
	"github.com/safchain/ethtool"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"appliance/engine"
	"appliance/internal/privtest"
)

// TestLinkDown takes the link down with frames queued: nothing spins, nothing
// is lost, and both directions resume by themselves.
func TestLinkDown(t *testing.T) {
	c := newCable(t, 1, link.XDPDriverMode)
	left, right := c.open(t, "left", Config{}), c.open(t, "right", Config{})
	c.send(t, left, 0, 10, 60)
	c.drop(c.receive(t, right, 10))

	if err := netlink.LinkSetDown(c.left); err != nil {
		t.Fatal(err)
	}
	if n := left.Transmit([]engine.Segment{c.frame(t, 10, 60)}); n != 1 {
		t.Fatalf("Transmit() = %d", n)
	}
	if !left.Pending() {
		t.Error("not Pending() before a Flush found the link down")
	}
	kicks := left.Stats().Kicks
	left.Flush()
	if got := left.Stats().Kicks - kicks; got != 1 {
		t.Errorf("Flush made %d system calls on a link that is down", got)
	}
	if left.Pending() {
		t.Error("Pending() while the link is down: the engine would spin")
	}
	if err := left.Err(); err != nil {
		t.Errorf("link down is an error: %v", err)
	}

	if err := netlink.LinkSetUp(c.left); err != nil {
		t.Fatal(err)
	}
	c.send(t, left, 11, 1, 60)
	for i, seg := range c.receive(t, right, 2) {
		if n := c.number(seg); n != 10+uint32(i) {
			t.Errorf("packet %d after the link came up has number %d", i, n)
		}
		c.free.Push(seg.Frame)
	}
	c.send(t, right, 0, 10, 60)
	c.drop(c.receive(t, left, 10))
}

// TestPeerDown takes the carrier away: the kernel drops each frame on its own
// (EBUSY), and completes it.
func TestPeerDown(t *testing.T) {
	c := newCable(t, 1, link.XDPDriverMode)
	left := c.open(t, "left", Config{})
	if err := netlink.LinkSetDown(c.right); err != nil {
		t.Fatal(err)
	}
	const packets = 3 * maxKicks / 2 // more than one Flush drops
	c.send(t, left, 0, packets, 60)
	if got := left.Stats(); got.TxErrors != packets || got.TxRetries != 1 {
		t.Errorf("%d packets without carrier: %+v", packets, got)
	}
	if held := left.Held().Transmit; held != 0 {
		t.Errorf("%d frames did not complete", held)
	}
}

// TestNoTxQueue is about a queue that has an rx side only. The kernel then sends
// nothing and says nothing: that must not make the engine spin.
func TestNoTxQueue(t *testing.T) {
	c := newCable(t, 2, link.XDPDriverMode)
	tool, err := ethtool.NewEthtool()
	if err != nil {
		t.Fatal(err)
	}
	defer tool.Close()
	txQueues := func(n uint32) {
		if _, err := tool.SetChannels("left", ethtool.Channels{RxCount: 2, TxCount: n}); err != nil {
			t.Fatal(err)
		}
	}
	txQueues(1)
	left, right := c.open(t, "left", Config{Queue: 1}), c.open(t, "right", Config{Queue: 1})
	left.Transmit([]engine.Segment{c.frame(t, 0, 60)})
	left.Flush()
	if left.Pending() || left.Held().Transmit != 1 || left.Err() != nil {
		t.Errorf("without a tx queue: pending %v, holds %+v, %v", left.Pending(), left.Held(), left.Err())
	}
	txQueues(2)
	c.send(t, left, 1, 9, 60)
	c.drop(c.receive(t, right, 10))
}

// TestInterfaceGone removes the interface and makes it anew, beside a socket on
// another interface that must not notice.
func TestInterfaceGone(t *testing.T) {
	c := newCable(t, 1, link.XDPDriverMode)
	privtest.Veth(t, "other", "peer", 1)
	other, err := Open(c.arena, Config{Interface: "other"})
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close(c.free)
	left := c.open(t, "left", Config{})
	left.Transmit([]engine.Segment{c.frame(t, 0, 60)})

	if err := netlink.LinkDel(c.left); err != nil {
		t.Fatal(err)
	}
	if err := left.Err(); !errors.Is(err, engine.ErrPortGone) {
		t.Fatalf("Err() = %v, want ErrPortGone", err)
	}
	left.Flush()
	if left.Pending() {
		t.Error("Pending() without an interface")
	}
	if err := left.Close(c.free); err != nil {
		t.Error(err)
	}
	if err := other.Err(); err != nil {
		t.Errorf("the socket on another interface: %v", err)
	}

	c.left, c.right = privtest.Veth(t, "left", "right", 1)
	c.leftMap = privtest.RedirectAll(t, c.left, 1, link.XDPDriverMode)
	c.farMap = privtest.RedirectAll(t, c.right, 1, link.XDPDriverMode)
	left, right := c.open(t, "left", Config{}), c.open(t, "right", Config{})
	c.send(t, right, 0, 10, 60)
	c.drop(c.receive(t, left, 10))
}

// TestGoneIsSeenByFlush is about a port that only sends.
func TestGoneIsSeenByFlush(t *testing.T) {
	c := newCable(t, 1, link.XDPDriverMode)
	left := c.open(t, "left", Config{})
	if err := netlink.LinkDel(c.left); err != nil {
		t.Fatal(err)
	}
	left.Transmit([]engine.Segment{c.frame(t, 0, 60)})
	left.Flush()
	if !left.gone || left.Pending() {
		t.Errorf("after a Flush: noticed %v, pending %v", left.gone, left.Pending())
	}
}

// TestReopen opens and closes a socket on the same queue in quick succession:
// the kernel releases the queue a moment after close.
func TestReopen(t *testing.T) {
	c := newCable(t, 1, link.XDPDriverMode)
	for range 5 {
		s, err := Open(c.arena, Config{Interface: "left"})
		if err != nil {
			t.Fatal(err)
		}
		s.Refill(c.free)
		if err := s.Close(c.free); err != nil {
			t.Fatal(err)
		}
		if err := s.Close(c.free); err != nil {
			t.Errorf("closing twice: %v", err)
		}
	}
}

// TestWaitReleased checks the probe that Close relies on in zero-copy mode,
// which no virtual driver offers: it must not return before the queue is free.
func TestWaitReleased(t *testing.T) {
	c := newCable(t, 1, link.XDPDriverMode)
	s, err := Open(c.arena, Config{Interface: "left"})
	if err != nil {
		t.Fatal(err)
	}
	if err := waitReleased(s.cfg); !errors.Is(err, unix.EBUSY) {
		t.Errorf("while the queue is held: %v, want EBUSY", err)
	}
	if err := s.Close(c.free); err != nil {
		t.Fatal(err)
	}
	if err := waitReleased(s.cfg); err != nil {
		t.Errorf("after Close: %v", err)
	}
	if err := netlink.LinkDel(c.left); err != nil {
		t.Fatal(err)
	}
	if err := waitReleased(s.cfg); err != nil {
		t.Errorf("without the interface: %v", err)
	}
}

// TestOpenErrors holds Open to errors of one line that say what to do.
func TestOpenErrors(t *testing.T) {
	c := newCable(t, 1, link.XDPDriverMode)
	held := c.open(t, "left", Config{})
	for _, e := range []struct {
		name string
		cfg  Config
		is   error
		want string
	}{
		{"no such name", Config{Interface: "nosuch0"}, nil, "no such interface"},
		{"no such index", Config{Interface: "nosuch0", Index: 12345}, unix.ENODEV, "no such interface"},
		{"no such queue", Config{Interface: "right", Queue: 1}, unix.EINVAL, "`ethtool -l right` counts them"},
		{"queue taken", Config{Interface: "left"}, unix.EBUSY, "held by another AF_XDP socket"},
		{"no zero-copy", Config{Interface: "right", ZeroCopy: ZeroCopyRequire}, unix.EOPNOTSUPP, "don't require it"},
		{"bad ring", Config{Interface: "right", Completion: -1}, nil, "power of two"},
	} {
		s, err := Open(c.arena, e.cfg)
		if err == nil {
			t.Errorf("%s: no error", e.name)
			s.Close(c.free)
			continue
		}
		if !strings.Contains(err.Error(), e.want) || strings.Contains(err.Error(), "\n") || e.is != nil && !errors.Is(err, e.is) {
			t.Errorf("%s: %v; want one line with %q that wraps %v", e.name, err, e.want, e.is)
		}
	}
	if held.Err() != nil || held.ZeroCopy() {
		t.Errorf("the socket that holds the queue: %v, zero-copy %v", held.Err(), held.ZeroCopy())
	}
}

// TestOpenWithoutRights drops capabilities of this thread.
func TestOpenWithoutRights(t *testing.T) {
	c := newCable(t, 1, link.XDPDriverMode)
	without := func(capability uint, f func() error) error {
		head := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
		var have, less [2]unix.CapUserData
		if err := unix.Capget(&head, &have[0]); err != nil {
			t.Fatal(err)
		}
		less = have
		less[capability/32].Effective &^= 1 << (capability % 32)
		if err := unix.Capset(&head, &less[0]); err != nil {
			t.Fatal(err)
		}
		err := f()
		if err := unix.Capset(&head, &have[0]); err != nil {
			t.Fatal(err)
		}
		return err
	}
	open := func() error {
		s, err := Open(c.arena, Config{Interface: "left"})
		if err == nil {
			s.Close(c.free)
		}
		return err
	}
	if err := without(unix.CAP_NET_RAW, open); !errors.Is(err, unix.EPERM) || !strings.Contains(err.Error(), "CAP_NET_RAW") {
		t.Errorf("without CAP_NET_RAW: %v", err)
	}
	var was unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_MEMLOCK, &was); err != nil {
		t.Fatal(err)
	}
	if err := unix.Setrlimit(unix.RLIMIT_MEMLOCK, &unix.Rlimit{Cur: 1 << 20, Max: was.Max}); err != nil {
		t.Fatal(err)
	}
	defer unix.Setrlimit(unix.RLIMIT_MEMLOCK, &was)
	if err := without(unix.CAP_IPC_LOCK, open); !errors.Is(err, unix.ENOBUFS) || !strings.Contains(err.Error(), "RLIMIT_MEMLOCK") {
		t.Errorf("with 1 MiB of locked memory: %v", err)
	}
	if err := open(); err != nil {
		t.Errorf("with all rights: %v", err)
	}
}

// TestStatsBesideClose reads counters from another goroutine throughout.
func TestStatsBesideClose(t *testing.T) {
	c := newCable(t, 1, link.XDPDriverMode)
	left, right := c.open(t, "left", Config{}), c.open(t, "right", Config{})
	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				left.Stats()
			}
		}
	})
	for round := range uint32(20) {
		c.send(t, right, round, 16, 60)
		c.drop(c.receive(t, left, 16))
	}
	if err := left.Close(c.free); err != nil {
		t.Error(err)
	}
	time.Sleep(time.Millisecond)
	close(stop)
	wg.Wait()
	if got := left.Stats(); got.RxPackets != 20*16 {
		t.Errorf("after Close: %+v", got)
	}
}
