package vserver

import (
	"errors"
	"fmt"
	"math"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"appliance/vserver/flows"
)

func prefix(s string) netip.Prefix { return netip.MustParsePrefix(s) }

func TestValidate(t *testing.T) {
	for _, tc := range []struct {
		path   string // of the one field that is wrong; empty: none
		says   string
		change func(*Config)
	}{
		{"", "", func(*Config) {}},
		{"", "", func(c *Config) { c.Services = nil }},
		{"", "", func(c *Config) { c.Services[0].Backends = nil }},
		{"", "", func(c *Config) { c.Services[1].Port = c.Services[0].Port }}, // other protocol
		{"", "", func(c *Config) { c.Services[0].Mode, c.Services[0].Backends[0].Port = DSR, 80 }},
		{"", "", func(c *Config) {
			c.Services[0].Backends[1].Address, c.Services[0].Backends[1].Port = addrs("10.1.0.1")[0], 81
		}},
		{"rss.buckets", "power of two", func(c *Config) { c.Buckets = 4095 }},
		{"rss.buckets", "1024 to 16384", func(c *Config) { c.Buckets = 512 }},
		{"rss.buckets", "1024 to 16384", func(c *Config) { c.Buckets = -4096 }},
		{"answers.rate", "-1: give 0 to", func(c *Config) { c.AnswerRate = -1 }},
		{"answers.on_no_service", "unknown refusal 9", func(c *Config) { c.OnNoService = 9 }},
		{"nat.snips[1]", "listed twice", func(c *Config) { c.SNIPs[1] = c.SNIPs[0] }},
		{"nat.snips[0]", "route", func(c *Config) { c.SNIPs[0] = addrs("127.0.0.1")[0] }},
		{"nat.snips", "256", func(c *Config) {
			for a := addrs("10.77.0.1")[0]; len(c.SNIPs) <= MaxSNIPs; a = a.Next() {
				c.SNIPs = append(c.SNIPs, a)
			}
		}},
		{"vserver[0].backend", "there are 1025", func(c *Config) { c.Services[0].Backends = manyBackends(MaxBackends + 1) }},
		{"vserver", "1048577 backends in all", func(c *Config) {
			s := c.Services[0]
			s.Backends = manyBackends(MaxBackends)
			c.Services = c.Services[:1]
			c.Services[0].Backends = s.Backends[:1]
			for i := range MaxAllBackends / MaxBackends {
				s.Name, s.Port = fmt.Sprint("s", i), PortRange(1000+i)
				c.Services = append(c.Services, s)
			}
		}},
		{"vserver[2].name", "give 1 to 63", func(c *Config) { c.Services[2].Name = "" }},
		{"vserver[2].name", "give 1 to 63", func(c *Config) { c.Services[2].Name = strings.Repeat("x", 64) }},
		{"vserver[2].name", "use letters", func(c *Config) { c.Services[2].Name = "a b" }},
		{"vserver[2].name", "vserver[0]", func(c *Config) { c.Services[2].Name = c.Services[0].Name }},
		{"vserver[1].protocol", "unknown protocol 1", func(c *Config) { c.Services[1].Protocol = 1 }},
		{"vserver[1].mode", "unknown mode 7", func(c *Config) { c.Services[1].Mode = 7 }},
		{"vserver[1].method", "unknown method 7", func(c *Config) { c.Services[1].Method = 7 }},
		{"vserver[1].on_no_backend", "unknown", func(c *Config) { c.Services[1].OnNoBackend = 7 }},
		{"vserver[1].on_backend_down", "unknown", func(c *Config) { c.Services[1].OnBackendDown = 7 }},
		{"vserver[1].on_no_flow", "unknown", func(c *Config) { c.Services[1].OnNoFlow = 7 }},
		{"vserver[3].port", "1 to 65535", func(c *Config) { c.Services[3].Port = 0 }},
		{"vserver[0].vip", "no address", func(c *Config) { c.Services[0].VIP = netip.Addr{} }},
		{"vserver[2].vip", "write it as", func(c *Config) { c.Services[2].VIP = addrs("::ffff:1.2.3.4")[0] }},
		{"vserver[2].vip", "without zone", func(c *Config) { c.Services[2].VIP = c.Services[2].VIP.WithZone("eth0") }},
		{"vserver[0].vip", "SNIP", func(c *Config) { c.Services[0].VIP = c.SNIPs[0] }},
		{"vserver[0].mode", "nat.snips", func(c *Config) {
			c.SNIPs = c.SNIPs[2:]
			c.Services[1].Mode = DSR
		}},
		{"vserver[0].backend[1].name", "backend[0]", func(c *Config) { c.Services[0].Backends[1].Name = "b1" }},
		{"vserver[0].backend[1].name", "use letters", func(c *Config) { c.Services[0].Backends[1].Name = "é" }},
		{"vserver[0].backend[1].weight", "0 to 256", func(c *Config) { c.Services[0].Backends[1].Weight = 257 }},
		{"vserver[0].backend[1].weight", "0 to 256", func(c *Config) { c.Services[0].Backends[1].Weight = -1 }},
		{"vserver[0].backend[1].port", "dsr", func(c *Config) {
			c.Services[0].Mode, c.Services[0].Backends[1].Port = DSR, 81
		}},
		{"vserver[0].backend[1].address", "no address", func(c *Config) { c.Services[0].Backends[1].Address = netip.Addr{} }},
		{"vserver[0].backend[1].address", "route", func(c *Config) { c.Services[0].Backends[1].Address = addrs("224.0.0.1")[0] }},
		{"vserver[0].backend[1].address", "family", func(c *Config) { c.Services[0].Backends[1].Address = addrs("fd00:1::1")[0] }},
		{"vserver[0].backend[1].address", "the VIP", func(c *Config) { c.Services[0].Backends[1].Address = c.Services[0].VIP }},
		{"vserver[0].backend[1].address", "the VIP of another", func(c *Config) {
			c.Services[1].VIP = addrs("198.51.100.99")[0]
			c.Services[0].Backends[1].Address = c.Services[1].VIP
		}},
		{"vserver[0].backend[1].address", "nat.snips", func(c *Config) { c.Services[0].Backends[1].Address = c.SNIPs[0] }},
		{"vserver[0].backend[1].address", "10.1.0.1:80 is backend[0]", func(c *Config) {
			c.Services[0].Backends[1].Address, c.Services[0].Backends[1].Port = addrs("10.1.0.1")[0], 80
		}},
		{"", "", func(c *Config) { c.Services[0].Mode, c.Services[0].Backends[1].Address = GUE, addrs("fd00:1::1")[0] }},
		{"", "", func(c *Config) { c.Services[0].Mode, c.Encap.Sources = IPIP, c.Encap.Sources[:1] }},
		{"", "", func(c *Config) { c.Encap.Sources = nil }},
		{"vserver[0].backend[1].port", "ipip does not translate", func(c *Config) {
			c.Services[0].Mode, c.Services[0].Backends[1].Port = IPIP, 81
		}},
		{"vserver[0].backend[1].address", "gue needs a prefix of the backend's family", func(c *Config) {
			c.Services[0].Mode, c.Services[0].Backends[1].Address = GUE, addrs("fd00:1::1")[0]
			c.Encap.Sources = c.Encap.Sources[:1]
		}},
		{"vserver[0].backend[1].address", "is in 10.1.0.2/31 of encap.sources", func(c *Config) {
			c.Encap.Sources[0], c.Services = prefix("10.1.0.2/31"), c.Services[:1]
		}},
		{"nat.snips[0]", "is in 10.1.0.254/32 of encap.sources", func(c *Config) { c.Encap.Sources[0] = prefix("10.1.0.254/32") }},
		{"vserver[0].vip", "is in 198.51.100.0/24 of encap.sources", func(c *Config) {
			c.Encap.Sources[0], c.Services = prefix("198.51.100.0/24"), c.Services[:1]
		}},
		{"encap.sources[1]", "there is 10.200.1.0/24 already", func(c *Config) { c.Encap.Sources[1] = prefix("10.201.0.0/16") }},
		{"encap.sources[0]", "no prefix", func(c *Config) { c.Encap.Sources[0] = netip.Prefix{} }},
		{"encap.sources[0]", "write it as 10.200.1.0/24", func(c *Config) { c.Encap.Sources[0] = prefix("10.200.1.7/24") }},
		{"encap.sources[0]", "/8 or longer", func(c *Config) { c.Encap.Sources[0] = prefix("32.0.0.0/7") }},
		{"encap.sources[1]", "/16 or longer", func(c *Config) { c.Encap.Sources[1] = prefix("3ffe::/15") }},
		{"encap.sources[0]", "write it as an IPv4 address", func(c *Config) { c.Encap.Sources[0] = prefix("::ffff:10.0.0.0/104") }},
		{"encap.sources[1]", "route", func(c *Config) { c.Encap.Sources[1] = prefix("fe80::/64") }},
		{"vserver[0].mss_clamp", "536 to 65535", func(c *Config) { c.Services[0].MSSClamp = 535 }},
		{"vserver[0].timeouts.established", "2s to 24h", func(c *Config) { c.Services[0].Timeouts.Established = 25 * time.Hour }},
		{"vserver[0].timeouts.unreplied", "2s to 24h", func(c *Config) { c.Services[0].Timeouts.Unreplied = time.Second }},
		{"vserver[0].timeouts.half_closed", "no more than established", func(c *Config) {
			c.Services[0].Timeouts = Timeouts{HalfClosed: time.Hour, Established: time.Minute}
		}},
	} {
		cfg := testConfig(NAT, Maglev, 2)
		tc.change(&cfg)
		err := cfg.Validate()
		if tc.path == "" {
			if err != nil {
				t.Errorf("refused: %v", err)
			}
			continue
		}
		var fields []*FieldError
		if joined, ok := err.(interface{ Unwrap() []error }); ok {
			for _, e := range joined.Unwrap() {
				fields = append(fields, e.(*FieldError))
			}
		}
		if len(fields) != 1 || fields[0].Path != tc.path || !strings.Contains(fields[0].Problem, tc.says) {
			t.Errorf("want %s: ...%s..., got %v", tc.path, tc.says, err)
		}
	}
}

// What the parser drops may not be configured.
func TestAddressesThatNoPacketHas(t *testing.T) {
	for _, a := range addrs("0.1.2.3", "127.0.0.1", "224.0.0.1", "240.0.0.1", "255.255.255.255", "169.254.1.1",
		"::", "::1", "::5", "::1.2.3.4", "ff02::1", "fe80::1") {
		cfg := testConfig(NAT, Maglev, 2)
		i := 0
		if a.Is6() {
			i = 2
		}
		cfg.Services[i].VIP = a
		if err := cfg.Validate(); err == nil {
			t.Errorf("VIP %v is accepted", a)
		}
	}
}

func manyBackends(count int) (all []BackendConfig) {
	a := addrs("10.3.0.1")[0]
	for i := range count {
		all = append(all, BackendConfig{Name: fmt.Sprint("b", i), Address: a, Weight: 1})
		a = a.Next()
	}
	return all
}

func TestValidateFindsTheSecondOfAPort(t *testing.T) {
	cfg := testConfig(NAT, Maglev, 1)
	cfg.Services[1].Protocol = TCP
	var field *FieldError
	if err := cfg.Validate(); !errors.As(err, &field) || field.Path != "vserver[1].vip" {
		t.Errorf("got %v", err)
	}
	if want := "vserver: config: vserver[1].vip: 198.51.100.10 port 80 is served by vserver[0] already"; field.Error() != want {
		t.Errorf("got %q, want %q", field, want)
	}
}

func TestDefaults(t *testing.T) {
	cfg := Config{Services: []ServiceConfig{{Port: 53, Backends: []BackendConfig{{}, {Port: 5353}},
		Timeouts: Timeouts{Established: time.Minute}}}}
	cfg.SetDefaults()
	s := &cfg.Services[0]
	if cfg.Buckets != 4096 || cfg.AnswerRate != 1000 || s.Backends[0].Port != 53 || s.Backends[1].Port != 5353 {
		t.Errorf("%+v", cfg)
	}
	want := DefaultTimeouts()
	want.Established, want.HalfClosed = time.Minute, time.Minute
	if s.Timeouts != want {
		t.Errorf("timeouts %+v, want %+v", s.Timeouts, want)
	}
	if s.Mode != NAT || s.Method != Maglev || s.OnNoFlow != Reject {
		t.Error("the zero choices are not the defaults")
	}
}

// What this room allows, the flow table must take.
func TestTimeoutsSuitTheFlowTable(t *testing.T) {
	d := DefaultTimeouts()
	if got := d.ticks(); got != flows.DefaultTimeouts {
		t.Errorf("defaults became %+v", got)
	}
	for _, d := range []time.Duration{MinTimeout, MaxTimeout} {
		all := Timeouts{d, d, d, d, d}
		if err := all.ticks().Validate(); err != nil {
			t.Error(err)
		}
	}
}

func TestChoices(t *testing.T) {
	var m Mode
	if err := m.UnmarshalText([]byte("dsr")); err != nil || m != DSR || m.String() != "dsr" {
		t.Errorf("dsr: %v, %v", m, err)
	}
	err := m.UnmarshalText([]byte("DSR"))
	if err == nil || err.Error() != `mode "DSR" is none of nat, dsr, ipip, gue` || m != DSR {
		t.Errorf("DSR: %v, %v", m, err)
	}
	var p Protocol
	var method Method
	var r Refusal
	if p.UnmarshalText([]byte("udp")) != nil || method.UnmarshalText([]byte("roundrobin")) != nil || r.UnmarshalText([]byte("silence")) != nil {
		t.Error("a name is unknown")
	}
	if got := []string{p.String(), method.String(), r.String(), Refusal(5).String()}; !slices.Equal(got, []string{"udp", "roundrobin", "silence", "unknown refusal 5"}) {
		t.Error(got)
	}
}

func TestLimiter(t *testing.T) {
	var l limiter
	if l.open(math.MaxInt32) {
		t.Error("the zero limiter is open")
	}
	l.set(MaxAnswerRate)
	now := int64(time.Hour)
	for range MaxAnswerRate {
		if !l.open(now) {
			t.Fatal("shut before its rate")
		}
		l.take(now)
	}
	if l.open(now) {
		t.Error("open beyond its rate")
	}
}
