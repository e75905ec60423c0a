package config

import (
	"errors"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"time"
	"unicode"

	"appliance/engine"
	"appliance/rss"
	"appliance/vserver"
	"appliance/vserver/flows"
	"appliance/vserver/health"
)

// Bounds that no room has for us.
const (
	maxNode   = 64      // nodes of a cluster
	maxCPU    = 8191    // NR_CPUS of distributions' kernels
	maxFrames = 1 << 22 // what engine.NewArena maps
	minRing   = 64      // engine/xsk: twice the kernel's smallest transmit budget
	maxRing   = 1 << 15
	maxName   = 15  // IFNAMSIZ without its NUL (include/uapi/linux/if.h)
	maxSocket = 107 // sun_path without its NUL (unix(7))
	maxChecks = 100 // in a row; more is no use at any interval
)

// validate finds what is wrong with values that the decoder took, and with
// their combinations. The rules of virtual servers are those of package
// vserver.
func (c *Config) validate(p *problems) {
	p.between("node.id", c.Node.ID, 1, maxNode)
	c.Engine.validate(p)
	c.RSS.validate(p)
	c.validateInterfaces(p)
	p.between("answers.rate", c.Answers.Rate, 1, vserver.MaxAnswerRate)
	c.Deny.validate(p)
	p.between("limits.source_prefix_ipv4", c.Limits.SourcePrefix4, 1, 32)
	p.between("limits.source_prefix_ipv6", c.Limits.SourcePrefix6, 1, 128)
	p.between("encap.gue_port", int(c.Encap.GUEPort), 1, math.MaxUint16)
	if s := c.API.Socket; !filepath.IsAbs(s) || len(s) > maxSocket {
		p.add("api.socket", "%q: give an absolute path of at most %d characters", s, maxSocket)
	}
	for i := range c.VServers {
		path := element("vserver", i)
		c.VServers[i].Health.validate(p, path+".health")
		c.validateSource(p, i)
		p.between(path+".min_healthy", c.VServers[i].MinHealthy, 1, vserver.MaxBackends)
		c.VServers[i].validateCheckPort(p, path)
		p.between(path+".persistence.prefix4", c.VServers[i].Persistence.Prefix4, 1, 32)
		p.between(path+".persistence.prefix6", c.VServers[i].Persistence.Prefix6, 1, 128)
		c.VServers[i].Timeouts.validate(p, path+".timeouts")
	}
	services := c.Services()
	p.addFields(services.Validate())
}

// addFields adds the problems that a room's Validate has joined.
func (p *problems) addFields(err error) {
	if err == nil {
		return
	}
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		for _, e := range joined.Unwrap() {
			p.addFields(e)
		}
		return
	}
	var field *vserver.FieldError
	if errors.As(err, &field) {
		p.add(field.Path, "%s%s", field.Problem, p.seeAlso(field.Other))
		return
	}
	p.add("", "%v", err)
}

// between checks that n is within bounds.
func (p *problems) between(path string, n, least, most int) {
	if n < least || n > most {
		p.add(path, "%d: give %d to %d", n, least, most)
	}
}

// powerOfTwo checks that n is one, within bounds.
func (p *problems) powerOfTwo(path string, n, least, most int) {
	if n < least || n > most || n&(n-1) != 0 {
		p.add(path, "%d: give a power of two from %d to %d", n, least, most)
	}
}

func (e *Engine) validate(p *problems) {
	p.between("engine.engines", e.Engines, 1, engine.MaxEngines)
	p.between("engine.batch", e.Batch, 1, engine.MaxBatch)
	p.between("engine.frames", e.Frames, 0, maxFrames)
	p.between("engine.flow_capacity", e.FlowCapacity, 1, flows.MaxCapacity)
	p.powerOfTwo("engine.rx_ring", e.RxRing, minRing, maxRing)
	p.powerOfTwo("engine.tx_ring", e.TxRing, minRing, maxRing)
	if !slices.Contains([]int{0, 2048, 4096}, e.FrameSize) {
		p.add("engine.frame_size", "%d: give 2048 or 4096, or 0 to choose by the interfaces' MTU", e.FrameSize)
	}
	if n := len(e.CPUs); n != 0 && n != e.Engines {
		p.add("engine.cpus", "%d CPUs for %d engines: give one each, or none", n, e.Engines)
	}
	listed := make(map[int]bool)
	for i, cpu := range e.CPUs {
		p.between(element("engine.cpus", i), cpu, 0, maxCPU)
		if listed[cpu] {
			p.add(element("engine.cpus", i), "CPU %d is listed twice: give each engine its own", cpu)
		}
		listed[cpu] = true
	}
	if e.Driver == DriverAsavie && e.ZeroCopy == ZeroCopyRequire {
		p.add("engine.zero_copy", "driver asavie always copies: give auto or off, or driver xsk")
	}
	if e.Mode == ModeGeneric && e.ZeroCopy == ZeroCopyRequire {
		p.add("engine.zero_copy", "generic mode always copies: give auto or off, or mode native")
	}
}

func (r *RSS) validate(p *problems) {
	p.powerOfTwo("rss.buckets", r.Buckets, rss.MinBuckets, rss.MaxBuckets)
	if r.Key != (rss.Key{}) {
		if err := r.Key.Degenerate(); err != nil {
			p.add("rss.key", "%s: give another key, or none to have one drawn", strings.TrimPrefix(err.Error(), "rss: "))
		}
		if r.SecretFile != "" {
			p.add("rss.secret_file", "there is a key too: give one of them")
		}
	}
	if r.SecretFile != "" && !filepath.IsAbs(r.SecretFile) {
		p.add("rss.secret_file", "%q: give an absolute path", r.SecretFile)
	}
	if r.StateFile != "" && !filepath.IsAbs(r.StateFile) {
		p.add("rss.state_file", "%q: give an absolute path, or \"\"", r.StateFile)
	}
	if r.SecretFile != "" && r.Cluster == "" {
		p.add("rss.cluster", "there is a secret_file but no cluster: give the cluster's name")
	}
}

func (c *Config) validateInterfaces(p *problems) {
	if len(c.Interfaces) > engine.MaxInterfaces {
		p.add("interface", "there are %d, at most %d can be", len(c.Interfaces), engine.MaxInterfaces)
	}
	serves := make(map[Plane]bool)
	first := make(map[string]int)
	for i, iface := range c.Interfaces {
		path := element("interface", i)
		if !validInterface(iface.Name) {
			p.add(path+".name", "%q: give the name of a network interface, 1 to %d characters", iface.Name, maxName)
		} else if n, twice := first[iface.Name]; twice {
			p.add(path+".name", "%q is %s already", iface.Name, element("interface", n))
		} else {
			first[iface.Name] = i
		}
		if len(iface.Planes) == 0 {
			p.add(path+".planes", "there are none: give client, server or both")
		}
		for j, plane := range iface.Planes {
			serves[plane] = true
			if slices.Contains(iface.Planes[:j], plane) {
				p.add(element(path+".planes", j), "%q is listed twice", plane)
			}
		}
	}
	var missing []string
	for _, plane := range []Plane{PlaneClient, PlaneServer} {
		if !serves[plane] {
			missing = append(missing, string(plane))
		}
	}
	if len(missing) > 0 {
		p.add("interface", "none is on the %s plane: give one, with planes = [\"%s\"]",
			strings.Join(missing, " or the "), strings.Join(missing, `", "`))
	}
}

// validInterface reports whether the kernel takes this name for a network
// interface (dev_valid_name in net/core/dev.c).
func validInterface(name string) bool {
	return name != "" && len(name) <= maxName && name != "." && name != ".." &&
		!strings.ContainsAny(name, "/:\x00") && !strings.ContainsFunc(name, unicode.IsSpace)
}

// validate has the rules of health.Check.Validate, with a path for each. What
// passes here passes there (TestHealthRulesAreThoseOfTheRoom).
func (h *Health) validate(p *problems, path string) {
	if h.Interval < health.MinInterval || h.Interval > health.MaxInterval {
		p.add(path+".interval", "%v: give %v to %v", h.Interval, health.MinInterval, health.MaxInterval)
	}
	if h.Timeout <= 0 || h.Timeout > h.Interval {
		p.add(path+".timeout", "%v: give more than 0 and at most the interval, %v", h.Timeout, h.Interval)
	}
	p.between(path+".rise", h.Rise, 1, maxChecks)
	p.between(path+".fall", h.Fall, 1, maxChecks)
	for i := range healthRules {
		healthRules[i].validate(p, path+"."+healthRules[i].key, h)
	}
	if h.Type == HealthHTTP || h.Type == HealthHTTPS {
		p.between(path+".status_min", h.StatusMin, 200, 599)
		p.between(path+".status_max", h.StatusMax, h.StatusMin, 599)
	}
	if h.Type == HealthHTTPS && h.Insecure && h.CAFile.Path != "" {
		p.add(path+".insecure", "there is a ca_file too, which nothing would be held against: give one of them")
	}
	if slices.Contains(expecting, h.Type) && h.Expect != "" && h.ExpectRegexp != "" {
		p.add(path+".expect_regexp", "there is expect too: give one of them")
	}
}

// validate refuses zeros, which package vserver would replace by defaults; the
// other bounds are vserver's.
func (t *Timeouts) validate(p *problems, path string) {
	for _, f := range []struct {
		key   string
		value time.Duration
	}{
		{"handshake", t.Handshake}, {"established", t.Established}, {"half_closed", t.HalfClosed},
		{"unreplied", t.Unreplied}, {"replied", t.Replied},
	} {
		if f.value == 0 {
			p.add(path+"."+f.key, "0s: give %v to %v", vserver.MinTimeout, vserver.MaxTimeout)
		}
	}
}
