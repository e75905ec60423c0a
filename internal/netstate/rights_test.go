package netstate

import (
	"testing"

	"golang.org/x/sys/unix"
)

// A socket that can't be opened closes those before it and is an error: it was
// a crash once, because the deferred close met the nil that was returned.
func TestOpenKernelFailsCleanly(t *testing.T) {
	var was unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &was); err != nil {
		t.Fatal(err)
	}
	none := unix.Rlimit{Cur: 3, Max: was.Max}
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &none); err != nil {
		t.Fatal(err)
	}
	k, err := openKernel()
	if restore := unix.Setrlimit(unix.RLIMIT_NOFILE, &was); restore != nil {
		t.Fatal(restore)
	}
	if err == nil {
		k.close()
		t.Fatal("sockets were opened beyond the limit")
	}
}
