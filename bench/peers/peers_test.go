package peers

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"appliance/bench/rig"
	"appliance/internal/privtest"
)

func TestMain(m *testing.M) {
	RunChild()
	os.Exit(m.Run())
}

// An echoing forwarder stands in for a packet loop.
type echoing struct{ err error }

func (e echoing) stop() (Report, error) {
	return Report{Received: 7, Sent: 5, Dropped: map[string]uint64{"why": 2}}, e.err
}

// TestChildProtocol: a child says that it is ready, works until its input ends,
// and prints its report.
func TestChildProtocol(t *testing.T) {
	children["echoing"] = func() (forwarder, error) { return echoing{}, nil }
	defer delete(children, "echoing")
	var out bytes.Buffer
	if err := runChild("echoing", strings.NewReader(""), &out); err != nil {
		t.Fatal(err)
	}
	first, rest, _ := strings.Cut(out.String(), "\n")
	var r Report
	if err := json.Unmarshal([]byte(rest), &r); err != nil || first != ready {
		t.Fatalf("printed %q: %v", out.String(), err)
	}
	if r.Received != 7 || r.Sent != 5 || r.Lost() != 2 {
		t.Errorf("report %+v", r)
	}
}

func TestChildErrors(t *testing.T) {
	failure := errors.New("as it should")
	children["failing"] = func() (forwarder, error) { return nil, failure }
	children["broken"] = func() (forwarder, error) { return echoing{failure}, nil }
	defer delete(children, "failing")
	defer delete(children, "broken")
	for _, name := range []string{"failing", "broken"} {
		if err := runChild(name, strings.NewReader(""), new(bytes.Buffer)); !errors.Is(err, failure) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := runChild("nobody", strings.NewReader(""), new(bytes.Buffer)); err == nil || !strings.Contains(err.Error(), "nobody") {
		t.Errorf("an unknown peer: %v", err)
	}
}

func newRig(t *testing.T) *rig.Rig {
	t.Helper()
	privtest.NeedNetNS(t)
	r, err := rig.New()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
	return r
}

// TestPeersLeaveNothing starts and stops each peer twice on one rig: the second
// start would fail on what the first left, such as an XDP program or a socket.
func TestPeersLeaveNothing(t *testing.T) {
	r := newRig(t)
	for _, p := range All() {
		t.Run(p.Name, func(t *testing.T) {
			for range 2 {
				running, err := p.Start(r)
				if errors.Is(err, exec.ErrNotFound) { // somebody else's program: no test of ours needs it
					t.Skip(err)
				}
				if errors.Is(err, ErrAbsent) {
					privtest.Unable(t, "run "+p.Name, err)
				}
				if err != nil {
					t.Fatal(err)
				}
				cpu, err := running.CPU()
				if _, kernel := running.(*nftables); err != nil || (cpu == 0) != kernel {
					t.Errorf("processor time %v, %v", cpu, err)
				}
				report, err := running.Stop()
				if err != nil || report.Lost() != 0 {
					t.Errorf("report %+v, %v", report, err)
				}
			}
			clean(t, r)
		})
	}
}

// clean fails unless the node's interfaces are as the rig made them.
func clean(t *testing.T, r *rig.Rig) {
	t.Helper()
	err := r.Node.Do(func() error {
		for _, name := range []string{rig.CliIf, rig.SrvIf} {
			l, err := netlink.LinkByName(name)
			if err != nil {
				return err
			}
			if xdp := l.Attrs().Xdp; xdp != nil && xdp.Attached {
				t.Errorf("an XDP program is left on %s", name)
			}
			addrs, err := netlink.AddrList(l, netlink.FAMILY_V4)
			if err != nil || len(addrs) != 1 {
				t.Errorf("addresses %v are on %s, %v", addrs, name, err)
			}
		}
		out, err := exec.Command("nft", "list", "ruleset").CombinedOutput()
		if err == nil && len(bytes.TrimSpace(out)) != 0 {
			t.Errorf("rules are left:\n%s", out)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

// TestProcessThatFails: the error has what the process said.
func TestProcessThatFails(t *testing.T) {
	r := newRig(t)
	_, err := startProcess(r.Node, exec.Command("sh", "-c", "echo starting; echo no such thing >&2; exit 3"), "ready")
	if err == nil || !strings.Contains(err.Error(), "no such thing") || !strings.Contains(err.Error(), "exit status 3") {
		t.Errorf("error %v", err)
	}
	if _, err := startProcess(r.Node, exec.Command("/nonexistent"), "ready"); err == nil {
		t.Error("a program that doesn't exist was started")
	}
}

// TestCPU: the processor time of a process is that of its threads.
func TestCPU(t *testing.T) {
	r := newRig(t)
	p, err := startProcess(r.Node, exec.Command("sh", "-c", "echo ready; while :; do :; done"), "ready")
	if err != nil {
		t.Fatal(err)
	}
	defer p.cmd.Wait()
	defer p.cmd.Process.Kill()
	time.Sleep(100 * time.Millisecond)
	if used, err := p.CPU(); err != nil || used <= 0 || used > 2*time.Second {
		t.Errorf("processor time %v, %v", used, err)
	}
	if _, err := OnCPU(fmt.Sprintf("/proc/%d/none", p.cmd.Process.Pid)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a file that doesn't exist: %v", err)
	}
}

// TestRulesetBalances: nftables gets every backend of the rig.
func TestRulesetBalances(t *testing.T) {
	rules := ruleset()
	for i := range rig.Backends {
		if want := fmt.Sprintf("%d : %v", i, rig.Backend(i)); !strings.Contains(rules, want) {
			t.Errorf("%q is not in %s", want, rules)
		}
	}
}
