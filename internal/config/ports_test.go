package config

import (
	"strings"
	"testing"

	"appliance/vserver"
)

// A port is a number; several are a string, and so may one be.
func TestPortForms(t *testing.T) {
	for form, want := range map[string]vserver.PortRange{
		`80`: 80, `"80"`: 80, `65535`: 65535,
		`"8000-8099"`: vserver.Ports(8000, 8099), `"*"`: vserver.AllPorts,
	} {
		text := strings.Replace(base, "port = 80", "port = "+form, 1) + "[vserver.health]\nport = 79\n"
		cfg, err := Parse("test.toml", []byte(text))
		if err != nil {
			t.Errorf("%s: %v", form, err)
			continue
		}
		if got := cfg.VServers[0].Port; got != want {
			t.Errorf("%s is %v, want %v", form, got, want)
		}
		if got := cfg.Checks()["web"].Port; got != 79 {
			t.Errorf("port %d is checked, want 79", got)
		}
	}
}

func TestBadPorts(t *testing.T) {
	ranged := strings.Replace(base, "port = 80", `port = "8000-8099"`, 1)
	unchecked := "[vserver.health]\ntype = \"none\"\n"
	again := func(port string) string {
		return ranged + unchecked + "[[vserver]]\nname = \"app\"\nvip = \"203.0.113.10\"\nport = " + port + "\n"
	}
	for name, c := range map[string]struct{ text, want string }{
		"fraction":         {strings.Replace(base, "port = 80", "port = 80.5", 1), `:12: vserver[0].port: 80.5: give a string, like "8000-8099", or a port without quotes`},
		"negative":         {strings.Replace(base, "port = 80", "port = -1", 1), `:12: vserver[0].port: port "-1": give 1 to 65535, a range`},
		"backwards":        {strings.Replace(base, "port = 80", `port = "90-80"`, 1), `:12: vserver[0].port: port "90-80": the last port comes first: give 1 to`},
		"overlap":          {again(`"8099-8100"`), `:21: vserver[1].port: 8099-8100 overlaps the ports of vserver[0]: give ranges of one VIP and protocol that have no port in common (line 12)`},
		"all, twice":       {strings.Replace(again(`"*"`), `"8000-8099"`, `"*"`, 1), `:20: vserver[1].vip: 203.0.113.10 port * is served by vserver[0] already (line 11)`},
		"no port to check": {ranged, `:9: vserver[0].health.port: there is none, and vserver[0].backend[0] serves all of 8000-8099: give the port to check, or type = "none"`},
		"port unchecked":   {base + unchecked + "port = 80\n", `:18: vserver[0].health.port: type is "none": port is for type "tcp", "http", "https", "udp" or "dns" only`},
	} {
		_, err := Parse("test.toml", []byte(c.text))
		if err == nil || !strings.HasPrefix(err.Error(), "test.toml"+c.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: error\n%v\nwant\ntest.toml%s", name, err, c.want)
		}
	}
	for name, text := range map[string]string{
		"a backend's own port is checked": ranged + "port = 8000\n",
		"within a range":                  again("8000"),
	} {
		if _, err := Parse("test.toml", []byte(text)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}
