package vserver

import (
	"fmt"
	"net/netip"
)

// A portsKey is whose ports must not be given twice.
type portsKey struct {
	vip   netip.Addr
	proto Protocol
	one   bool // single ports: they may lie within a range
}

// checkPorts checks a service's ports against those of the services before it:
// each port, and all ports, may be given once, and ranges must not overlap.
func (v *validator) checkPorts(path string, i int, s *ServiceConfig) {
	_, one := s.Port.One()
	key := portsKey{s.VIP, s.Protocol, one}
	taken := v.ports[key]
	if taken == nil {
		taken = new(portSpans)
		v.ports[key] = taken
	}
	first, twice := taken.meets(s.Port.First(), s.Port.Last())
	if s.Port == AllPorts {
		first, twice = taken.rest, taken.all
	}
	switch {
	case !s.Port.valid(): // has been said
	case !twice:
		taken.add(s.Port, uint32(i))
	case one, s.Port == AllPorts:
		v.clash(path+".vip", fmt.Sprintf("vserver[%d].vip", first), "%s port %s is served by vserver[%d] already", s.VIP, s.Port, first)
	default:
		v.clash(path+".port", fmt.Sprintf("vserver[%d].port", first),
			"%s overlaps the ports of vserver[%d]: give ranges of one VIP and protocol that have no port in common", s.Port, first)
	}
}

// clash is fail for a field that contradicts another.
func (v *validator) clash(path, other, format string, args ...any) {
	v.errs = append(v.errs, &FieldError{Path: path, Problem: fmt.Sprintf(format, args...), Other: other})
}
