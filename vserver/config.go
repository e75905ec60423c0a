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

	// Encap is what services in ipip and gue share.
	Encap EncapConfig

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
	Port     PortRange // of several services that have a port, that with the fewest ports gets its packets
	Protocol Protocol
	Mode     Mode
	Method   Method
	Backends []BackendConfig
	Timeouts Timeouts

	// Persistence keeps the flows of a client's network at one backend. It needs
	// method Maglev.
	Persistence Persistence

	// MaxFlows bounds the open flows of the service, up to MaxFlowLimit; 0: only
	// the flow tables do. It may be exceeded by one flow for each further engine.
	MaxFlows int

	// MinHealthy is how many backends must be eligible for the service to count
	// as up. It serves with fewer. 0: DefaultMinHealthy.
	MinHealthy int

	// SlowStart is how long a backend that comes up takes to get its whole
	// weight: MinSlowStart to MaxSlowStart, or 0 for at once.
	SlowStart time.Duration

	// MSSClamp is the most bytes a segment that a SYN passing by may ask for: the
	// client's, and in nat the backend's too. 0 leaves them alone.
	MSSClamp uint16

	// OnNoBackend is what the client of a new flow gets when no backend may
	// take it; OnNoFlow, nat only, what a TCP client gets that is in the middle
	// of a connection of which there is no record.
	OnNoBackend Refusal
	OnNoFlow    Refusal

	// OnBackendDown is what becomes of the established flows of a backend that
	// its health check takes down.
	OnBackendDown Demise
}

// BackendConfig describes one real server of a service. A reload recognises it
// by address and port.
type BackendConfig struct {
	Name     string // unique in its service; like a service's
	Address  netip.Addr
	Port     uint16 // 0: the service's, or of several that which the client asks for; only nat translates: elsewhere nothing else is allowed
	Weight   int    // share of new flows relative to the others', up to MaxWeight; 0 drains: established flows stay
	MaxFlows int    // like the service's: beyond, new flows go to others
	Backup   bool   // gets new flows only while no other is eligible
}

// Persistence says which flows of a service go to the same backend.
type Persistence struct {
	By      Affinity
	Prefix4 int // bits of IPv4 addresses that clients of one network have in common; 0: DefaultPrefix4
	Prefix6 int // likewise of IPv6 addresses; 0: DefaultPrefix6

	// Timeout is how long after its last new flow a network stays at its backend
	// when a change of the backends would move it: MinPersistence to MaxTimeout,
	// or 0 for not at all.
	Timeout time.Duration
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
	DefaultMinHealthy = 1
	DefaultPrefix4    = 32
	DefaultPrefix6    = 64 // a host's own choice is within it (RFC 7421)
	DefaultWeight     = 1  // for configuration files; a BackendConfig's zero Weight drains

	MaxServices    = 1 << 15
	MaxBackends    = 1024    // of one service
	MaxAllBackends = 1 << 20 // of all services together
	MaxSNIPs       = 256
	MaxWeight      = 256 // keeps the sequence of a round robin below a megabyte
	MaxAnswerRate  = 1_000_000
	MaxFlowLimit   = 1 << 30 // what all engines' flow tables can hold
	MaxName        = 63
	MinSlowStart   = time.Second
	MaxSlowStart   = time.Hour
	MinMSSClamp    = 536 // what a SYN asks for that names no size (RFC 9293 section 3.7.1)
	MinTimeout     = 2 * time.Second
	MinPersistence = 10 * time.Second
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
	setDefault(&c.Encap.GUEPort, DefaultGUEPort)
	for i := range c.Services {
		s := &c.Services[i]
		s.Timeouts.setDefaults()
		setDefault(&s.MinHealthy, DefaultMinHealthy)
		setDefault(&s.Persistence.Prefix4, DefaultPrefix4)
		setDefault(&s.Persistence.Prefix6, DefaultPrefix6)
		if port, ok := s.Port.One(); ok {
			for j := range s.Backends {
				setDefault(&s.Backends[j].Port, port)
			}
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
