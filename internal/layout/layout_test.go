package layout

import (
	"os/exec"
	"path"
	"slices"
	"strings"
	"testing"
)

// rooms says in which layer each room lies: a room may import rooms of lower
// layers only. That is what lets each be understood, tested and replaced with
// nothing but what lies below it.
var rooms = map[string]int{
	"rss":               0,
	"engine/packet":     0,
	"internal/fib":      0,
	"vserver/maglev":    0,
	"internal/privtest": 0,
	"internal/layout":   0,

	"engine":       1,
	"internal/nic": 1,

	"engine/xsk":        2,
	"engine/xdp":        2,
	"engine/asavie":     2,
	"engine/memport":    2,
	"engine/pcapport":   2,
	"vserver/flows":     2,
	"vserver/fragments": 2,

	"vserver":           3,
	"vserver/health":    3,
	"internal/netstate": 3,

	"internal/config": 4,
	"internal/node":   5,
	"internal/api":    6,
	"internal/lab":    7,
	"internal/e2e":    8,
	"cmd/appliance":   8,
	"bench":           9,
}

// testKits are packages that only tests, the lab and the benchmarks import, and
// that import what they test.
var testKits = []string{"engine/packet/packettest", "engine/porttest"}

// only says which rooms may import a package from outside, and why no others.
var only = []struct {
	pkg string
	in  []string
	why string
}{
	{"unsafe", []string{"engine/xsk", "engine/asavie", "internal/nic", "vserver/flows", "bench"},
		"memory errors must be looked for in few places"},
	{"github.com/asavie/xdp", []string{"engine/asavie", "bench"},
		"it is a selectable driver, not a dependency of the packet path"},
	{"github.com/google/gopacket", []string{"engine/pcapport", "engine/packet/packettest", "engine/porttest", "internal/lab", "bench"},
		"decoding through it allocates: captures and tests only"},
	{"github.com/cilium/ebpf", []string{"engine/xdp", "internal/privtest", "bench"},
		"one room loads XDP programs"},
	{"github.com/vishvananda/netlink", []string{"internal/netstate", "engine/xdp", "internal/lab", "internal/privtest", "bench"},
		"one room speaks netlink to the kernel; engine/xdp only asks which program is in its way"},
	{"github.com/BurntSushi/toml", []string{"internal/config"},
		"rooms take Config structs, never files"},
	{"github.com/prometheus/client_golang", []string{"internal/node", "internal/api", "cmd/appliance"},
		"rooms count in plain words; metrics are read off them"},
	{"github.com/spf13/cobra", []string{"cmd/appliance"},
		"flags belong to the command"},
}

// A pkg is one line of go list.
type pkg struct {
	name    string // relative to the module
	imports []string
}

func list(t *testing.T) []pkg {
	t.Helper()
	cmd := exec.Command("go", "list", "-f", `{{.ImportPath}} {{join .Imports " "}}`, "./...")
	cmd.Dir = "../.."
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var all []pkg
	for line := range strings.Lines(string(out)) {
		words := strings.Fields(line)
		all = append(all, pkg{strings.TrimPrefix(words[0], "appliance/"), words[1:]})
	}
	return all
}

// room returns the room that a package belongs to: the longest prefix of its
// path that is one.
func room(name string) (string, bool) {
	for r := name; r != "."; r = path.Dir(r) {
		if _, ok := rooms[r]; ok {
			return r, true
		}
	}
	return "", false
}

func isKit(name string) bool { return slices.Contains(testKits, name) }

func TestRoomsImportDownwards(t *testing.T) {
	for _, p := range list(t) {
		from, ok := room(p.name)
		if !ok {
			t.Errorf("%s belongs to no room: add it to rooms and to docs/architecture.md", p.name)
			continue
		}
		for _, imp := range p.imports {
			name, ours := strings.CutPrefix(imp, "appliance/")
			if !ours || isKit(p.name) {
				continue
			}
			to, _ := room(name)
			if to != from && rooms[to] >= rooms[from] {
				t.Errorf("%s (layer %d) imports %s (layer %d): rooms import lower layers only", p.name, rooms[from], name, rooms[to])
			}
			if isKit(name) && from != "internal/lab" && from != "bench" {
				t.Errorf("%s imports %s, which is for tests", p.name, name)
			}
		}
	}
}

func TestOutsidePackagesStayInTheirRooms(t *testing.T) {
	pkgs := list(t)
	for _, rule := range only {
		used := false
		for _, p := range pkgs {
			from, _ := room(p.name)
			for _, imp := range p.imports {
				if imp != rule.pkg && !strings.HasPrefix(imp, rule.pkg+"/") {
					continue
				}
				used = true
				if !slices.Contains(rule.in, from) && !slices.Contains(rule.in, p.name) {
					t.Errorf("%s imports %s: only %v may, because %s", p.name, imp, rule.in, rule.why)
				}
			}
		}
		if !used {
			t.Errorf("nobody imports %s any more: delete its rule", rule.pkg)
		}
	}
}
