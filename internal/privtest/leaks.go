package privtest

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

// leakExit is the exit code of a test binary whose tests pass but leak.
const leakExit = 99

// Run runs the tests and returns their exit code, for a TestMain. Tests that
// pass but leave sockets or BPF objects open fail the binary.
func Run(m *testing.M) int {
	before := openKernelObjects()
	code := m.Run()
	if after := openKernelObjects(); code == 0 && after > before {
		fmt.Fprintf(os.Stderr, "%d sockets and BPF objects were open before the tests, %d are after them\n", before, after)
		return leakExit
	}
	return code
}

// openKernelObjects counts this process's descriptors of sockets and BPF
// objects.
func openKernelObjects() int {
	fds, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return 0 // no /proc: nothing to compare
	}
	n := 0
	for _, fd := range fds {
		to, _ := os.Readlink("/proc/self/fd/" + fd.Name()) // fails for ReadDir's own
		if strings.HasPrefix(to, "socket:") || strings.HasPrefix(to, "anon_inode:bpf") {
			n++
		}
	}
	return n
}
