package vserver

import (
	"net/netip"
	"time"

	"appliance/vserver/flows"
)

// Config describes all virtual servers of a node. It is a value: the Builder
// compares it with what it built before.
type Config struct {
	Services []ServiceConfig

	// SNIPs are the source addresses that nat uses toward backends. They are
	// dedicated: no socket of the node may use them. Every family that has a
	// nat service needs one; each gives a bucket 65536/Buckets ports a backend.
	SNIPs []netip.Addr

	// Buckets is how many buckets the cluster divides its flows into: a power
	// of two, rss.MinBuckets to rss.MaxBuckets. 0: DefaultBuckets.
	Buckets int

	// ServerPlane says behind which interfaces the backends are: bit i stands for
	// interface i. Backends' packets from others are forged. 0: behind any.
	ServerPlane uint64

	// ReturnToSender sends answers to the MAC address, VLAN and interface that
	// the client's last packet came from, instead of asking the routing table.
	ReturnToSender bool

	// OnNoService is what a client gets that asks for a port of a VIP on which
	// there is no service.
	OnNoService Refusal

	// Limits bound the new flows of an engine.
	Limits Limits

	// AnswerRate bounds the packets an engine makes up itself (TCP resets and
	// ICMP errors; not echo replies), per second. 0: DefaultAnswerRate.
	AnswerRate int
}

// ServiceConfig describes one virtual server. A reload recognises it by VIP,
// port, protocol and mode: its flows and counters survive a change of all the
// rest.
type ServiceConfig struct {
	Name     string // unique; letters, digits, dot, dash and underscore, up to 63
	VIP      netip.Addr
	Port     uint16
	Protocol Protocol
	Mode     Mode
	Method   Method
	Backends []BackendConfig
	Timeouts Timeouts

	// OnNoBackend is what the client of a new flow gets when no backend may
	// take it; OnNoFlow, nat only, what a TCP client gets that is in the middle
	// of a connection of which there is no record.
	OnNoBackend Refusal
	OnNoFlow    Refusal
}

// BackendConfig describes one real server of a service. A reload recognises it
// by address and port.
type BackendConfig struct {
	Name    string // unique in its service; like a service's
	Address netip.Addr
	Port    uint16 // 0: the service's port; dsr doesn't translate, so nothing else is allowed there
	Weight  int    // share of new flows relative to the others', up to MaxWeight; 0 drains: established flows stay
}

// Timeouts say how long a flow may be silent before its record expires, in steps
// of 1/16 s: MinTimeout to MaxTimeout each. Zero stands for the default. Closed
// flows are not named: they last for flows.Rest.
type Timeouts struct {
	Handshake   time.Duration // TCP: until the client has acknowledged the server's SYN
	Established time.Duration // TCP
	HalfClosed  time.Duration // TCP: one side has sent FIN; not longer than Established
	Unreplied   time.Duration // UDP: the client has sent, the server has not
	Replied     time.Duration // UDP: both have
}

// Defaults and bounds.
const (
	DefaultBuckets    = 4096
	DefaultAnswerRate = 1000
	DefaultWeight     = 1 // for configuration files; a BackendConfig's zero Weight drains

	MaxServices    = 1 << 15
	MaxBackends    = 1024    // of one service
	MaxAllBackends = 1 << 20 // of all services together
	MaxSNIPs       = 256
	MaxWeight      = 256 // keeps the sequence of a round robin below a megabyte
	MaxAnswerRate  = 1_000_000
	MaxName        = 63
	MinTimeout     = 2 * time.Second
	MaxTimeout     = 24 * time.Hour
)

// DefaultTimeouts returns those of flows.DefaultTimeouts, where the reasons are.
func DefaultTimeouts() Timeouts {
	d := flows.DefaultTimeouts
	return Timeouts{
		Handshake:   duration(d.Handshake),
		Established: duration(d.Established),
		HalfClosed:  duration(d.HalfClosed),
		Unreplied:   duration(d.Unreplied),
		Replied:     duration(d.Replied),
	}
}

func duration(ticks uint32) time.Duration {
	return time.Duration(ticks) * time.Second / flows.TicksPerSecond
}

// SetDefaults gives every zero field that has a default its default.
func (c *Config) SetDefaults() {
	setDefault(&c.Buckets, DefaultBuckets)
	setDefault(&c.AnswerRate, DefaultAnswerRate)
	c.Limits.setDefaults()
	for i := range c.Services {
		s := &c.Services[i]
		s.Timeouts.setDefaults()
		for j := range s.Backends {
			setDefault(&s.Backends[j].Port, s.Port)
		}
	}
}

func (t *Timeouts) setDefaults() {
	d := DefaultTimeouts()
	setDefault(&t.Handshake, d.Handshake)
	setDefault(&t.Established, d.Established)
	setDefault(&t.HalfClosed, min(d.HalfClosed, t.Established))
	setDefault(&t.Unreplied, d.Unreplied)
	setDefault(&t.Replied, d.Replied)
}

func setDefault[T comparable](v *T, to T) {
	var zero T
	if *v == zero {
		*v = to
	}
}
