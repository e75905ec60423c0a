package vserver

import (
	"net/netip"

	"appliance/internal/fib"
)

// The shortest packets that every path must take, in bytes: a sender that is
// told of less can't do with it.
const (
	leastMTU4 = 576  // RFC 791 section 3.1, RFC 1122 section 3.3.3
	leastMTU6 = 1280 // RFC 8200 section 5
)

// LeastMTU returns the least MTU of a path to a backend in ipip and gue with
// which the service works at all: with it, the shortest packets that clients
// can be told to send fit into the tunnel. It is 0 in other modes.
func (s *ServiceConfig) LeastMTU(backend netip.Addr) int {
	if !s.Mode.tunnels() {
		return 0
	}
	to := (&EncapConfig{GUEPort: DefaultGUEPort}).tunnelTo(s, backend)
	if s.VIP.Is4() {
		return leastMTU4 + to.Overhead()
	}
	return leastMTU6 + to.Overhead()
}

// A Narrow is a backend whose path is too narrow for the service's mode.
type Narrow struct {
	Service, Backend string
	MTU, Least       int // of the path: what it has, and what it needs
}

// Narrow returns the backends whose paths, as the routing table has them, have
// less than LeastMTU.
func (s *Services) Narrow() []Narrow {
	var all []Narrow
	for _, slot := range s.list {
		svc := &s.services[slot]
		for _, slot := range svc.list {
			be := &s.backends[slot]
			if be.found == fib.NoRoute {
				continue
			}
			if mtu, least := int(be.next.MTU), svc.config.LeastMTU(be.config.Address); mtu < least {
				all = append(all, Narrow{svc.config.Name, be.config.Name, mtu, least})
			}
		}
	}
	return all
}
