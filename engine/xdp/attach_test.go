package xdp

import (
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cilium/ebpf/link"
	"github.com/vishvananda/netlink"

	"appliance/internal/privtest"
)

// programOn returns the id of the XDP program on an interface, 0 for none.
func programOn(t testing.TB, index int) uint32 {
	t.Helper()
	l, err := netlink.LinkByIndex(index)
	if err != nil {
		t.Fatal(err)
	}
	if x := l.Attrs().Xdp; x != nil && x.Attached {
		return x.ProgId
	}
	return 0
}

// eventuallyNone waits until an interface has no program: the kernel detaches a
// link a moment after its last descriptor is closed.
func eventuallyNone(t testing.TB, index int) {
	t.Helper()
	for end := time.Now().Add(3 * time.Second); programOn(t, index) != 0; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("program %d is still attached", programOn(t, index))
		}
	}
}

func TestAttachModes(t *testing.T) {
	for ask, want := range map[Mode]Mode{Auto: Native, Native: Native, Generic: Generic} {
		t.Run(ask.String(), func(t *testing.T) {
			privtest.NetNS(t)
			at, _ := privtest.Veth(t, "left", "right", 1)
			index := at.Attrs().Index
			p, _ := newProgram(t)
			got, err := p.Attach(index, ask)
			if err != nil {
				t.Fatal(err)
			}
			if got.Mode != want || got.NativeErr != nil {
				t.Errorf("attached %+v, want mode %v", got, want)
			}
			if programOn(t, index) == 0 {
				t.Error("no program is on the interface")
			}
			if _, err := p.Attach(index, ask); err == nil {
				t.Error("attached twice")
			}
			if err := p.Close(); err != nil {
				t.Error(err)
			}
			eventuallyNone(t, index)
		})
	}
}

// TestAttachFallsBack attaches to a driver without native XDP, and to one whose
// conditions for it don't hold.
func TestAttachFallsBack(t *testing.T) {
	for _, c := range []struct {
		name string
		make func(t *testing.T) netlink.Link
		want string
	}{
		{"loopback", func(t *testing.T) netlink.Link {
			at, err := netlink.LinkByName("lo")
			if err != nil {
				t.Fatal(err)
			}
			return at
		}, "the driver has no native XDP"},
		{"veth with a large MTU", func(t *testing.T) netlink.Link {
			at, peer := privtest.Veth(t, "left", "right", 1)
			if err := netlink.LinkSetMTU(peer, 9000); err != nil {
				t.Fatal(err)
			}
			return at
		}, "the MTU is too large"},
	} {
		t.Run(c.name, func(t *testing.T) {
			privtest.NetNS(t)
			index := c.make(t).Attrs().Index
			p, _ := newProgram(t)
			if _, err := p.Attach(index, Native); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("native mode: error %v, want %q in it", err, c.want)
			}
			got, err := p.Attach(index, Auto)
			if err != nil {
				t.Fatal(err)
			}
			if got.Mode != Generic || got.NativeErr == nil || !strings.Contains(got.NativeErr.Error(), c.want) {
				t.Errorf("attached %+v, want generic mode and %q", got, c.want)
			}
		})
	}
}

// TestTakeOver swaps programs: at no moment is the interface without one.
func TestTakeOver(t *testing.T) {
	privtest.NetNS(t)
	at, _ := privtest.Veth(t, "left", "right", 1)
	index := at.Attrs().Index
	first, _ := newProgram(t)
	second, _ := newProgram(t)
	if err := second.TakeOver(first); err == nil {
		t.Error("took over from a program that is not attached")
	}
	if _, err := first.Attach(index, Auto); err != nil {
		t.Fatal(err)
	}
	was := programOn(t, index)
	if err := second.TakeOver(first); err != nil {
		t.Fatal(err)
	}
	if err := first.Close(); err != nil {
		t.Error(err)
	}
	if is := programOn(t, index); is == 0 || is == was {
		t.Errorf("program %d is on the interface, before it was %d", is, was)
	}
	if err := second.TakeOver(second); err == nil {
		t.Error("took over from itself")
	}
	if err := second.Close(); err != nil {
		t.Error(err)
	}
	eventuallyNone(t, index)
}

func TestAttachToNothing(t *testing.T) {
	privtest.NetNS(t)
	p, _ := newProgram(t)
	if _, err := p.Attach(12345, Auto); err == nil || !strings.Contains(err.Error(), "no such interface") {
		t.Errorf("error %v", err)
	}
}

// TestAttachTaken puts a program of someone else onto the interface, by netlink
// and by BPF link, in either mode: it stays, and the error says what to do.
func TestAttachTaken(t *testing.T) {
	for _, c := range []struct {
		name  string
		mode  link.XDPAttachFlags
		links bool
		want  string
	}{
		{"netlink, native", link.XDPDriverMode, false, "remove it with `ip link set dev left xdp off`"},
		{"netlink, generic", link.XDPGenericMode, false, "remove it with `ip link set dev left xdp off`"},
		{"BPF link, native", link.XDPDriverMode, true, "is attached by BPF link"},
		{"BPF link, generic", link.XDPGenericMode, true, "is attached by BPF link"},
	} {
		for _, ask := range []Mode{Auto, Native, Generic} {
			t.Run(fmt.Sprintf("%s, %v asked for", c.name, ask), func(t *testing.T) {
				privtest.NetNS(t)
				at, _ := privtest.Veth(t, "left", "right", 1)
				theirs, _ := newProgram(t)
				if c.links {
					if err := theirs.attach(at.Attrs().Index, c.mode); err != nil {
						t.Fatal(err)
					}
				} else if err := netlink.LinkSetXdpFdWithFlags(at, theirs.objects.Redirect.FD(), int(c.mode)); err != nil {
					t.Fatal(err)
				}
				id := programOn(t, at.Attrs().Index)

				ours, _ := newProgram(t)
				_, err := ours.Attach(at.Attrs().Index, ask)
				if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), strconv.Itoa(int(id))) || strings.Contains(err.Error(), "\n") {
					t.Errorf("error %v, want one line with program %d and %q", err, id, c.want)
				}
				if got := programOn(t, at.Attrs().Index); got != id {
					t.Errorf("program %d is attached now, was %d", got, id)
				}
			})
		}
	}
}

// TestDetachAtExit kills a process that has a program attached: nothing may
// stay behind.
func TestDetachAtExit(t *testing.T) {
	if index := os.Getenv("XDP_TEST_ATTACH"); index != "" {
		i, err := strconv.Atoi(index)
		if err != nil {
			t.Fatal(err)
		}
		p, _ := newProgram(t)
		if _, err := p.Attach(i, Native); err != nil {
			t.Fatal(err)
		}
		select {} // until killed
	}
	privtest.NetNS(t)
	at, _ := privtest.Veth(t, "left", "right", 1)
	index := at.Attrs().Index
	child := exec.Command(os.Args[0], "-test.run=^TestDetachAtExit$")
	child.Env = append(os.Environ(), "XDP_TEST_ATTACH="+strconv.Itoa(index))
	if err := child.Start(); err != nil { // in our namespace: we are on its thread
		t.Fatal(err)
	}
	for end := time.Now().Add(10 * time.Second); programOn(t, index) == 0 && time.Now().Before(end); {
		time.Sleep(time.Millisecond)
	}
	if programOn(t, index) == 0 {
		t.Error("the child attached nothing")
	}
	if err := child.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = child.Wait() // reports the kill
	eventuallyNone(t, index)
}
