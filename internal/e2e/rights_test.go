package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"appliance/internal/lab"
	"appliance/internal/lab/origin"
)

// The capabilities that README.md names are enough: a node that has no others
// serves, reloads and ends cleanly.
func TestNamedCapabilitiesAreEnough(t *testing.T) {
	l := buildLab(t, lab.Config{IPv6: true})
	binary, err := lab.Build(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	const caps = "-all,+net_admin,+net_raw,+bpf,+perfmon,+ipc_lock"
	bounded := filepath.Join(t.TempDir(), "bounded")
	script := fmt.Sprintf("#!/bin/sh\nexec setpriv --inh-caps -all --bounding-set %s %s \"$@\"\n", caps, binary)
	if err := os.WriteFile(bounded, []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	p, err := l.Nodes[0].Start(t.Context(), lab.NodeOptions{Binary: bounded})
	if err != nil {
		t.Fatal(err)
	}
	for _, vip := range l.VIPs[0].All() {
		newPingpong(t, dial(t, l, "tcp", vip, origin.EchoPort))
	}
	accounted(t, status(t, p))
	if err := p.Stop(); err != nil {
		t.Errorf("%v\n%s", err, p.Log())
	}
}
