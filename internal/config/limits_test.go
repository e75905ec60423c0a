package config

import (
	"strings"
	"testing"

	"appliance/vserver"
)

// What a virtual server and its backends are limited to arrives there.
func TestLimits(t *testing.T) {
	text := strings.Replace(base, "port = 80", "port = 80\nmethod = \"leastconn\"\nmax_flows = 500", 1) + "max_flows = 100\n"
	cfg, err := Parse("test.toml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	s := cfg.Services().Services[0]
	if s.Method != vserver.LeastConn || s.MaxFlows != 500 || s.Backends[0].MaxFlows != 100 {
		t.Errorf("%+v", s)
	}
}

func TestBadLimits(t *testing.T) {
	for text, want := range map[string]string{
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
