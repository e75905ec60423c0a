package config

import (
	"strings"
	"testing"
	"time"

	"appliance/vserver"
)

// What a virtual server and its backends are limited to arrives there.
func TestLimits(t *testing.T) {
	text := strings.Replace(base, "port = 80", "port = 80\nmethod = \"leastconn\"\nmax_flows = 500\nmin_healthy = 1\nslow_start = \"30s\"\non_backend_down = \"reset\"", 1) +
		"max_flows = 100\n[[vserver.backend]]\nname = \"spare\"\naddress = \"10.2.3.2\"\nbackup = true\n"
	cfg, err := Parse("test.toml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	s := cfg.Services().Services[0]
	if s.OnBackendDown != vserver.Sever || s.MinHealthy != 1 || s.SlowStart != 30*time.Second || s.Backends[0].Backup || !s.Backends[1].Backup {
		t.Errorf("%+v", s)
	}
	if s.Method != vserver.LeastConn || s.MaxFlows != 500 || s.Backends[0].MaxFlows != 100 {
		t.Errorf("%+v", s)
	}
}

func TestPersistence(t *testing.T) {
	for add, want := range map[string]vserver.Persistence{
		"":                {By: vserver.None, Prefix4: 32, Prefix6: 64},
		"by = \"source\"": {By: vserver.BySource, Prefix4: 32, Prefix6: 64},
		"by = \"source\"\nprefix4 = 24\nprefix6 = 48\ntimeout = \"10m\"": {By: vserver.BySource, Prefix4: 24, Prefix6: 48, Timeout: 10 * time.Minute},
	} {
		cfg, err := Parse("test.toml", []byte(base+"[vserver.persistence]\n"+add))
		if err != nil {
			t.Fatal(err)
		}
		if got := cfg.Services().Services[0].Persistence; got != want {
			t.Errorf("%s: %+v, want %+v", add, got, want)
		}
	}
}

func TestBadLimits(t *testing.T) {
	for text, want := range map[string]string{
		strings.Replace(base, "port = 80", "port = 80\non_backend_down = \"drop\"", 1):                                           `:13: vserver[0].on_backend_down: on_backend_down "drop" is none of keep, reset`,
		base + "[vserver.persistence]\nby = \"cookie\"\n":                                                                        `:17: vserver[0].persistence.by: persistence "cookie" is none of none, source`,
		base + "[vserver.persistence]\ntimeout = \"1s\"\n":                                                                       `:17: vserver[0].persistence.timeout: 1s: give 10s to 24h0m0s, or 0s for none`,
		base + "[vserver.persistence]\nprefix4 = 0\n":                                                                            `:17: vserver[0].persistence.prefix4: 0: give 1 to 32`,
		base + "[vserver.persistence]\nprefix6 = 129\n":                                                                          `:17: vserver[0].persistence.prefix6: 129: give 1 to 128`,
		strings.Replace(base, "port = 80", "port = 80\nmethod = \"roundrobin\"", 1) + "[vserver.persistence]\nby = \"source\"\n": `:18: vserver[0].persistence.by: source, but method is roundrobin: persistence chooses by hash, so give method maglev`,
		base + "backup = true\n": `:16: vserver[0].backend[0].backup: every backend is a backup`,
		strings.Replace(base, "port = 80", "port = 80\nmin_healthy = 0", 1):     `:13: vserver[0].min_healthy: 0: give 1 to 1024`,
		strings.Replace(base, "port = 80", "port = 80\nmin_healthy = 2", 1):     `:13: vserver[0].min_healthy: 2: give 1 to 1, as many as can serve at a time`,
		strings.Replace(base, "port = 80", "port = 80\nslow_start = \"2h\"", 1): `:13: vserver[0].slow_start: 2h0m0s: give 1s to 1h0m0s, or 0s for none`,
		base + "max_flows = -1\n": `:16: vserver[0].backend[0].max_flows: -1: give 0 to 1073741824`,
		strings.Replace(base, "port = 80", "port = 80\nmax_flows = 2000000000", 1): `:13: vserver[0].max_flows: 2000000000: give 0 to 1073741824`,
		strings.Replace(base, "port = 80", "port = 80\nmethod = \"leastcon\"", 1):  `:13: vserver[0].method: method "leastcon" is none of maglev, roundrobin, leastconn`,
	} {
		_, err := Parse("test.toml", []byte(text))
		if err == nil || !strings.HasPrefix(err.Error(), "test.toml"+want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("error\n%v\nwant\ntest.toml%s", err, want)
		}
	}
}
