package lab

import (
	"fmt"
	"log/slog"
)

// Limits of a lab. They follow from the address plan: one number, one byte.
const (
	MaxNodes    = 64
	MaxBackends = 250
	MaxClients  = 250
	MaxVIPs     = 250
	MaxQueues   = 64
)

// Config says what a lab consists of. The zero value of a field asks for its
// default, so the zero Config is a lab of one node, two backends and a client.
type Config struct {
	Nodes    int  // appliances, default 1
	Backends int  // hosts with real servers, default 2
	Clients  int  // hosts that send traffic, default 1
	VIPs     int  // service addresses that the router sends to the nodes, default 1
	Queues   int  // receive and transmit queues of every link to a node, default 1
	MTU      int  // of every link, bytes, default 1500
	IPv6     bool // give everything an IPv6 address too
	Tunnels  bool // backends take packets out of ipip and gue; needs /dev/net/tun

	Log *slog.Logger // what is built and torn down, at debug level; default: nowhere
}

// withDefaults returns cfg with every zero field set, or an error that names
// the field that no lab can have.
func (cfg Config) withDefaults() (Config, error) {
	for _, f := range []struct {
		name               string
		value              *int
		fallback, min, max int
	}{
		{"nodes", &cfg.Nodes, 1, 1, MaxNodes},
		{"backends", &cfg.Backends, 2, 1, MaxBackends},
		{"clients", &cfg.Clients, 1, 1, MaxClients},
		{"vips", &cfg.VIPs, 1, 1, MaxVIPs},
		{"queues", &cfg.Queues, 1, 1, MaxQueues},
		{"mtu", &cfg.MTU, 1500, 1280, 9000}, // 1280: RFC 8200 section 5
	} {
		if *f.value == 0 {
			*f.value = f.fallback
		}
		if *f.value < f.min || *f.value > f.max {
			return cfg, fmt.Errorf("lab: configure: %s is %d, want %d to %d", f.name, *f.value, f.min, f.max)
		}
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	return cfg, nil
}
