package demo

import (
	"fmt"
	"io"
	"slices"
	"time"

	"appliance/internal/lab"
)

// Options say what to show. Defaults gives a good start.
type Options struct {
	Nodes     int
	Backends  int
	Clients   int
	Duration  time.Duration // of the traffic
	Mode      string        // of the virtual servers: nat, dsr, ipip or gue
	IPv6      bool          // drive the IPv6 VIP too
	Fragments bool          // send datagrams of 100 to 60,000 bytes too
	Fault     string        // what happens to a node meanwhile: none

	Binary   string    // the appliance; default: what lab.Build returns
	JSON     bool      // write the result as JSON
	Out      io.Writer // the result
	Progress io.Writer // what happens, as it happens
}

// What Options.Mode and Options.Fault may be, and the bounds of Duration.
var (
	modes  = []string{"nat", "dsr", "ipip", "gue"}
	faults = []string{"none"}
)

const (
	minDuration = time.Second
	maxDuration = 24 * time.Hour
)

// Defaults returns Options for a short demonstration, without writers.
func Defaults() Options {
	return Options{
		Nodes:    1,
		Backends: 3,
		Clients:  2,
		Duration: 10 * time.Second,
		Mode:     "nat",
		Fault:    "none",
	}
}

// Validate returns an error that says which option is wrong and what would be
// right.
func (o Options) Validate() error {
	for _, n := range []struct {
		name       string
		value, max int
	}{
		{"nodes", o.Nodes, lab.MaxNodes},
		{"backends", o.Backends, lab.MaxBackends},
		{"clients", o.Clients, lab.MaxClients},
	} {
		if n.value < 1 || n.value > n.max {
			return fmt.Errorf("demo: %s is %d, want 1 to %d", n.name, n.value, n.max)
		}
	}
	if o.Duration < minDuration || o.Duration > maxDuration {
		return fmt.Errorf("demo: duration is %s, want %s to %s", o.Duration, minDuration, maxDuration)
	}
	if !slices.Contains(modes, o.Mode) {
		return fmt.Errorf("demo: mode %q is none of %q", o.Mode, modes)
	}
	if !slices.Contains(faults, o.Fault) {
		return fmt.Errorf("demo: fault %q is none of %q", o.Fault, faults)
	}
	return nil
}
