package config

import (
	"errors"
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write testdata/wrong.golden anew")

// base is a valid configuration for tests to add to: it ends in the table of
// the virtual server's only backend, and has 15 lines.
const base = `[nat]
snips = ["10.2.2.1", "fd00::1"]
[[interface]]
name = "eth0"
planes = ["client"]
[[interface]]
name = "eth1"
planes = ["server"]
[[vserver]]
name = "web"
vip = "203.0.113.10"
port = 80
[[vserver.backend]]
name = "web1"
address = "10.2.3.1"
`

// A second virtual server, to put behind base.
const second = `[[vserver]]
name = "app"
vip = "203.0.113.11"
port = 80
`

// What follows from a mistake is not reported as another one.
func TestMistakesDoNotMultiply(t *testing.T) {
	_, err := Parse("f.toml", []byte(base+"[vserver.health]\ninterval = \"5\"\n"))
	if err == nil || strings.Count(err.Error(), "\n") != 0 || !strings.Contains(err.Error(), `"5" is no duration`) {
		t.Errorf("error %v, want one line", err)
	}
}

func TestParse(t *testing.T) {
	if _, err := Parse("base.toml", []byte(base)); err != nil {
		t.Fatalf("base: %v", err)
	}
	for _, c := range []struct {
		name, add string
		want      string // part of the error, after the file; empty: no error
	}{
		{"unknown key", "adress = 1", `:16: vserver[0].backend[0].adress: unknown key (did you mean "address"?)`},
		{"unknown table", "[enginex]", `:16: enginex: unknown key (did you mean "engine"?): the file has node,`},
		{"unknown, nothing like it", "[engine]\nturbo = 1", `:17: engine.turbo: unknown key: engine has engines,`},
		{"string for a number", "[engine]\nbatch = \"64\"", `:17: engine.batch: the string "64": give a whole number`},
		{"fraction for a number", "[engine]\nbatch = 1.5", `:17: engine.batch: 1.5: give a whole number`},
		{"number for a string", "[api]\nsocket = 1", `:17: api.socket: 1 without quotes: give a string`},
		{"number for a duration", "[vserver.health]\ninterval = 2", `:17: vserver[0].health.interval: 2 without quotes: give a string, like "2s"`},
		{"number for a word", second + "on_no_flow = 3", `:20: vserver[1].on_no_flow: 3 without quotes: give a string, like reject or silence`},
		{"bool for a number", "[answers]\nrate = true", `:17: answers.rate: true without quotes: give a whole number`},
		{"string for a bool", strings.Replace(base, "[[", "return_to_sender = \"no\"\n[[", 1), `:3: nat.return_to_sender: the string "no": give true or false`},
		{"scalar for an array", "[engine]\ncpus = 1", `:17: engine.cpus: 1 without quotes: give an array, [...]`},
		{"date for an array", "[engine]\ncpus = 2026-11-23", `:17: engine.cpus: a date or time: give an array, [...]`},
		{"mixed array", "[engine]\nengines = 2\ncpus = [1, \"2\"]", `:18: engine.cpus[1]: the string "2": give a whole number`},
		{"single brackets", "[vserver.backend.x]", `:16: vserver[0].backend[0].x: unknown key`},
		{"table for a scalar", "[log.level]", `:16: log.level: a table: give a string, like "debug"`},
		{"array for a table", "[[node]]", `:16: node: an array: make it a table, [node]`},
		{"port too large", second + "[[vserver.backend]]\nname = \"a\"\naddress = \"10.0.0.1\"\nport = 65536", `:23: vserver[1].backend[0].port: 65536: give no more than 65535`},
		{"port negative", "port = -1", `:16: vserver[0].backend[0].port: -1: give no less than 0`},
		{"bad word", "[log]\nlevel = \"inof\"", `:17: log.level: "inof" is none of debug, info, warn, error (did you mean "info"?)`},
		{"bad plane", "[[interface]]\nname = \"eth2\"\nplanes = [\"back\"]", `:18: interface[2].planes[0]: "back" is none of client, server`},
		{"bad mode", second + "mode = \"tunnel\"", `:20: vserver[1].mode: mode "tunnel" is none of nat, dsr, ipip, gue`},
		{"bad idle", "[engine]\nidle = \"sleepy\"", `:17: engine.idle: "sleepy" is none of adaptive, busy, busypoll`},
		{"bad duration", "[vserver.timeouts]\nreplied = \"5 min\"", `:17: vserver[0].timeouts.replied: "5 min" is no duration: give a number and a unit`},
		{"bad address", second + "[[vserver.backend]]\nname = \"a\"\naddress = \"10.0.0\"", `:22: vserver[1].backend[0].address: "10.0.0" is no IP address: give one, like "192.0.2.1"`},
		{"bad key", "[rss]\nkey = \"6d5a\"", `:17: rss.key: 4 characters that are no key: give 80 hexadecimal digits`},
		{"degenerate key", "[rss]\nkey = \"" + strings.Repeat("6d5a", 20) + "\"", `:17: rss.key: degenerate key: input bits 0 and 16 change the hash alike: give another key`},

		{"node", "[node]\nid = 65", ":17: node.id: 65: give 1 to 64"},
		{"engines", "[engine]\nengines = 65", ":17: engine.engines: 65: give 1 to 64"},
		{"batch", "[engine]\nbatch = 0", ":17: engine.batch: 0: give 1 to 256"},
		{"rx ring", "[engine]\nrx_ring = 1000", ":17: engine.rx_ring: 1000: give a power of two from 64 to 32768"},
		{"tx ring", "[engine]\ntx_ring = 32", ":17: engine.tx_ring: 32: give a power of two from 64 to 32768"},
		{"frame size", "[engine]\nframe_size = 9000", ":17: engine.frame_size: 9000: give 2048 or 4096, or 0"},
		{"frames", "[engine]\nframes = -1", ":17: engine.frames: -1: give 0 to 4194304"},
		{"flow capacity", "[engine]\nflow_capacity = 0", ":17: engine.flow_capacity: 0: give 1 to 16777216"},
		{"cpus", "[engine]\ncpus = [1, 2]", ":17: engine.cpus: 2 CPUs for 1 engines: give one each, or none"},
		{"cpu twice", "[engine]\nengines = 2\ncpus = [1, 1]", ":18: engine.cpus[1]: CPU 1 is listed twice"},
		{"cpu negative", "[engine]\ncpus = [-1]", ":17: engine.cpus[0]: -1: give 0 to 8191"},
		{"asavie copies", "[engine]\ndriver = \"asavie\"\nzero_copy = \"require\"", ":18: engine.zero_copy: driver asavie always copies"},
		{"generic copies", "[engine]\nmode = \"generic\"\nzero_copy = \"require\"", ":18: engine.zero_copy: generic mode always copies"},
		{"buckets", "[rss]\nbuckets = 0", ":17: rss.buckets: 0: give a power of two from 1024 to 16384"},
		{"key and secret", "[rss]\nkey = \"" + goodKey + "\"\nsecret_file = \"/x\"\ncluster = \"a\"", ":18: rss.secret_file: there is a key too: give one of them"},
		{"secret without cluster", "[rss]\nsecret_file = \"/x\"", ":16: rss.cluster: there is a secret_file but no cluster"},
		{"relative secret", "[rss]\nsecret_file = \"x\"\ncluster = \"a\"", `:17: rss.secret_file: "x": give an absolute path`},
		{"interface name", "[[interface]]\nname = \"a/b\"", `:17: interface[2].name: "a/b": give the name of a network interface`},
		{"interface without name", "[[interface]]", `:16: interface[2].name: "": give the name of a network interface`},
		{"interface twice", "[[interface]]\nname = \"eth0\"", `:17: interface[2].name: "eth0" is interface[0] already`},
		{"no plane", "[[interface]]\nname = \"a\"\nplanes = []", ":18: interface[2].planes: there are none: give client, server or both"},
		{"nothing near", "foo = 1", `:16: vserver[0].backend[0].foo: unknown key: vserver`},
		{"plane twice", "[[interface]]\nname = \"a\"\nplanes = [\"client\", \"client\"]", `:18: interface[2].planes[1]: "client" is listed twice`},
		{"answers", "[answers]\nrate = 0", ":17: answers.rate: 0: give 1 to 1000000"},
		{"new flows", "[limits]\nnew_flows = -1", ":17: limits.new_flows: -1: give 0 to 10000000"},
		{"new flows per source", "[limits]\nnew_flows_per_source = 10000001", ":17: limits.new_flows_per_source: 10000001: give 0 to 10000000"},
		{"source prefix", "[limits]\nsource_prefix_ipv4 = 0", ":17: limits.source_prefix_ipv4: 0: give 1 to 32"},
		{"source prefix of IPv6", "[limits]\nsource_prefix_ipv6 = 129", ":17: limits.source_prefix_ipv6: 129: give 1 to 128"},
		{"denied prefix", "[deny]\nprefixes = [\"10.0.0.0/8\", \"web\"]", `:17: deny.prefixes[1]: "web" is no prefix: give one, like`},
		{"denied with host bits", "[deny]\nprefixes = [\"10.0.0.1/8\"]", `:17: deny.prefixes[0]: 10.0.0.1/8 has bits behind its length: give 10.0.0.0/8`},
		{"denied both families", "[deny]\nprefixes = [\"::/0\"]", `:17: deny.prefixes[0]: ::/0 holds the IPv4-mapped addresses`},
		{"denied twice", "[deny]\nprefixes = [\"10.0.0.1\", \"10.0.0.1/32\"]", `:17: deny.prefixes[1]: 10.0.0.1/32 is listed twice`},
		{"denied are many", "[deny]\nprefixes = [\"10.0.0.0/8\"" + strings.Repeat(", \"10.0.0.0/8\"", 32768) + "]", ":17: deny.prefixes: there are 32769, at most 32768 can be"},
		{"socket", "[api]\nsocket = \"api.sock\"", `:17: api.socket: "api.sock": give an absolute path of at most 107 characters`},

		{"no name", "[[vserver]]\nvip = \"203.0.113.11\"\nport = 80", ":16: vserver[1].name: "},
		{"no VIP", "[[vserver]]\nname = \"app\"\nport = 80", ":16: vserver[1].vip: there is no address"},
		{"no port", "[[vserver]]\nname = \"app\"\nvip = \"203.0.113.11\"", ":16: vserver[1].port: 0: give 1 to 65535"},
		{"name twice", strings.Replace(second, "app", "web", 1), `:17: vserver[1].name: "web" is the name of vserver[0] too`},
		{"VIP twice", strings.Replace(second, "113.11", "113.10", 1), ":18: vserver[1].vip: 203.0.113.10 port 80 is served by vserver[0] already"},
		{"VIP multicast", strings.Replace(second, "203.0.113.11", "ff02::1", 1), ":18: vserver[1].vip: ff02::1: give an address"},
		{"VIP is a SNIP", strings.Replace(second, "203.0.113.11", "10.2.2.1", 1), ":18: vserver[1].vip: 10.2.2.1 is in nat.snips"},
		{"SNIP twice", strings.Replace(base, "fd00::1", "10.2.2.1", 1), ":2: nat.snips[1]: 10.2.2.1 is listed twice"},
		{"backend is a SNIP", "[[vserver.backend]]\nname = \"a\"\naddress = \"10.2.2.1\"", ":18: vserver[0].backend[1].address: 10.2.2.1 is in nat.snips"},
		{"backend of another family", "[[vserver.backend]]\nname = \"a\"\naddress = \"fd00::2\"", ":18: vserver[0].backend[1].address: fd00::2: give an address of the VIP's family"},
		{"weight", "weight = 257", ":16: vserver[0].backend[0].weight: 257: give 0 to 256"},
		{"dsr port", second + "mode = \"dsr\"\n[[vserver.backend]]\nname = \"a\"\naddress = \"10.0.0.1\"\nport = 81", ":24: vserver[1].backend[0].port: 81: dsr does not translate ports"},
		{"ipip port", "[encap]\nsources = [\"10.200.0.0/24\"]\n" + second + "mode = \"ipip\"\n[[vserver.backend]]\nname = \"a\"\naddress = \"10.0.0.1\"\nport = 81", ":26: vserver[1].backend[0].port: 81: ipip does not translate ports"},
		{"no source", second + "mode = \"gue\"\n[[vserver.backend]]\nname = \"a\"\naddress = \"fd00::5\"", ":23: vserver[1].backend[0].address: fd00::5: gue needs a prefix of the backend's family in encap.sources"},
		{"source without length", "[encap]\nsources = [\"10.200.0.0\"]", `:17: encap.sources[0]: "10.200.0.0" is no prefix: give an address and its length in bits, like "10.200.1.0/24"`},
		{"source with host bits", "[encap]\nsources = [\"10.200.0.1/24\"]", ":17: encap.sources[0]: 10.200.0.1/24: write it as 10.200.0.0/24"},
		{"VIP among sources", "[encap]\nsources = [\"203.0.113.0/24\"]", ":11: vserver[0].vip: 203.0.113.10 is in 203.0.113.0/24 of encap.sources"},
		{"GUE port", "[encap]\ngue_port = 0", ":17: encap.gue_port: 0: give 1 to 65535"},
		{"clamp", second + "mss_clamp = 40", ":20: vserver[1].mss_clamp: 40: give 0 for none, or 536 to 65535"},
		{"zero timeout", "[vserver.timeouts]\nreplied = \"0s\"", ":17: vserver[0].timeouts.replied: 0s: give 2s to 24h0m0s"},
		{"half closed", "[vserver.timeouts]\nestablished = \"1m\"\nhalf_closed = \"2m\"", ":18: vserver[0].timeouts.half_closed: 2m0s: give no more than established"},
		{"interval", "[vserver.health]\ninterval = \"1ms\"", ":17: vserver[0].health.interval: 1ms: give 10ms to 1h0m0s"},
		{"timeout", "[vserver.health]\ntimeout = \"3s\"", ":17: vserver[0].health.timeout: 3s: give more than 0 and at most the interval, 2s"},
		{"rise", "[vserver.health]\nrise = 0", ":17: vserver[0].health.rise: 0: give 1 to 100"},
		{"fall", "[vserver.health]\nfall = 101", ":17: vserver[0].health.fall: 101: give 1 to 100"},
		{"path of a TCP check", "[vserver.health]\npath = \"/\"", `:17: vserver[0].health.path: type is "tcp": path is for type "http" or "https" only`},
		{"server name of an HTTP check", "[vserver.health]\ntype = \"http\"\nserver_name = \"a\"", `:18: vserver[0].health.server_name: type is "http": server_name is for type "https" only`},
		{"source without checks", "[vserver.health]\ntype = \"none\"\nsource = \"10.1.1.1\"", `:18: vserver[0].health.source: type is "none": source is for type "tcp", "http", "https", "udp" or "dns" only`},
		{"no source", "[vserver.health]\nsource = \"eth0\"", `:17: vserver[0].health.source: "eth0" is no IP address: give one of the node's, like`},
		{"source of the other family", "[vserver.health]\nsource = \"fd00::9\"", `:17: vserver[0].health.source: fd00::9 is not of the family of backend[0], 10.2.3.1: give an address`},
		{"source that is a SNIP", "[vserver.health]\nsource = \"10.2.2.1\"", `:17: vserver[0].health.source: 10.2.2.1 is a VIP or in nat.snips, whose packets don't reach`},
		{"source that is a VIP", "[vserver.health]\nsource = \"203.0.113.10\"", `:17: vserver[0].health.source: 203.0.113.10 is a VIP or in nat.snips`},
		{"server name", "[vserver.health]\ntype = \"https\"\nserver_name = \"a:443\"", `:18: vserver[0].health.server_name: "a:443": give a DNS name or an address, without a port`},
		{"path of an HTTPS check", "[vserver.health]\ntype = \"https\"\npath = \"x\"", `:18: vserver[0].health.path: "x": give an absolute path`},
		{"relative CA file", "[vserver.health]\ntype = \"https\"\nca_file = \"ca.pem\"", `:18: vserver[0].health.ca_file: "ca.pem": give an absolute path`},
		{"missing CA file", "[vserver.health]\ntype = \"https\"\nca_file = \"/nowhere/ca.pem\"", `:18: vserver[0].health.ca_file: stat /nowhere/ca.pem: no such file or directory: give a file with the CA's certificate in PEM form`},
		{"CA file that is a device", "[vserver.health]\ntype = \"https\"\nca_file = \"/dev/zero\"", `:18: vserver[0].health.ca_file: /dev/zero is no file: give a file with`},
		{"pattern", "[vserver.health]\ntype = \"http\"\nexpect_regexp = \"(\"", `:18: vserver[0].health.expect_regexp: "(": give at most 1024 bytes of a regular expression`},
		{"text and pattern", "[vserver.health]\ntype = \"http\"\nexpect = \"a\"\nexpect_regexp = \"a\"", `:19: vserver[0].health.expect_regexp: there is expect too: give one of them`},
		{"long datagram", "[vserver.health]\ntype = \"udp\"\nsend = \"" + strings.Repeat("x", 1025) + "\"", `:18: vserver[0].health.send: "x`},
		{"bad hexadecimal", "[vserver.health]\ntype = \"udp\"\nsend = \"hex:0\"", `:18: vserver[0].health.send: "hex:0": give pairs of hexadecimal digits`},
		{"query", "[vserver.health]\ntype = \"dns\"\nquery = \"a..b\"", `:18: vserver[0].health.query: "a..b": give a domain name`},
		{"query type", "[vserver.health]\ntype = \"dns\"\nquery_type = \"a\"", `:18: vserver[0].health.query_type: "a" is none of A, AAAA, CNAME`},
		{"response code", "[vserver.health]\ntype = \"dns\"\nrcode = \"NXDOMIAN\"", `:18: vserver[0].health.rcode: "NXDOMIAN" is none of FORMERR, NOERROR, NOTIMP, NXDOMAIN, REFUSED, SERVFAIL (did you mean "NXDOMAIN"?)`},
		{"path", "[vserver.health]\ntype = \"http\"\npath = \"health\"", `:18: vserver[0].health.path: "health": give an absolute path`},
		{"host", "[vserver.health]\ntype = \"http\"\nhost = \"a b\"", `:18: vserver[0].health.host: "a b": give a name or an address`},
		{"status", "[vserver.health]\ntype = \"http\"\nstatus_min = 300\nstatus_max = 200", ":19: vserver[0].health.status_max: 200: give 300 to 599"},
		{"empty check type", "[vserver.health]\ntype = \"\"", `:17: vserver[0].health.type: "" is none of none, tcp, http`},

		{"not TOML", "[engine", ":16: not TOML: "},
		{"not TOML, found at the end of its line", "[engine\n\n", ":16: not TOML: "},
		{"same key twice", "name = \"a\"", ":16: not TOML: "},
		{"too deep", "x = " + strings.Repeat("[", 50), ":16: nested more than 32 deep"},
	} {
		doc := base + c.add
		if strings.HasPrefix(c.add, "[nat]") {
			doc = c.add // a changed base
		}
		cfg, err := Parse("test.toml", []byte(doc))
		var e *Error
		if !errors.As(err, &e) || cfg != nil {
			t.Errorf("%s: config %v, error %v; want an *Error", c.name, cfg, err)
			continue
		}
		if got := err.Error(); !strings.HasPrefix(got, "test.toml"+c.want) || strings.Contains(got, "\n") {
			t.Errorf("%s: error\n%s\nwant only\ntest.toml%s...", c.name, got, c.want)
		}
	}
}

const goodKey = "795bb4027b204577c5950374ffb1b1f246ec1bed278d04beec08f68e387322d8ecfd957b2ada8e33"

// What is missing has no line, or that of the table it is missing from.
func TestParseEmpty(t *testing.T) {
	_, err := Parse("empty.toml", nil)
	want := `empty.toml: interface: none is on the client or the server plane: give one, with planes = ["client", "server"]`
	if err == nil || err.Error() != want {
		t.Errorf("error %v, want %s", err, want)
	}
}

// Everything is reported at once, in the order of the file.
func TestParseReportsAll(t *testing.T) {
	_, err := Load(filepath.Join("testdata", "wrong.toml"))
	if err == nil {
		t.Fatal("no error")
	}
	golden := filepath.Join("testdata", "wrong.golden")
	if *update {
		if err := os.WriteFile(golden, []byte(err.Error()+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, readErr := os.ReadFile(golden)
	if readErr != nil {
		t.Fatal(readErr)
	}
	if got := err.Error() + "\n"; got != string(want) {
		t.Errorf("got:\n%s\nwant (%s):\n%s", got, golden, want)
	}
}

func TestLoadSaysWhyNot(t *testing.T) {
	if _, err := Load(filepath.Join(t.TempDir(), "none.toml")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("missing file: error %v, want %v", err, os.ErrNotExist)
	}
	if _, err := Load(t.TempDir()); err == nil {
		t.Errorf("directory: no error")
	}
	if _, err := Load("/dev/zero"); err == nil || !strings.Contains(err.Error(), "larger than 64 MiB") {
		t.Errorf("endless file: error %v, want one about its size", err)
	}
}

// Defaults that depend on other settings.
func TestDependentDefaults(t *testing.T) {
	cfg, err := Parse("test.toml", []byte(base+second+`protocol = "udp"
[vserver.timeouts]
established = "1m"
[vserver.health]
interval = "500ms"
`))
	if err != nil {
		t.Fatal(err)
	}
	if tcp, udp := cfg.VServers[0].Health.Type, cfg.VServers[1].Health.Type; tcp != HealthTCP || udp != HealthNone {
		t.Errorf("health checks: tcp has %q, udp %q; want tcp and none", tcp, udp)
	}
	if to := cfg.VServers[1].Timeouts; to.HalfClosed != to.Established {
		t.Errorf("half_closed %v, want that of established, %v", to.HalfClosed, to.Established)
	}
	if h := cfg.VServers[1].Health; h.Timeout != h.Interval {
		t.Errorf("timeout %v, want that of interval, %v", h.Timeout, h.Interval)
	}
	if checks := cfg.Checks(); len(checks) != 1 || checks["web"].Validate() != nil {
		t.Errorf("checks %v, want one of web", checks)
	}
}

func FuzzParse(f *testing.F) {
	// Short ones: the fuzzer spends its time on shortening.
	f.Add(base + second)
	f.Add("[engine]\nengines = 2\ncpus = [0, 1]\nidle = \"busy\"\n[rss]\nkey = \"" + goodKey + "\"")
	f.Add("[[vserver]]\nhealth = {type = \"http\", interval = \"1s\"}\ntimeouts.replied = \"2s\"")
	f.Fuzz(func(t *testing.T, doc string) {
		cfg, err := Parse("fuzz.toml", []byte(doc))
		if err != nil {
			checkError(t, err, strings.Count(doc, "\n")+1)
			return
		}
		checkAccepted(t, cfg)
		again, err := Parse("fuzz.toml", []byte(doc))
		if err != nil || !reflect.DeepEqual(cfg, again) {
			t.Errorf("parsed again: %v, %+v\nwas %+v", err, again, cfg)
		}
	})
}

// checkError checks that an error of Parse is well formed.
func checkError(t *testing.T, err error, lines int) {
	t.Helper()
	var e *Error
	if !errors.As(err, &e) || len(e.Problems) == 0 {
		t.Fatalf("error %v is no *Error with problems", err)
	}
	last := 0
	for _, p := range e.Problems {
		if p.Line < last || p.Line > lines || p.Text == "" {
			t.Errorf("problem %+v after line %d of %d", p, last, lines)
		}
		last = p.Line
	}
}
