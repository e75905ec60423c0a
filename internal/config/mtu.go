package config

import "slices"

// LoadHere is Load for the machine that the file is meant for: it also refuses
// what the machine's interfaces rule out. mtu returns an interface's MTU in
// bytes, and whether there is such an interface.
func LoadHere(path string, mtu func(iface string) (int, bool)) (*Config, error) {
	data, err := read(path)
	if err != nil {
		return nil, err
	}
	return parse(path, data, mtu)
}

// validateMTU refuses virtual servers whose mode doesn't leave the shortest
// packets enough room on any server interface. Where not all of them exist, the
// widest may be among the others.
func (c *Config) validateMTU(p *problems, mtu func(iface string) (int, bool)) {
	widest, name := 0, ""
	for _, i := range c.Interfaces {
		if !slices.Contains(i.Planes, PlaneServer) {
			continue
		}
		n, ok := mtu(i.Name)
		if !ok {
			return
		}
		if n > widest {
			widest, name = n, i.Name
		}
	}
	if widest == 0 {
		return // there is none, which is said elsewhere
	}
	for i := range c.VServers {
		s := c.VServers[i].service()
		for j := range s.Backends {
			if least := s.LeastMTU(s.Backends[j].Address); least > widest {
				p.add(element("vserver", i)+".mode", "%v needs an MTU of %d toward %s, and no server interface has more than %d: ip link set dev %s mtu %d",
					s.Mode, least, s.Backends[j].Address, widest, name, least)
				break
			}
		}
	}
}
