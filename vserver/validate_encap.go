package vserver

import (
	"fmt"
	"net/netip"
)

// Shortest prefixes of encap.sources, in bits: what is shorter is no site's own.
const (
	minSourceBits4 = 8
	minSourceBits6 = 16
)

// checkSources checks encap.sources, one by one and against each other.
func (v *validator) checkSources(sources []netip.Prefix) {
	first := map[bool]netip.Prefix{} // of IPv4 or not
	for i, p := range sources {
		path := fmt.Sprintf("encap.sources[%d]", i)
		least := minSourceBits6
		if p.Addr().Is4() {
			least = minSourceBits4
		}
		switch other, twice := first[p.Addr().Is4()]; {
		case !p.IsValid():
			v.fail(path, "there is no prefix: give one, like 10.200.1.0/24 or fd00:200::/64")
		case !v.checkAddr(path, p.Masked().Addr()):
		case p.Bits() < least:
			v.fail(path, "%s: give a prefix of /%d or longer, of addresses that nobody has", p, least)
		case p != p.Masked():
			v.fail(path, "%s: write it as %s", p, p.Masked())
		case twice:
			v.fail(path, "%s: there is %s already: give one prefix for each family", p, other)
		default:
			first[p.Addr().Is4()] = p
		}
	}
}

// checkOutside refuses an address that lies in encap.sources.
func (v *validator) checkOutside(path string, a netip.Addr) {
	if p, in := v.encap.holds(a); in {
		v.fail(path, "%s is in %s of encap.sources: those addresses serve nothing else", a, p)
	}
}

// checkTunnel checks that packets to a backend have a source.
func (v *validator) checkTunnel(path string, m Mode, backend netip.Addr) {
	if _, ok := v.encap.source(backend); !ok {
		v.fail(path, "%s: %v needs a prefix of the backend's family in encap.sources", backend, m)
	}
}

func (v *validator) checkClamp(path string, mss uint16) {
	if mss != 0 && mss < MinMSSClamp {
		v.fail(path, "%d: give 0 for none, or %d to 65535", mss, MinMSSClamp)
	}
}
