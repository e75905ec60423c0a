package config

import (
	"fmt"
	"testing"
)

// An address is a prefix of one, and a whole family can be denied.
func TestDenied(t *testing.T) {
	cfg, err := Parse("test.toml", []byte(base+`[deny]
prefixes = ["10.0.0.0/8", "0.0.0.0/0", "2000::/3", "2001:db8::1", "192.0.2.1"]`))
	if err != nil {
		t.Fatal(err)
	}
	want := "[10.0.0.0/8 0.0.0.0/0 2000::/3 2001:db8::1/128 192.0.2.1/32]"
	if got := fmt.Sprint(cfg.Denied()); got != want {
		t.Errorf("denied are %s, want %s", got, want)
	}
}
