package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// What the machine's interfaces rule out is refused with the line of the mode
// and what to do about it; what they may not rule out isn't.
func TestMTUTooSmall(t *testing.T) {
	const eth2 = "[[interface]]\nname = \"eth2\"\nplanes = [\"server\"]\n"
	encap := "[encap]\nsources = [\"10.200.0.0/24\", \"fd00:200::/64\"]\n"
	vserver := func(vip, mode, backend string) string {
		return encap + "[[vserver]]\nname = \"app\"\nvip = \"" + vip + "\"\nport = 80\nmode = \"" + mode +
			"\"\n[[vserver.backend]]\nname = \"a\"\naddress = \"" + backend + "\"\n"
	}
	for _, c := range []struct {
		name, add string
		mtu       map[string]int
		want      string
	}{
		{"gue, 6 in 6", vserver("2001:db8::1", "gue", "fd00:1::1"), map[string]int{"eth0": 9000, "eth1": 1331},
			":22: vserver[1].mode: gue needs an MTU of 1332 toward fd00:1::1, and no server interface has more than 1331: ip link set dev eth1 mtu 1332"},
		{"gue, 6 in 6, enough", vserver("2001:db8::1", "gue", "fd00:1::1"), map[string]int{"eth1": 1332}, ""},
		{"gue, 6 in 4", vserver("2001:db8::1", "gue", "10.1.0.1"), map[string]int{"eth1": 1311}, "needs an MTU of 1312"},
		{"ipip, 6 in 6", vserver("2001:db8::1", "ipip", "fd00:1::1"), map[string]int{"eth1": 1319}, "needs an MTU of 1320"},
		{"ipip, 4 in 6", vserver("192.0.2.1", "ipip", "fd00:1::1"), map[string]int{"eth1": 615}, "needs an MTU of 616"},
		{"ipip, 4 in 4, enough", vserver("192.0.2.1", "ipip", "10.1.0.1"), map[string]int{"eth1": 596}, ""},
		{"nat", base[:0], map[string]int{"eth1": 68}, ""},
		{"the widest counts", eth2 + vserver("2001:db8::1", "gue", "fd00:1::1"), map[string]int{"eth1": 1280, "eth2": 1500}, ""},
		{"the widest is too small", eth2 + vserver("2001:db8::1", "gue", "fd00:1::1"), map[string]int{"eth1": 1280, "eth2": 1300}, "set dev eth2 mtu 1332"},
		{"one is elsewhere", eth2 + vserver("2001:db8::1", "gue", "fd00:1::1"), map[string]int{"eth1": 1280}, ""},
	} {
		path := filepath.Join(t.TempDir(), "test.toml")
		if err := os.WriteFile(path, []byte(base+c.add), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := LoadHere(path, func(name string) (int, bool) {
			n, ok := c.mtu[name]
			return n, ok
		})
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want %q", c.name, err, c.want)
		}
		if _, err := Load(path); err != nil {
			t.Errorf("%s: refused without a look at the machine: %v", c.name, err)
		}
	}
	if _, err := LoadHere("/nonexistent", nil); err == nil {
		t.Error("loaded a file that isn't there")
	}
}
