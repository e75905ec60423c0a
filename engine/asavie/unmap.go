package asavie

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// inodeOf returns what identifies a socket, also when it is closed.
func inodeOf(fd int) (uint64, error) {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return 0, fmt.Errorf("look at the socket: %w", err)
	}
	return st.Ino, nil
}

// unmapRings unmaps the rings of a closed socket, which the library forgets. As
// long as they are mapped the kernel keeps the socket, and the socket its queue,
// so that no other could be opened there before this process ends. They are
// found by the socket's inode in the process's list of mappings; the library
// drops its own references at Close, so nothing points into them any more.
func unmapRings(inode uint64) error {
	maps, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		return fmt.Errorf("find the rings to unmap: %w", err)
	}
	name := fmt.Sprintf("socket:[%d]", inode)
	var failed []error
	for line := range strings.Lines(string(maps)) {
		if !strings.HasSuffix(strings.TrimSuffix(line, "\n"), name) {
			continue
		}
		var first, end uintptr
		if _, err := fmt.Sscanf(line, "%x-%x", &first, &end); err != nil {
			failed = append(failed, fmt.Errorf("read mapping %q: %w", line, err))
			continue
		}
		if _, _, errno := unix.Syscall(unix.SYS_MUNMAP, first, end-first, 0); errno != 0 {
			failed = append(failed, fmt.Errorf("unmap a ring: %w", errno))
		}
	}
	return errors.Join(failed...)
}
