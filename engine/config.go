package engine

import (
	"errors"
	"fmt"
)

// Idle says what an engine does when a pass found nothing to do.
type Idle uint8

// The idle strategies.
const (
	// Adaptive spins for a few passes, then sleeps until a port has packets,
	// another engine hands some over, or 100 ms are over. It costs a wake-up
	// (some microseconds) after a pause and no processor time while idle.
	Adaptive Idle = iota
	// Busy never sleeps: lowest latency, one whole core an engine.
	Busy
	// BusyPoll never sleeps either and drives the network card's receive
	// processing from the engine's own thread (SO_PREFER_BUSY_POLL); the ports
	// must have been opened for it.
	BusyPoll
)

var idleNames = [...]string{Adaptive: "adaptive", Busy: "busy", BusyPoll: "busypoll"}

// String returns the strategy's name in the configuration.
func (i Idle) String() string { return idleNames[i] }

// ParseIdle returns the strategy of that name.
func ParseIdle(name string) (Idle, error) {
	for i, n := range idleNames {
		if n == name {
			return Idle(i), nil
		}
	}
	return 0, fmt.Errorf("engine: idle strategy %q is none of adaptive, busy, busypoll", name)
}

// Bounds of a Config.
const (
	MaxEngines    = 64
	MaxInterfaces = 64
	MaxBatch      = 256
)

// Config describes a node's engines.
type Config struct {
	Engines    int  // 1 to MaxEngines
	Interfaces int  // how many interface numbers there are, 1 to MaxInterfaces
	Batch      int  // packets a pass at most, 1 to MaxBatch; 64 amortises a system call and stays in L1
	Handoff    int  // slots of each hand-off ring, a power of two
	Idle       Idle // what to do with nothing to do

	// CPUs pins engine i to CPUs[i]. Empty: not pinned. Otherwise one entry an
	// engine.
	CPUs []int
}

// DefaultConfig returns the configuration of one unpinned engine with two
// interfaces.
func DefaultConfig() Config {
	return Config{Engines: 1, Interfaces: 2, Batch: 64, Handoff: 1024, Idle: Adaptive}
}

// Validate returns all that is wrong with c, or nil.
func (c *Config) Validate() error {
	var errs []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf("engine: "+format, args...))
		}
	}
	check(c.Engines >= 1 && c.Engines <= MaxEngines, "%d engines, want 1 to %d", c.Engines, MaxEngines)
	check(c.Interfaces >= 1 && c.Interfaces <= MaxInterfaces, "%d interfaces, want 1 to %d", c.Interfaces, MaxInterfaces)
	check(c.Batch >= 1 && c.Batch <= MaxBatch, "batch of %d, want 1 to %d", c.Batch, MaxBatch)
	check(int(c.Idle) < len(idleNames), "idle strategy %d does not exist", c.Idle)
	check(len(c.CPUs) == 0 || len(c.CPUs) == c.Engines, "%d cpus for %d engines, want one each or none", len(c.CPUs), c.Engines)
	check(c.Engines == 1 || c.Handoff >= c.Batch, "hand-off ring of %d slots is smaller than a batch of %d", c.Handoff, c.Batch)
	return errors.Join(errs...)
}
