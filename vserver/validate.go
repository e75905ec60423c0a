package vserver

import (
	"errors"
	"fmt"
	"net/netip"
	"time"

	"appliance/engine/packet"
	"appliance/rss"
)

// A FieldError says what is wrong with one field of a Config, and what would be
// right. Path names the field as the configuration file does, with indices from
// 0: "vserver[2].backend[0].port".
type FieldError struct {
	Path    string
	Problem string
	Other   string // the field that it contradicts, where another table has it
}

// Error returns path and problem.
func (e *FieldError) Error() string { return "vserver: config: " + e.Path + ": " + e.Problem }

// Validate returns nil, or all that is wrong with c: joined errors (errors.Join),
// each a *FieldError. It judges c as it will be once SetDefaults was called.
func (c *Config) Validate() error {
	v := validator{
		encap: &c.Encap,
		snips: map[netip.Addr]bool{}, vips: map[netip.Addr]bool{},
		ports: map[portsKey]*portSpans{}, names: map[string]int{},
	}
	for i := range c.Services {
		v.vips[c.Services[i].VIP] = true
	}
	if b := c.Buckets; b != 0 && (b < rss.MinBuckets || b > rss.MaxBuckets || b&(b-1) != 0) {
		v.fail("rss.buckets", "%d: give a power of two from %d to %d", b, rss.MinBuckets, rss.MaxBuckets)
	}
	v.between("answers.rate", c.AnswerRate, 0, MaxAnswerRate)
	v.checkLimits(&c.Limits)
	check(&v, "answers.on_no_service", &refusals, c.OnNoService)
	v.checkSNIPs(c.SNIPs)
	v.checkSources(c.Encap.Sources)
	v.count("vserver", len(c.Services), MaxServices)
	backends := 0
	for i := range c.Services {
		v.checkService(i, &c.Services[i])
		backends += len(c.Services[i].Backends)
	}
	if backends > MaxAllBackends {
		v.fail("vserver", "they have %d backends in all, at most %d can be", backends, MaxAllBackends)
	}
	return errors.Join(v.errs...)
}

// A validator collects what is wrong, and remembers what must be unique.
type validator struct {
	errs  []error
	encap *EncapConfig
	snips map[netip.Addr]bool
	vips  map[netip.Addr]bool
	ports map[portsKey]*portSpans // -> indices of the services, as slots
	names map[string]int          // -> index of the service
}

func (v *validator) fail(path, format string, args ...any) {
	v.errs = append(v.errs, &FieldError{Path: path, Problem: fmt.Sprintf(format, args...)})
}

func (v *validator) between(path string, n, least, most int) {
	if n < least || n > most {
		v.fail(path, "%d: give %d to %d", n, least, most)
	}
}

func (v *validator) count(path string, n, most int) {
	if n > most {
		v.fail(path, "there are %d, at most %d can be", n, most)
	}
}

func check[T ~uint8](v *validator, path string, c *choices[T], value T) {
	if !c.valid(value) {
		v.fail(path, "%s", c.name(value))
	}
}

// checkAddr reports whether a can be the address of a VIP, a SNIP or a backend.
func (v *validator) checkAddr(path string, a netip.Addr) bool {
	switch {
	case !a.IsValid():
		v.fail(path, "there is no address: give an IPv4 or IPv6 address")
	case a.Is4In6():
		v.fail(path, "%s: write it as an IPv4 address, %s", a, a.Unmap())
	case a.Zone() != "":
		v.fail(path, "%s: give an address without zone", a)
	case !packet.HostAddr(a), a.IsLinkLocalUnicast():
		v.fail(path, "%s: give an address that other hosts can route to", a)
	default:
		return true
	}
	return false
}

func (v *validator) checkSNIPs(snips []netip.Addr) {
	v.count("nat.snips", len(snips), MaxSNIPs)
	for i, a := range snips {
		path := fmt.Sprintf("nat.snips[%d]", i)
		if v.checkAddr(path, a) && v.snips[a] {
			v.fail(path, "%s is listed twice", a)
		}
		v.checkOutside(path, a)
		v.snips[a] = true
	}
}

func (v *validator) checkService(i int, s *ServiceConfig) {
	path := fmt.Sprintf("vserver[%d]", i)
	v.checkName(path+".name", s.Name)
	if first, twice := v.names[s.Name]; twice {
		v.fail(path+".name", "%q is the name of vserver[%d] too", s.Name, first)
	} else {
		v.names[s.Name] = i
	}
	check(v, path+".protocol", &protocols, s.Protocol)
	check(v, path+".mode", &modes, s.Mode)
	check(v, path+".method", &methods, s.Method)
	check(v, path+".on_no_backend", &refusals, s.OnNoBackend)
	check(v, path+".on_no_flow", &refusals, s.OnNoFlow)
	check(v, path+".on_backend_down", &demises, s.OnBackendDown)
	if s.Port == 0 {
		v.fail(path+".port", "0: %v", errPorts)
	} else if !s.Port.valid() {
		v.fail(path+".port", "%d and %d more: %v", s.Port.First(), s.Port>>16, errPorts)
	}
	if v.checkAddr(path+".vip", s.VIP) {
		v.checkVIP(path, i, s)
	}
	v.between(path+".max_flows", s.MaxFlows, 0, MaxFlowLimit)
	v.checkSpares(path, s)
	v.checkPersistence(path+".persistence", s)
	v.checkTimeouts(path+".timeouts", &s.Timeouts)
	v.checkClamp(path+".mss_clamp", s.MSSClamp)
	v.count(path+".backend", len(s.Backends), MaxBackends)
	names, addrs := map[string]int{}, map[netip.AddrPort]int{}
	for j := range s.Backends {
		v.checkBackend(fmt.Sprintf("%s.backend[%d]", path, j), s, j, names, addrs)
	}
}

// checkVIP checks a service's VIP against SNIPs and other services.
func (v *validator) checkVIP(path string, i int, s *ServiceConfig) {
	if v.snips[s.VIP] {
		v.fail(path+".vip", "%s is in nat.snips: a SNIP serves nothing else", s.VIP)
	}
	v.checkOutside(path+".vip", s.VIP)
	if s.Mode == NAT && !v.hasSNIP(s.VIP) {
		v.fail(path+".mode", "nat needs an address of the VIP's family in nat.snips")
	}
	v.checkPorts(path, i, s)
}

func (v *validator) hasSNIP(family netip.Addr) bool {
	for a := range v.snips {
		if a.Is4() == family.Is4() {
			return true
		}
	}
	return false
}

func (v *validator) checkBackend(path string, s *ServiceConfig, j int, names map[string]int, addrs map[netip.AddrPort]int) {
	b := &s.Backends[j]
	v.checkName(path+".name", b.Name)
	if first, twice := names[b.Name]; twice {
		v.fail(path+".name", "%q is the name of backend[%d] too", b.Name, first)
	} else {
		names[b.Name] = j
	}
	v.between(path+".weight", b.Weight, 0, MaxWeight)
	v.between(path+".max_flows", b.MaxFlows, 0, MaxFlowLimit)
	if s.Mode != NAT && b.Port != 0 && PortRange(b.Port) != s.Port {
		v.fail(path+".port", "%d: %v does not translate ports; leave it out", b.Port, s.Mode)
	}
	if !v.checkAddr(path+".address", b.Address) {
		return
	}
	at := netip.AddrPortFrom(b.Address, b.Port)
	if port, ok := s.Port.One(); ok {
		setDefaultPort(&at, port)
	}
	if first, twice := addrs[at]; twice {
		v.fail(path+".address", "%s is backend[%d] already", at, first)
	} else {
		addrs[at] = j
	}
	v.checkOutside(path+".address", b.Address)
	if s.Mode.tunnels() {
		v.checkTunnel(path+".address", s.Mode, b.Address)
	}
	switch {
	case s.VIP.IsValid() && b.Address.Is4() != s.VIP.Is4() && !s.Mode.tunnels():
		v.fail(path+".address", "%s: give an address of the VIP's family", b.Address)
	case b.Address == s.VIP:
		v.fail(path+".address", "%s is the VIP: give the server's own address", b.Address)
	case v.vips[b.Address]:
		v.fail(path+".address", "%s is the VIP of another: a virtual server has no virtual servers behind it", b.Address)
	case v.snips[b.Address]:
		v.fail(path+".address", "%s is in nat.snips", b.Address)
	}
}

func setDefaultPort(at *netip.AddrPort, port uint16) {
	if at.Port() == 0 {
		*at = netip.AddrPortFrom(at.Addr(), port)
	}
}

func (v *validator) checkTimeouts(path string, t *Timeouts) {
	for _, f := range []struct {
		name string
		d    time.Duration
	}{
		{"handshake", t.Handshake}, {"established", t.Established}, {"half_closed", t.HalfClosed},
		{"unreplied", t.Unreplied}, {"replied", t.Replied},
	} {
		if f.d != 0 && (f.d < MinTimeout || f.d > MaxTimeout) {
			v.fail(path+"."+f.name, "%v: give %v to %v", f.d, MinTimeout, MaxTimeout)
		}
	}
	full := *t
	full.setDefaults()
	if full.HalfClosed > full.Established {
		v.fail(path+".half_closed", "%v: give no more than established, %v", full.HalfClosed, full.Established)
	}
}

// checkName checks what becomes a label of metrics and a word in the log.
func (v *validator) checkName(path, name string) {
	if name == "" || len(name) > MaxName {
		v.fail(path, "%q has %d characters: give 1 to %d", name, len(name), MaxName)
		return
	}
	for _, r := range name {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', r == '.', r == '-', r == '_':
		default:
			v.fail(path, "%q: use letters, digits, dot, dash and underscore", name)
			return
		}
	}
}
