package node

import (
	"fmt"
	"strings"

	"golang.org/x/sys/unix"
)

// needed are the capabilities that a node can't do without, and what for.
// CAP_IPC_LOCK is not among them: a sufficient RLIMIT_MEMLOCK serves as well.
var needed = []struct {
	bit  uint
	name string
}{
	{unix.CAP_NET_ADMIN, "CAP_NET_ADMIN (attach XDP programs, keep neighbours and SNIPs)"},
	{unix.CAP_NET_RAW, "CAP_NET_RAW (open AF_XDP sockets)"},
	{unix.CAP_BPF, "CAP_BPF (load XDP programs)"},
	{unix.CAP_PERFMON, "CAP_PERFMON (let them walk over extension headers)"},
}

// CheckRights returns an error that names every capability this thread lacks:
// the kernel's own answer would be "operation not permitted", from whichever
// call comes first. Start checks them, too.
func CheckRights() error {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&header, &data[0]); err != nil {
		return fmt.Errorf("node: read capabilities: %w", err)
	}
	return missing(uint64(data[0].Effective) | uint64(data[1].Effective)<<32)
}

func missing(effective uint64) error {
	var lack []string
	for _, n := range needed {
		if effective&(1<<n.bit) == 0 {
			lack = append(lack, n.name)
		}
	}
	if len(lack) == 0 {
		return nil
	}
	return fmt.Errorf("run as root: missing %s", strings.Join(lack, ", "))
}
