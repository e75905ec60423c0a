package node

import (
	"bytes"
	"log/slog"
	"net/netip"
	"strings"
	"testing"

	"appliance/vserver"
)

// No address of the node may be among the outer sources: whatever its prefix,
// and whichever of several it is.
func TestDedicated(t *testing.T) {
	s := &Services{Services: vserver.Config{Encap: vserver.EncapConfig{
		Sources: []netip.Prefix{netip.MustParsePrefix("10.200.1.0/24"), netip.MustParsePrefix("fd00:200::/64")},
	}}}
	for _, c := range []struct {
		own  string
		want string
	}{
		{"10.200.0.1/8", ""},
		{"10.200.1.7/32", "10.200.1.0/24 holds 10.200.1.7"},
		{"fd00:200::5/64", "fd00:200::/64 holds fd00:200::5"},
		{"fd00:201::5/32", ""},
	} {
		err := s.dedicated([]netip.Prefix{netip.MustParsePrefix("127.0.0.1/8"), netip.MustParsePrefix(c.own)})
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want %q", c.own, err, c.want)
		}
	}
}

// A narrow path is named when it becomes one, not at every change of anything.
func TestNarrowPathsAreNamedOnce(t *testing.T) {
	var log bytes.Buffer
	n := &Node{log: slog.New(slog.NewTextHandler(&log, nil))}
	one, two := vserver.Narrow{Service: "web", Backend: "b1", MTU: 1280, Least: 1332}, vserver.Narrow{Service: "web", Backend: "b2", MTU: 1280, Least: 1332}
	for _, step := range []struct {
		narrow []vserver.Narrow
		want   int // lines so far
	}{
		{nil, 0},
		{[]vserver.Narrow{one}, 1},
		{[]vserver.Narrow{one}, 1},
		{[]vserver.Narrow{one, two}, 2},
		{nil, 2},
		{[]vserver.Narrow{two}, 3},
	} {
		n.noteNarrow(step.narrow)
		if got := strings.Count(log.String(), "too narrow"); got != step.want {
			t.Fatalf("after %v: %d lines, want %d:\n%s", step.narrow, got, step.want, log.String())
		}
	}
	if !strings.Contains(log.String(), "vserver=web backend=b1 mtu=1280 needed=1332") {
		t.Errorf("log:\n%s", log.String())
	}
}
