package health

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
)

// ErrBadTarget reports a target or check that can't be run: SetTargets and
// Check.Validate wrap it.
var ErrBadTarget = errors.New("bad target")

// A Target is one backend of one service, and how to check it. Service and
// Backend together name it.
type Target struct {
	Service string
	Backend string
	Addr    netip.AddrPort // what to connect to
	Check   Check

	// Serving says that the backend has been taking flows without a check: it
	// counts as up until its check says otherwise.
	Serving bool
}

func (t Target) validate() error {
	if !t.Addr.IsValid() || t.Addr.Port() == 0 {
		return fmt.Errorf("%w: address %s, want an address and a port", ErrBadTarget, t.Addr)
	}
	if from := t.Check.Source; from.IsValid() && from.Is4() != t.Addr.Addr().Is4() {
		return fmt.Errorf("%w: source %s, want one of the family of %s", ErrBadTarget, from, t.Addr.Addr())
	}
	return t.Check.Validate()
}

// A name tells targets apart.
type name struct{ service, backend string }

func (t Target) name() name { return name{t.Service, t.Backend} }

// A subject is what is checked, and how. Targets that agree in it are checked
// together.
type subject struct {
	addr  netip.AddrPort
	check Check
}

func (t Target) subject() subject { return subject{t.Addr, t.Check} }

// DefaultConcurrency is how many checks run at a time unless the Config says
// otherwise. Each holds a socket, of which a process may have no more than 1024
// on some machines, and up to some 64 KiB. With time-outs of 1 s it gets 512
// checks a second done though every backend is dead: a thousand of them, every
// 2 s, delay nobody's checks.
const DefaultConcurrency = 512

// Config is what a Checker needs to run. The zero Config is usable.
type Config struct {
	// Concurrency bounds the checks that run at a time; 0: DefaultConcurrency.
	Concurrency int

	// Dial opens all connections, whatever the checks' Source; nil: a net.Dialer
	// does, from Source.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)

	// Log is told of each change of a verdict; nil: nobody is.
	Log *slog.Logger
}

func (c Config) withDefaults() Config {
	if c.Concurrency <= 0 {
		c.Concurrency = DefaultConcurrency
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return c
}
