package health

import (
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"
)

func TestDefaultChecksAreValid(t *testing.T) {
	for _, kind := range []Type{TCP, HTTP, HTTPS, UDP, DNS} {
		if err := DefaultCheck(kind).Validate(); err != nil {
			t.Errorf("default %s check: %v", kind, err)
		}
	}
}

func TestValidate(t *testing.T) {
	cases := []struct {
		name   string
		kind   Type
		change func(*Check)
		ok     bool
	}{
		{"unknown type", TCP, func(c *Check) { c.Type = "icmp" }, false},
		{"interval too short", TCP, func(c *Check) { c.Interval, c.Timeout = time.Millisecond, time.Millisecond }, false},
		{"interval too long", TCP, func(c *Check) { c.Interval = 2 * time.Hour }, false},
		{"shortest interval", TCP, func(c *Check) { c.Interval, c.Timeout = MinInterval, MinInterval }, true},
		{"no timeout", TCP, func(c *Check) { c.Timeout = 0 }, false},
		{"timeout above interval", TCP, func(c *Check) { c.Timeout = c.Interval + 1 }, false},
		{"rise 0", TCP, func(c *Check) { c.Rise = 0 }, false},
		{"fall 0", TCP, func(c *Check) { c.Fall = 0 }, false},
		{"path on tcp", TCP, func(c *Check) { c.Path = "/" }, false},
		{"host on tcp", TCP, func(c *Check) { c.Host = "example.org" }, false},
		{"no path", HTTP, func(c *Check) { c.Path = "" }, false},
		{"relative path", HTTP, func(c *Check) { c.Path = "health" }, false},
		{"whole URL", HTTP, func(c *Check) { c.Path = "http://example.org/" }, false},
		{"bad escape", HTTP, func(c *Check) { c.Path = "/%zz" }, false},
		{"path with line break", HTTP, func(c *Check) { c.Path = "/a\r\nX: y" }, false},
		{"path with query", HTTP, func(c *Check) { c.Path = "/a%2fb?c=d" }, true},
		{"host with line break", HTTP, func(c *Check) { c.Host = "a\r\nX: y" }, false},
		{"host with path", HTTP, func(c *Check) { c.Host = "example.org/x" }, false},
		{"host with port", HTTP, func(c *Check) { c.Host = "example.org:8080" }, true},
		{"status below", HTTP, func(c *Check) { c.StatusMin = 100 }, false},
		{"status above", HTTP, func(c *Check) { c.StatusMax = 600 }, false},
		{"status reversed", HTTP, func(c *Check) { c.StatusMin, c.StatusMax = 300, 299 }, false},
		{"CA of http", HTTP, func(c *Check) { c.CA = newCA(t).ca }, false},
		{"insecure http", HTTP, func(c *Check) { c.Insecure = true }, false},
		{"datagram on http", HTTP, func(c *Check) { c.Send = "x" }, false},
		{"text to expect", HTTP, func(c *Check) { c.Expect = "ok" }, true},
		{"pattern to expect", HTTP, func(c *Check) { c.ExpectRegexp = "^ok$" }, true},
		{"bad pattern", HTTP, func(c *Check) { c.ExpectRegexp = "(" }, false},
		{"text and pattern", HTTP, func(c *Check) { c.Expect, c.ExpectRegexp = "ok", "ok" }, false},
		{"much to expect", UDP, func(c *Check) { c.Expect = strings.Repeat("x", MaxBytes+1) }, false},
		{"text to expect of tcp", TCP, func(c *Check) { c.Expect = "ok" }, false},
		{"CA", HTTPS, func(c *Check) { c.CA = newCA(t).ca }, true},
		{"insecure", HTTPS, func(c *Check) { c.Insecure = true }, true},
		{"CA and insecure", HTTPS, func(c *Check) { c.CA, c.Insecure = newCA(t).ca, true }, false},
		{"server name", HTTPS, func(c *Check) { c.ServerName = "www.example.org" }, true},
		{"server address", HTTPS, func(c *Check) { c.ServerName = "2001:db8::1" }, true},
		{"server name with port", HTTPS, func(c *Check) { c.ServerName = "www.example.org:443" }, false},
		{"https without path", HTTPS, func(c *Check) { c.Path = "" }, false},
		{"most to send", UDP, func(c *Check) { c.Send = strings.Repeat("x", MaxBytes) }, true},
		{"too much to send", UDP, func(c *Check) { c.Send = strings.Repeat("x", MaxBytes+1) }, false},
		{"query on udp", UDP, func(c *Check) { c.Query = "." }, false},
		{"query without dot", DNS, func(c *Check) { c.Query = "www.example.org" }, true},
		{"query with dot", DNS, func(c *Check) { c.Query = "www.example.org." }, true},
		{"empty label", DNS, func(c *Check) { c.Query = "www..org" }, false},
		{"long label", DNS, func(c *Check) { c.Query = strings.Repeat("x", 64) + ".org" }, false},
		{"long name", DNS, func(c *Check) { c.Query = strings.Repeat("xxx.", 64) + "org" }, false},
		{"space in a name", DNS, func(c *Check) { c.Query = "a b.org" }, false},
		{"query type", DNS, func(c *Check) { c.QueryType = "a" }, false},
		{"response code", DNS, func(c *Check) { c.RCode = "" }, false},
		{"status single", HTTP, func(c *Check) { c.StatusMin, c.StatusMax = 204, 204 }, true},
	}
	for _, c := range cases {
		check := DefaultCheck(c.kind)
		c.change(&check)
		err := check.Validate()
		if (err == nil) != c.ok || err != nil && !errors.Is(err, ErrBadTarget) {
			t.Errorf("%s: error %v, want ok %v", c.name, err, c.ok)
		}
	}
}

func TestSetTargetsRefuses(t *testing.T) {
	good := Target{Service: "web", Backend: "b1", Addr: netip.MustParseAddrPort("192.0.2.1:80"), Check: DefaultCheck(TCP)}
	noPort, badCheck, badSource := good, good, good
	badSource.Check.Source = netip.MustParseAddr("2001:db8::1")
	noPort.Addr = netip.MustParseAddrPort("192.0.2.1:0")
	badCheck.Check.Rise = 0
	c := New(Config{})
	defer c.Close()
	for name, targets := range map[string][]Target{
		"no address": {{Service: "web", Backend: "b1", Check: DefaultCheck(TCP)}},
		"no port":    {noPort},
		"bad check":  {badCheck},
		"bad source": {badSource},
		"twice":      {good, good},
	} {
		if err := c.SetTargets(targets); !errors.Is(err, ErrBadTarget) {
			t.Errorf("%s: error %v, want ErrBadTarget", name, err)
		}
		if n := len(c.Status()); n != 0 {
			t.Errorf("%s: %d targets are checked after an error", name, n)
		}
	}
}
