package main

import (
	"fmt"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// What run refuses before it touches anything: with exit code 2 what is wrong
// with the configuration, on this machine, and with 1 what is in the way.
func TestRunRefuses(t *testing.T) {
	live, none, precious := serveAPI(t, new(fake)), filepath.Join(t.TempDir(), "none"), file(t, "precious", "")
	const keepNoKey = "[rss]\nstate_file = \"\"\n"
	socket := fmt.Sprintf("[api]\nsocket = %q\n", filepath.Join(t.TempDir(), "api.sock"))
	for _, c := range []struct {
		name, text string
		code       int
		want       string
	}{
		{"to starve the machine", "[engine]\nengines = 64\nidle = \"busy\"\n" + socket, exitUsage, `engine.idle = "busy" keeps 64 cores busy`},
		{"a secret that isn't there", fmt.Sprintf("[rss]\nsecret_file = %q\ncluster = \"c\"\n", none) + socket, exitUsage, none},
		{"another's socket", keepNoKey + fmt.Sprintf("[api]\nsocket = %q\n", live), exitFailed, live + " is in use: another appliance runs"},
		{"a socket where none can be", keepNoKey + fmt.Sprintf("[api]\nsocket = %q\n", precious), exitFailed, precious + " exists and is no socket"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := appliance(t, "run", "-c", file(t, "run.toml", c.text+good))
			r.want(t, c.code, "", r.err)
			if !strings.HasPrefix(r.err, "appliance: ") || !strings.Contains(r.err, c.want) || strings.Count(r.err, "\n") != 1 {
				t.Errorf("stderr %q, want one line with %q", r.err, c.want)
			}
		})
	}
}

// Engines that fill all of the runtime's processors leave timers waiting for
// the scheduler's pre-emption.
func TestEnginesLeaveAProcessor(t *testing.T) {
	was := runtime.GOMAXPROCS(2)
	defer runtime.GOMAXPROCS(was)
	for engines, want := range []int{2, 2, 3, 4, 5} { // never fewer than there are
		if spareProcessor(engines); runtime.GOMAXPROCS(0) != want {
			t.Errorf("%d processors for %d engines, want %d", runtime.GOMAXPROCS(0), engines, want)
		}
	}
}
