package health

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"net/url"
	"strings"
	"time"
)

// ErrBadTarget reports a target or check that can't be run: SetTargets and
// Check.Validate wrap it.
var ErrBadTarget = errors.New("bad target")

// A Type is what a check does, by the name that the configuration uses.
type Type string

// The types of check.
const (
	TCP  Type = "tcp"  // open a connection
	HTTP Type = "http" // GET a path
)

// A Check says how a backend is probed. Take DefaultCheck and change what
// differs.
type Check struct {
	Type     Type
	Interval time.Duration // from the start of one check to the start of the next
	Timeout  time.Duration // for the whole check, at most Interval
	Rise     int           // successes in a row that make a down backend up, from 1
	Fall     int           // failures in a row that make a backend down, from 1

	// HTTP only.
	Path      string // what to GET, with its query, from the leading slash
	Host      string // Host header; empty: the backend's address and port
	StatusMin int    // lowest status that counts as success
	StatusMax int    // highest status that counts as success
}

// DefaultCheck returns the defaults of a type: every 2 s, 1 s time-out, 2 to
// rise, 3 to fall; for HTTP, GET / and any status from 200 to 399.
func DefaultCheck(t Type) Check {
	c := Check{Type: t, Interval: 2 * time.Second, Timeout: time.Second, Rise: 2, Fall: 3}
	if t == HTTP {
		c.Path, c.StatusMin, c.StatusMax = "/", 200, 399
	}
	return c
}

// The bounds of an interval. Below the lower one, checks are load; above the
// upper one they are no use.
const (
	MinInterval = 10 * time.Millisecond
	MaxInterval = time.Hour
)

// Validate returns nil when the check can be run. The error wraps ErrBadTarget
// and says what would be right.
func (c Check) Validate() error {
	switch {
	case c.Type != TCP && c.Type != HTTP:
		return fmt.Errorf("%w: check type %q, want %q or %q", ErrBadTarget, c.Type, TCP, HTTP)
	case c.Interval < MinInterval || c.Interval > MaxInterval:
		return fmt.Errorf("%w: interval %v, want %v to %v", ErrBadTarget, c.Interval, MinInterval, MaxInterval)
	case c.Timeout <= 0 || c.Timeout > c.Interval:
		return fmt.Errorf("%w: timeout %v, want more than 0 and at most the interval (%v)", ErrBadTarget, c.Timeout, c.Interval)
	case c.Rise < 1 || c.Fall < 1:
		return fmt.Errorf("%w: rise %d and fall %d, want at least 1", ErrBadTarget, c.Rise, c.Fall)
	case c.Type == HTTP:
		return c.validateHTTP()
	case c.Path != "" || c.Host != "" || c.StatusMin != 0 || c.StatusMax != 0:
		return fmt.Errorf("%w: path, host and status belong to %q checks", ErrBadTarget, HTTP)
	}
	return nil
}

func (c Check) validateHTTP() error {
	if _, err := url.ParseRequestURI(c.Path); err != nil || !strings.HasPrefix(c.Path, "/") {
		return fmt.Errorf("%w: path %q, want an absolute path like /health, escaped as in a URL", ErrBadTarget, c.Path)
	}
	if strings.ContainsFunc(c.Host, func(r rune) bool { return r <= ' ' || r >= 0x7f || r == '/' }) {
		return fmt.Errorf("%w: host %q, want a name or an address, with or without a port", ErrBadTarget, c.Host)
	}
	if c.StatusMin < 200 || c.StatusMax > 599 || c.StatusMin > c.StatusMax {
		return fmt.Errorf("%w: status %d to %d, want a range within 200 to 599", ErrBadTarget, c.StatusMin, c.StatusMax)
	}
	return nil
}

// A Target is one backend of one service, and how to check it. Service and
// Backend together name it.
type Target struct {
	Service string
	Backend string
	Addr    netip.AddrPort // what to connect to
	Check   Check
}

// nameless returns what is checked, and how.
func (t Target) nameless() Target {
	t.Service, t.Backend = "", ""
	return t
}

func (t Target) validate() error {
	if !t.Addr.IsValid() || t.Addr.Port() == 0 {
		return fmt.Errorf("%w: address %s, want an address and a port", ErrBadTarget, t.Addr)
	}
	return t.Check.Validate()
}

// DefaultConcurrency is how many checks run at a time unless the Config says
// otherwise. Each holds a socket; with all backends dead and time-outs of 1 s
// it still gets 256 checks a second done.
const DefaultConcurrency = 256

// Config is what a Checker needs to run. The zero Config is usable.
type Config struct {
	// Concurrency bounds the checks that run at a time; 0: DefaultConcurrency.
	Concurrency int

	// Dial opens connections; nil: net.Dialer's DialContext. A net.Dialer with
	// LocalAddr set makes checks come from a certain address.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)

	// Log is told of each change of a verdict; nil: nobody is.
	Log *slog.Logger
}

func (c Config) withDefaults() Config {
	if c.Concurrency <= 0 {
		c.Concurrency = DefaultConcurrency
	}
	if c.Dial == nil {
		c.Dial = new(net.Dialer).DialContext
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return c
}
