package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// good is a small configuration that is right.
const good = `[[interface]]
name = "eth0"

[nat]
snips = ["10.2.2.1"]

[[vserver]]
name = "web"
vip = "203.0.113.10"
port = 80

[[vserver.backend]]
name = "b1"
address = "10.2.3.1"
`

// file writes a configuration file and returns its path.
func file(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestCheckGood(t *testing.T) {
	path := file(t, "good.toml", good)
	appliance(t, "check", "-c", path).want(t, 0, path+": OK: 1 interfaces, 1 virtual servers\n", "")
	manual := "../../appliance.toml"
	appliance(t, "check", "--config", manual).want(t, 0, manual+": OK: 1 interfaces, 5 virtual servers\n", "")
}

// All that is wrong is listed, a line each, as compilers do it.
func TestCheckBad(t *testing.T) {
	text := strings.Replace(good, `port = 80`, `prot = 80`, 1)
	text = strings.Replace(text, `address = "10.2.3.1"`, `address = "10.2.3"`, 1)
	path := file(t, "bad.toml", text)
	want := path + ":7: vserver[0].port: 0: give 1 to 65535, a range like \"8000-8099\", or \"*\" for all ports\n" +
		path + `:10: vserver[0].prot: unknown key (did you mean "port"?): vserver[0] has name, vip, port, protocol, mode, method, on_no_backend, on_no_flow, on_backend_down, max_flows, min_healthy, slow_start, mss_clamp, backend, health, timeouts, persistence` + "\n" +
		path + `:14: vserver[0].backend[0].address: "10.2.3" is no IP address: give one, like "192.0.2.1" or "2001:db8::1"` + "\n"
	appliance(t, "check", "-c", path).want(t, exitUsage, "", want)
	appliance(t, "run", "-c", path).want(t, exitUsage, "", want) // and nothing is started

	broken := file(t, "broken.toml", "[node]\nid = 1 2\n")
	r := appliance(t, "check", "-c", broken)
	r.want(t, exitUsage, "", r.err)
	if !strings.HasPrefix(r.err, broken+":2: not TOML: ") || strings.Count(r.err, "\n") != 1 {
		t.Errorf("of a file that is no TOML: %q", r.err)
	}

	missing := filepath.Join(t.TempDir(), "missing.toml")
	appliance(t, "check", "-c", missing).want(t, exitUsage, "", "appliance: config: load: open "+missing+": no such file or directory\n")
}

// What a reload would change, and what of it it wouldn't.
func TestCheckAgainst(t *testing.T) {
	was := file(t, "was.toml", good)
	is := file(t, "is.toml", "[engine]\nengines = 2\n"+strings.Replace(good, `name = "b1"`, "name = \"b1\"\nweight = 3", 1)+
		"\n[[vserver.backend]]\nname = \"b2\"\naddress = \"10.2.3.2\"\n")
	ok := func(path string) string { return path + ": OK: 1 interfaces, 1 virtual servers\n" }
	appliance(t, "check", "-c", is, "--against", was).want(t, 0, ok(is)+`  engine.engines: 2, was 1
  vserver[web].backend[b1].weight: 3, was 1
  vserver[web].backend[b2]: added (10.2.3.2 port 0)
needs a restart: engine.engines
`, "")
	appliance(t, "check", "-c", was, "--against", was).want(t, 0, ok(was)+"no changes\n", "")

	bad := file(t, "bad.toml", good+"weight = 257\n")
	appliance(t, "check", "-c", was, "--against", bad).want(t, exitUsage, ok(was),
		bad+":15: vserver[0].backend[0].weight: 257: give 0 to 256\n")
}
