package node

import (
	"cmp"
	"fmt"
	"net/netip"

	"appliance/engine/xdp"
	"appliance/vserver/health"
)

// targets are what is to be health-checked.
func (s *Services) targets() []health.Target {
	var list []health.Target
	for _, svc := range s.Services.Services {
		check, ok := s.Checks[svc.Name]
		if !ok {
			continue
		}
		for _, b := range svc.Backends {
			port := cmp.Or(check.Port, b.Port, svc.Port.First())
			target := health.Target{Service: svc.Name, Backend: b.Name, Addr: netip.AddrPortFrom(b.Address, port), Check: check}
			target.Check.Port = 0 // checks of the same port are shared, whoever says it
			list = append(list, target)
		}
	}
	return list
}

// serving marks those targets whose backends s has without a check.
func (s *Services) serving(targets []health.Target) []health.Target {
	type backend struct {
		service, name string
		addr          netip.Addr
	}
	unchecked := map[backend]bool{}
	for _, svc := range s.Services.Services {
		_, checked := s.Checks[svc.Name]
		for _, b := range svc.Backends {
			unchecked[backend{svc.Name, b.Name, b.Address}] = !checked
		}
	}
	for i := range targets {
		t := &targets[i]
		t.Serving = unchecked[backend{t.Service, t.Backend, t.Addr.Addr()}]
	}
	return targets
}

// kinds says which addresses the XDP programs redirect.
func (s *Services) kinds() map[netip.Addr]xdp.Kind {
	k := map[netip.Addr]xdp.Kind{}
	for _, a := range s.Services.SNIPs {
		k[a] = xdp.SNIP
	}
	for _, svc := range s.Services.Services {
		k[svc.VIP] = xdp.VIP
	}
	return k
}

// backends are whose neighbours the kernel is to keep resolved.
func (s *Services) backends() []netip.Addr {
	var list []netip.Addr
	for _, svc := range s.Services.Services {
		for _, b := range svc.Backends {
			list = append(list, b.Address)
		}
	}
	return list
}

// notOwn refuses VIPs that are addresses of the node's kernel: it would answer
// their clients itself whenever the packets don't reach an engine.
func (s *Services) notOwn(addrs []netip.Prefix) error {
	own := make(map[netip.Addr]bool, len(addrs))
	for _, a := range addrs {
		own[a.Addr()] = true
	}
	for _, svc := range s.Services.Services {
		if own[svc.VIP] {
			return fmt.Errorf("vserver %s: VIP %s is an address of this node, whose kernel would answer for it: ip addr del %s dev IF, and route it here instead",
				svc.Name, svc.VIP, svc.VIP)
		}
	}
	return nil
}
