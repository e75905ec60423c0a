package vserver

import (
	"fmt"
	"strings"

	"appliance/engine/packet"
)

// A Protocol is what a service serves.
type Protocol uint8

// The protocols, by their IANA numbers.
const (
	TCP Protocol = packet.ProtoTCP
	UDP Protocol = packet.ProtoUDP
)

// A Mode is how packets reach a backend.
type Mode uint8

// The modes.
const (
	// NAT rewrites both addresses and ports, so that the backend answers to a
	// SNIP of this node: it needs nothing of the backend.
	NAT Mode = iota
	// DSR rewrites MAC addresses only. The backend is on a segment with this
	// node, has the VIP as an address that it doesn't announce, and answers the
	// client directly.
	DSR
	// IPIP puts packets into IP packets to the backend, which takes them out, has
	// the VIP as an address of its own, and answers the client directly. It may be
	// behind routers, and of the other family than the VIP.
	IPIP
	// GUE is IPIP with a UDP and a GUE header in between, by whose ports network
	// cards and routers tell flows apart that see only addresses in IPIP.
	GUE
)

// A Method is how a new flow's backend is chosen.
type Method uint8

// The methods.
const (
	// Maglev chooses by hash: every node and engine chooses alike, and a change
	// of the backends moves little else.
	Maglev Method = iota
	// RoundRobin chooses in turn, by weight. Each engine counts for itself.
	RoundRobin
	// LeastConn chooses the backend with the fewest open flows for its weight,
	// those of all engines together.
	LeastConn
)

// A Refusal is what becomes of a packet that is refused.
type Refusal uint8

// The refusals.
const (
	Reject  Refusal = iota // answered: TCP by a reset, UDP by ICMP port unreachable
	Silence                // dropped, counted as packet.Silent
)

// A Demise is what becomes of the flows of a backend that goes down.
type Demise uint8

// The demises.
const (
	Keep  Demise = iota // they stay: it may be the health check that is wrong
	Sever               // TCP flows are reset, UDP flows go to another backend, with their clients' next packet
)

// An Affinity is what flows have in common that go to the same backend.
type Affinity uint8

// The affinities.
const (
	None     Affinity = iota // nothing
	BySource                 // the network of the client
)

// Names in the configuration, the default first.
var (
	protocols  = choices[Protocol]{"protocol", []choice[Protocol]{{TCP, "tcp"}, {UDP, "udp"}}}
	modes      = choices[Mode]{"mode", []choice[Mode]{{NAT, "nat"}, {DSR, "dsr"}, {IPIP, "ipip"}, {GUE, "gue"}}}
	methods    = choices[Method]{"method", []choice[Method]{{Maglev, "maglev"}, {RoundRobin, "roundrobin"}, {LeastConn, "leastconn"}}}
	refusals   = choices[Refusal]{"refusal", []choice[Refusal]{{Reject, "reject"}, {Silence, "silence"}}}
	affinities = choices[Affinity]{"persistence", []choice[Affinity]{{None, "none"}, {BySource, "source"}}}
	demises    = choices[Demise]{"on_backend_down", []choice[Demise]{{Keep, "keep"}, {Sever, "reset"}}}
)

// String returns the name in the configuration.
func (p Protocol) String() string { return protocols.name(p) }

// String returns the name in the configuration.
func (m Mode) String() string { return modes.name(m) }

// String returns the name in the configuration.
func (m Method) String() string { return methods.name(m) }

// String returns the name in the configuration.
func (r Refusal) String() string { return refusals.name(r) }

// String returns the name in the configuration.
func (d Demise) String() string { return demises.name(d) }

// String returns the name in the configuration.
func (a Affinity) String() string { return affinities.name(a) }

// MarshalText returns the name in the configuration.
func (p Protocol) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// MarshalText returns the name in the configuration.
func (m Mode) MarshalText() ([]byte, error) { return []byte(m.String()), nil }

// MarshalText returns the name in the configuration.
func (m Method) MarshalText() ([]byte, error) { return []byte(m.String()), nil }

// MarshalText returns the name in the configuration.
func (r Refusal) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// MarshalText returns the name in the configuration.
func (d Demise) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText sets d to the demise of that name.
func (d *Demise) UnmarshalText(name []byte) error { return demises.parse(d, string(name)) }

// MarshalText returns the name in the configuration.
func (a Affinity) MarshalText() ([]byte, error) { return []byte(a.String()), nil }

// UnmarshalText sets a to the affinity of that name.
func (a *Affinity) UnmarshalText(name []byte) error { return affinities.parse(a, string(name)) }

// UnmarshalText sets p to the protocol of that name.
func (p *Protocol) UnmarshalText(name []byte) error { return protocols.parse(p, string(name)) }

// UnmarshalText sets m to the mode of that name.
func (m *Mode) UnmarshalText(name []byte) error { return modes.parse(m, string(name)) }

// UnmarshalText sets m to the method of that name.
func (m *Method) UnmarshalText(name []byte) error { return methods.parse(m, string(name)) }

// UnmarshalText sets r to the refusal of that name.
func (r *Refusal) UnmarshalText(name []byte) error { return refusals.parse(r, string(name)) }

// choices are the values of a setting that takes one of a few.
type choices[T ~uint8] struct {
	what string
	list []choice[T]
}

type choice[T ~uint8] struct {
	value T
	name  string
}

func (c *choices[T]) name(v T) string {
	for _, ch := range c.list {
		if ch.value == v {
			return ch.name
		}
	}
	return fmt.Sprintf("unknown %s %d", c.what, uint8(v))
}

func (c *choices[T]) parse(v *T, name string) error {
	names := make([]string, len(c.list))
	for i, ch := range c.list {
		if ch.name == name {
			*v = ch.value
			return nil
		}
		names[i] = ch.name
	}
	return fmt.Errorf("%s %q is none of %s", c.what, name, strings.Join(names, ", "))
}

func (c *choices[T]) valid(v T) bool {
	for _, ch := range c.list {
		if ch.value == v {
			return true
		}
	}
	return false
}
