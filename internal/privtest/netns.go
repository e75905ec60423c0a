package privtest

import (
	"errors"
	"io/fs"
	"os"
	"runtime"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"
	"github.com/cilium/ebpf/rlimit"
	"github.com/safchain/ethtool"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
)

// NetNS moves the rest of the test into a new network namespace, alone on its
// thread. The namespace has no name: it ends with the test, even if that
// crashes. It ends the test where NeedNetNS would. The goroutines that the test
// starts, and those of its subtests, are not in it.
func NetNS(t testing.TB) {
	t.Helper()
	NeedNetNS(t)
	runtime.LockOSThread()
	was, err := netns.Get()
	if err != nil {
		t.Fatalf("open the current network namespace: %v", err)
	}
	made, err := netns.New()
	if err != nil {
		t.Fatalf("make a network namespace: %v", err)
	}
	made.Close()
	t.Cleanup(func() {
		if err := netns.Set(was); err != nil {
			return // the thread stays locked, so it ends with this goroutine
		}
		was.Close()
		runtime.UnlockOSThread()
	})
}

// Veth makes a pair of virtual Ethernet devices with the given number of queues
// each way in the current namespace, up and with IPv6 off, so that no frame
// moves but those that the test sends. Segmentation is off and GRO on, so that
// each device queues what it receives by itself: else, without a native XDP
// program, frames would go through the CPU's backlog, which other work on the
// machine can overflow.
func Veth(t testing.TB, name, peer string, queues int) (at, far netlink.Link) {
	t.Helper()
	attrs := netlink.NewLinkAttrs()
	attrs.Name = name
	attrs.NumTxQueues, attrs.NumRxQueues = queues, queues
	pair := netlink.NewVeth(attrs)
	pair.PeerName = peer
	pair.PeerNumTxQueues, pair.PeerNumRxQueues = uint32(queues), uint32(queues)
	if err := netlink.LinkAdd(pair); err != nil {
		t.Fatalf("make veth pair %s, %s: %v", name, peer, err)
	}
	setFeatures(t, name)
	setFeatures(t, peer)
	return up(t, name), up(t, peer)
}

// setFeatures turns segmentation off and GRO on.
func setFeatures(t testing.TB, name string) {
	t.Helper()
	tool, err := ethtool.NewEthtool()
	if err != nil {
		t.Fatalf("ethtool: %v", err)
	}
	defer tool.Close()
	err = tool.Change(name, map[string]bool{
		"rx-gro": true, "tx-tcp-segmentation": false, "tx-tcp6-segmentation": false,
		"tx-tcp-ecn-segmentation": false, "tx-tcp-mangleid-segmentation": false,
	})
	if err != nil {
		t.Fatalf("set features of %s: %v", name, err)
	}
}

// up sets a link up, silent, and returns it.
func up(t testing.TB, name string) netlink.Link {
	t.Helper()
	l, err := netlink.LinkByName(name)
	if err != nil {
		t.Fatalf("find %s: %v", name, err)
	}
	// Absent in kernels without IPv6, which are silent anyway.
	err = os.WriteFile("/proc/sys/net/ipv6/conf/"+name+"/disable_ipv6", []byte("1"), 0)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("disable IPv6 on %s: %v", name, err)
	}
	if err := netlink.LinkSetUp(l); err != nil {
		t.Fatalf("set %s up: %v", name, err)
	}
	return l
}

// RedirectAll attaches an XDP program that gives every frame of rx queue q to
// the AF_XDP socket that the test puts into entry q of the returned map, and
// lets frames of other queues pass. Attached until the test ends.
func RedirectAll(t testing.TB, l netlink.Link, queues int, mode link.XDPAttachFlags) *ebpf.Map {
	t.Helper()
	if err := rlimit.RemoveMemlock(); err != nil {
		t.Fatalf("raise the locked memory limit: %v", err)
	}
	sockets, err := ebpf.NewMap(&ebpf.MapSpec{Type: ebpf.XSKMap, KeySize: 4, ValueSize: 4, MaxEntries: uint32(queues)})
	if err != nil {
		t.Fatalf("make an XSKMAP: %v", err)
	}
	t.Cleanup(func() { sockets.Close() })
	const rxQueueIndex, xdpPass = 16, 2 // struct xdp_md, enum xdp_action: include/uapi/linux/bpf.h
	prog, err := ebpf.NewProgram(&ebpf.ProgramSpec{Type: ebpf.XDP, License: "Dual MIT/GPL", Instructions: asm.Instructions{
		asm.LoadMem(asm.R2, asm.R1, rxQueueIndex, asm.Word),
		asm.LoadMapPtr(asm.R1, sockets.FD()),
		asm.Mov.Imm(asm.R3, xdpPass),
		asm.FnRedirectMap.Call(),
		asm.Return(),
	}})
	if err != nil {
		t.Fatalf("load the redirect program: %v", err)
	}
	t.Cleanup(func() { prog.Close() })
	at, err := link.AttachXDP(link.XDPOptions{Program: prog, Interface: l.Attrs().Index, Flags: mode})
	if err != nil {
		t.Fatalf("attach the redirect program to %s: %v", l.Attrs().Name, err)
	}
	t.Cleanup(func() { at.Close() })
	return sockets
}
