// Package privtest says whether a test that needs privileges can run here.
//
// A test skips only after a functional probe, and says why. With CI=true in
// the environment it fails instead: there, a missing capability is a fault of
// the machine that must not hide a test.
package privtest

import (
	"os"
	"runtime"
	"testing"

	"github.com/vishvananda/netns"
)

// NeedNetNS ends the test unless this process can make a network namespace:
// the one right that all lab and socket tests build on (CAP_SYS_ADMIN, and with
// it, inside the namespace, CAP_NET_ADMIN and CAP_NET_RAW).
func NeedNetNS(t testing.TB) {
	t.Helper()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	was, err := netns.Get()
	if err != nil {
		Unable(t, "open the current network namespace", err)
	}
	defer was.Close()
	made, err := netns.New()
	if err != nil {
		Unable(t, "make a network namespace (run as root)", err)
	}
	defer made.Close()
	if err := netns.Set(was); err != nil {
		t.Fatalf("return to the first network namespace: %v", err)
	}
}

// Unable skips the test because what failed with err; with CI=true it fails it.
func Unable(t testing.TB, what string, err error) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatalf("cannot %s: %v", what, err)
	}
	t.Skipf("cannot %s: %v", what, err)
}
