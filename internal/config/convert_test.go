package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"appliance/engine"
	"appliance/engine/xdp"
	"appliance/engine/xsk"
	"appliance/rss"
	"appliance/vserver"
	"appliance/vserver/health"
)

// checkAccepted checks that the rooms accept what Parse accepted.
func checkAccepted(t testing.TB, cfg *Config) {
	t.Helper()
	e := cfg.EngineConfig()
	if err := e.Validate(); err != nil {
		t.Errorf("engine refuses: %v", err)
	}
	services := cfg.Services()
	if err := services.Validate(); err != nil {
		t.Errorf("vserver refuses: %v", err)
	}
	for name, check := range cfg.Checks() {
		if err := check.Validate(); err != nil {
			t.Errorf("health refuses the check of %s: %v", name, err)
		}
	}
	if key := cfg.RSS.Key; key != (rss.Key{}) {
		if _, err := rss.NewPorts(rss.NewHasher(key), true, cfg.RSS.Buckets); err != nil {
			t.Errorf("rss refuses: %v", err)
		}
	}
	if changes, restart := Diff(cfg, cfg); len(changes)+len(restart) != 0 {
		t.Errorf("differs from itself: %v", changes)
	}
}

func TestConversionsKeepEverything(t *testing.T) {
	cfg, err := Parse("test.toml", []byte(strings.NewReplacer("[[interface]]\nname = \"eth0\"", "return_to_sender = true\n[[interface]]\nname = \"eth0\"", "port = 80", "port = 80\nmss_clamp = 1400").Replace(base)+`
port = 8080
weight = 3
[encap]
sources = ["10.200.0.0/24", "fd00:200::/64"]
gue_port = 7000
[vserver.health]
type = "http"
host = "example.org"
[vserver.timeouts]
replied = "7s"
[engine]
engines = 2
cpus = [4, 5]
idle = "busypoll"
batch = 32
[answers]
rate = 5
on_no_service = "silence"
[rss]
buckets = 1024
`))
	if err != nil {
		t.Fatal(err)
	}
	checkAccepted(t, cfg)
	e := cfg.EngineConfig()
	if e.Engines != 2 || e.Idle != engine.BusyPoll || e.Batch != 32 || e.CPUs[1] != 5 || e.Interfaces != 2 || e.Handoff == 0 {
		t.Errorf("engine: %+v", e)
	}
	s := cfg.Services()
	if s.Buckets != 1024 || s.AnswerRate != 5 || s.OnNoService != vserver.Silence || len(s.SNIPs) != 2 || !s.ReturnToSender || s.ServerPlane != 0b10 {
		t.Errorf("vserver: %+v", s)
	}
	if e := s.Encap; len(e.Sources) != 2 || e.Sources[1].String() != "fd00:200::/64" || e.GUEPort != 7000 {
		t.Errorf("encap: %+v", e)
	}
	web := s.Services[0]
	if web.Name != "web" || web.VIP.String() != "203.0.113.10" || web.Port != 80 || web.Timeouts.Replied != 7*time.Second || web.MSSClamp != 1400 {
		t.Errorf("virtual server: %+v", web)
	}
	if b := web.Backends[0]; b.Name != "web1" || b.Address.String() != "10.2.3.1" || b.Port != 8080 || b.Weight != 3 {
		t.Errorf("backend: %+v", b)
	}
	want := health.DefaultCheck(health.HTTP)
	want.Host = "example.org"
	if check := cfg.Checks()["web"]; check != want {
		t.Errorf("check: %+v, want %+v", check, want)
	}
}

// Words that other packages have types for are converted, every one.
func TestWordsOfRooms(t *testing.T) {
	for _, name := range Idle("").choices() {
		if _, err := engine.ParseIdle(name); err != nil {
			t.Errorf("idle %q: %v", name, err)
		}
	}
	for word, want := range map[ZeroCopy]xsk.ZeroCopy{ZeroCopyAuto: xsk.ZeroCopyAuto, ZeroCopyOff: xsk.ZeroCopyOff, ZeroCopyRequire: xsk.ZeroCopyRequire} {
		if got := word.XSK(); got != want {
			t.Errorf("zero_copy %q: %v, want %v", word, got, want)
		}
	}
	for word, want := range map[XDPMode]xdp.Mode{ModeAuto: xdp.Auto, ModeNative: xdp.Native, ModeGeneric: xdp.Generic} {
		if got := word.XDP(); got != want {
			t.Errorf("mode %q: %v, want %v", word, got, want)
		}
	}
	for _, name := range Level("").choices() {
		if got := Level(name).Slog().String(); !strings.EqualFold(got, name) {
			t.Errorf("level %q: %s", name, got)
		}
	}
}

// A health check passes here exactly if it passes in package health.
func TestHealthRulesAreThoseOfTheRoom(t *testing.T) {
	ca, err := health.ParseCA(certificate(t))
	if err != nil {
		t.Fatal(err)
	}
	durations := rapid.SampledFrom([]time.Duration{-1, 0, 1, 9 * time.Millisecond, 10 * time.Millisecond, time.Second, time.Hour, time.Hour + 1})
	counts := rapid.IntRange(-1, maxChecks)
	status := rapid.SampledFrom([]int{0, 199, 200, 300, 599, 600})
	long := strings.Repeat("x", health.MaxBytes+1)
	rapid.Check(t, func(r *rapid.T) {
		oneOf := func(key string, values ...string) string { return rapid.SampledFrom(values).Draw(r, key) }
		h := Health{
			Type:     rapid.SampledFrom(anyCheck).Draw(r, "type"),
			Interval: durations.Draw(r, "interval"), Timeout: durations.Draw(r, "timeout"),
			Rise: counts.Draw(r, "rise"), Fall: counts.Draw(r, "fall"),
			Path: oneOf("path", "", "/", "x", "/a?b", "/%", "*"), Host: oneOf("host", "", "a", "a b", "a/b", "[::1]:80"),
			StatusMin: status.Draw(r, "min"), StatusMax: status.Draw(r, "max"),
			ServerName: oneOf("server name", "", "a", "::1", "a:1", "a b"),
			Insecure:   rapid.Bool().Draw(r, "insecure"),
			Expect:     Payload(oneOf("expect", "", "x", long)), ExpectRegexp: oneOf("pattern", "", "x", "(", long),
			Send: Payload(oneOf("send", "", "\x00", long)), RequireAnswer: rapid.Bool().Draw(r, "require"),
			Query: oneOf("query", "", ".", "a", "a..b", "a b"), QueryType: "A", RCode: "NOERROR",
		}
		if rapid.Bool().Draw(r, "CA") {
			h.CAFile = CAFile{Path: "/ca.pem", CA: ca}
		}
		p := problems{known: make(map[string]bool)}
		h.validate(&p, "health")
		if here, there := p.err("test"), h.check().Validate(); (here == nil) != (there == nil) {
			r.Fatalf("here: %v\nin package health: %v", here, there)
		}
	})
}

func TestHashKey(t *testing.T) {
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte("an example of a secret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	derived, err := rss.DeriveKey([]byte("an example of a secret"), "site-a", 1)
	if err != nil {
		t.Fatal(err)
	}
	given, err := rss.ParseKey(goodKey)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		rss  RSS
		want rss.Key
	}{
		{"given", RSS{Key: given}, given},
		{"derived", RSS{SecretFile: secret, Cluster: "site-a"}, derived},
	} {
		cfg := Config{RSS: c.rss}
		if got, err := cfg.HashKey(); err != nil || got != c.want {
			t.Errorf("%s: %x, %v; want %x", c.name, got[:], err, c.want[:])
		}
	}
	for _, kept := range []string{"", filepath.Join(t.TempDir(), "state", "key")} {
		cfg := Config{RSS: RSS{StateFile: kept}}
		first, err := cfg.HashKey()
		if err != nil || first.Degenerate() != nil {
			t.Errorf("drawn: %x, %v", first[:], err)
		}
		second, err := cfg.HashKey()
		if same := second == first; err != nil || same != (kept != "") {
			t.Errorf("state file %q: the same key again %v, %v", kept, same, err)
		}
		if info, err := os.Stat(kept); kept != "" && (err != nil || info.Mode().Perm() != 0o600) {
			t.Errorf("state file: %v, %v", info.Mode(), err)
		}
	}
}

func TestHashKeySaysWhyNot(t *testing.T) {
	dir := t.TempDir()
	short := filepath.Join(dir, "short")
	if err := os.WriteFile(short, []byte("short\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{short, filepath.Join(dir, "none")} {
		cfg := Config{RSS: RSS{SecretFile: file, Cluster: "site-a"}}
		if _, err := cfg.HashKey(); err == nil || !strings.Contains(err.Error(), file) {
			t.Errorf("%s: error %v, want one that names the file", file, err)
		}
	}
	for _, file := range []string{short, filepath.Join(short, "below a file"), dir} {
		cfg := Config{RSS: RSS{StateFile: file}}
		if _, err := cfg.HashKey(); err == nil || !strings.Contains(err.Error(), file) {
			t.Errorf("state file %s: error %v, want one that names the file", file, err)
		}
	}
}
