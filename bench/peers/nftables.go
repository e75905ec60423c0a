package peers

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/safchain/ethtool"
	"golang.org/x/sys/unix"

	"appliance/bench/rig"
)

// nftables is the kernel as a NAT load balancer.
type nftables struct {
	rig *rig.Rig
}

// ruleset is what the appliance's nat mode does, said to nftables: a hash over
// the client's address and port picks the backend, and the node's own address
// becomes the source.
func ruleset() string {
	var backends []string
	for i := range rig.Backends {
		backends = append(backends, fmt.Sprintf("%d : %v", i, rig.Backend(i)))
	}
	return fmt.Sprintf(`
table ip bench {
	chain prerouting {
		type nat hook prerouting priority dstnat;
		ip daddr %v udp dport %d dnat to jhash ip saddr . udp sport mod %d map { %s }
	}
	chain postrouting {
		type nat hook postrouting priority srcnat;
		oifname %q masquerade
	}
}`, rig.VIP, Port, rig.Backends, strings.Join(backends, ", "), rig.SrvIf)
}

func startNftables(r *rig.Rig) (Running, error) {
	if _, err := exec.LookPath("nft"); err != nil {
		return nil, fmt.Errorf("nft %w (apt-get install nftables): %w", ErrAbsent, err)
	}
	n := &nftables{rig: r}
	err := r.Node.Do(func() error {
		return errors.Join(nft(ruleset()), forwarding("1"), receive(true), steer(1<<NodeCPU))
	})
	if err != nil {
		_, undo := n.Stop()
		return nil, errors.Join(fmt.Errorf("peers: start nftables: %w", err), undo)
	}
	return n, nil
}

// CPU returns zero: all work is in softirqs.
func (n *nftables) CPU() (time.Duration, error) { return 0, nil }

// Stop removes the rules. The kernel's own counters are the rig's business.
func (n *nftables) Stop() (Report, error) {
	err := n.rig.Node.Do(func() error {
		return errors.Join(nft("delete table ip bench"), forwarding("0"), receive(false), steer(0))
	})
	return Report{}, err
}

// nft loads a ruleset into the calling thread's namespace.
func nft(rules string) error {
	cmd := exec.Command("nft", "-f", "-")
	cmd.Stdin = strings.NewReader(rules)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("nft: %w: %s", err, out)
	}
	return nil
}

func forwarding(value string) error {
	return os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte(value), 0)
}

// receive switches generic receive offload on the client side, which is what
// has veth take XDP frames, the generator's, when no XDP program is attached.
// It merges nothing: UDP packets are merged only for a socket that asks.
func receive(on bool) error {
	e, err := ethtool.NewEthtool()
	if err != nil {
		return err
	}
	defer e.Close()
	return e.Change(rig.CliIf, map[string]bool{"rx-gro": on})
}

// steer has the kernel's stack process what the client side receives on the
// processors of the mask (receive packet steering); 0 switches that off. /sys
// shows the interfaces of the namespace in which it was mounted, so the thread,
// which ends after this, mounts one of its own.
func steer(mask uint) error {
	if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
		return fmt.Errorf("unshare mounts: %w", err)
	}
	if err := unix.Mount("", "/", "", unix.MS_SLAVE|unix.MS_REC, ""); err != nil {
		return fmt.Errorf("keep mounts apart: %w", err)
	}
	if err := unix.Mount("sysfs", "/sys", "sysfs", 0, ""); err != nil {
		return fmt.Errorf("mount /sys: %w", err)
	}
	file := "/sys/class/net/" + rig.CliIf + "/queues/rx-0/rps_cpus"
	return os.WriteFile(file, fmt.Appendf(nil, "%x", mask), 0)
}
