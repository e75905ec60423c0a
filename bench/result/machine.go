package result

import (
	"bufio"
	"fmt"
	"os"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"
)

// Machine describes where the figures were measured: CPU model, how many CPUs
// this process may use, kernel and Go version.
func Machine() string {
	return fmt.Sprintf("%s, %d CPUs, Linux %s, %s %s",
		cpuModel(), runtime.NumCPU(), kernelRelease(), runtime.Version(), runtime.GOARCH)
}

// cpuModel reads the first model name of /proc/cpuinfo. Some architectures
// don't give one.
func cpuModel() string {
	f, err := os.Open("/proc/cpuinfo")
	if err != nil {
		return "unknown CPU"
	}
	defer f.Close()
	var family, model string
	for sc := bufio.NewScanner(f); sc.Scan(); {
		key, value, _ := strings.Cut(sc.Text(), ":")
		value = strings.TrimSpace(value)
		switch strings.TrimSpace(key) {
		case "cpu family":
			family = value
		case "model":
			model = value
		case "model name": // comes after the two numbers, which tell bare names such as "AMD EPYC" apart
			return fmt.Sprintf("%s (family %s, model %s)", value, family, model)
		}
	}
	return "unknown CPU"
}

func kernelRelease() string {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return "unknown"
	}
	return unix.ByteSliceToString(u.Release[:])
}
