package config

import (
	"net/netip"

	"appliance/engine/xdp"
)

// Deny is whose packets to VIPs are dropped.
type Deny struct {
	Prefixes []Denied `toml:"prefixes"`
}

// Denied is a prefix whose packets to VIPs are dropped. An address alone is a
// prefix of one.
type Denied struct{ netip.Prefix }

// UnmarshalText reads a prefix, or an address.
func (d *Denied) UnmarshalText(text []byte) (err error) {
	d.Prefix, err = xdp.ParseDenied(string(text))
	return err
}

// Denied returns the prefixes that [deny] lists.
func (c *Config) Denied() []netip.Prefix {
	list := make([]netip.Prefix, len(c.Deny.Prefixes))
	for i, d := range c.Deny.Prefixes {
		list[i] = d.Prefix
	}
	return list
}

func (d *Deny) validate(p *problems) {
	if len(d.Prefixes) > xdp.MaxDenied {
		p.add("deny.prefixes", "there are %d, at most %d can be", len(d.Prefixes), xdp.MaxDenied)
		return
	}
	listed := make(map[Denied]bool)
	for i, one := range d.Prefixes {
		if one.IsValid() && listed[one] {
			p.add(element("deny.prefixes", i), "%v is listed twice", one)
		}
		listed[one] = true
	}
}
