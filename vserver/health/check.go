package health

import (
	"fmt"
	"net/netip"
	"time"
)

// A Type is what a check does, by the name that the configuration uses.
type Type string

// The types of check.
const (
	TCP   Type = "tcp"   // open a connection
	HTTP  Type = "http"  // GET a path
	HTTPS Type = "https" // GET a path over TLS
	UDP   Type = "udp"   // send a datagram
	DNS   Type = "dns"   // ask a name server
)

// A Check says how a backend is probed. Take DefaultCheck and change what
// differs. Checks can be compared: equal ones of one address are one.
type Check struct {
	Type     Type
	Interval time.Duration // from the start of one check to the start of the next
	Timeout  time.Duration // for the whole check, at most Interval
	Rise     int           // successes in a row that make a down backend up, from 1
	Fall     int           // failures in a row that make a backend down, from 1
	Source   netip.Addr    // address of this machine that checks come from; zero: the kernel chooses

	// HTTP and HTTPS only.
	Path      string // what to GET, with its query, from the leading slash
	Host      string // Host header; empty: the backend's address and port
	StatusMin int    // lowest status that counts as success
	StatusMax int    // highest status that counts as success

	// HTTPS only.
	ServerName string // asked for (SNI) and verified; empty: Host without its port, or the backend's address
	CA         CA     // who must have signed the server's certificate; zero: a CA that the system trusts
	Insecure   bool   // take any certificate

	// HTTP, HTTPS and UDP only. At most one of the two is set; with neither, any
	// answer will do.
	Expect       string // bytes that the answer must hold
	ExpectRegexp string // regular expression that it must match (package regexp)

	// UDP only.
	Send      string // bytes of the datagram to send
	SilenceOK bool   // no answer is a success, unless the backend's host says that nobody listens

	// DNS only.
	Query     string // name to ask for
	QueryType string // one of QueryTypes
	RCode     string // answer that counts as success: one of RCodes
}

// DefaultCheck returns the defaults of a type: every 2 s, 1 s time-out, 2 to
// rise, 3 to fall; for HTTP and HTTPS, GET / and any status from 200 to 399; for
// UDP, an empty datagram and any answer; for DNS, the address of the root, which
// no resolver calls an error to ask for.
func DefaultCheck(t Type) Check {
	c := Check{
		Type: t, Interval: 2 * time.Second, Timeout: time.Second, Rise: 2, Fall: 3,
		Path: "/", StatusMin: 200, StatusMax: 399,
		Query: ".", QueryType: "A", RCode: "NOERROR",
	}
	return c.Relevant()
}

// Relevant returns the check without the settings that its type has no use for.
func (c Check) Relevant() Check {
	r := Check{Type: c.Type, Interval: c.Interval, Timeout: c.Timeout, Rise: c.Rise, Fall: c.Fall, Source: c.Source}
	if c.Type == HTTP || c.Type == HTTPS {
		r.Path, r.Host, r.StatusMin, r.StatusMax = c.Path, c.Host, c.StatusMin, c.StatusMax
	}
	if c.Type == HTTPS {
		r.ServerName, r.CA, r.Insecure = c.ServerName, c.CA, c.Insecure
	}
	if c.Type == HTTP || c.Type == HTTPS || c.Type == UDP {
		r.Expect, r.ExpectRegexp = c.Expect, c.ExpectRegexp
	}
	if c.Type == UDP {
		r.Send, r.SilenceOK = c.Send, c.SilenceOK
	}
	if c.Type == DNS {
		r.Query, r.QueryType, r.RCode = c.Query, c.QueryType, c.RCode
	}
	return r
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
	case c.Interval < MinInterval || c.Interval > MaxInterval:
		return fmt.Errorf("%w: interval %v, want %v to %v", ErrBadTarget, c.Interval, MinInterval, MaxInterval)
	case c.Timeout <= 0 || c.Timeout > c.Interval:
		return fmt.Errorf("%w: timeout %v, want more than 0 and at most the interval (%v)", ErrBadTarget, c.Timeout, c.Interval)
	case c.Rise < 1 || c.Fall < 1:
		return fmt.Errorf("%w: rise %d and fall %d, want at least 1", ErrBadTarget, c.Rise, c.Fall)
	case c != c.Relevant():
		return fmt.Errorf("%w: settings that %q checks have no use for", ErrBadTarget, c.Type)
	}
	switch c.Type {
	case TCP:
		return nil
	case HTTP:
		return c.validateHTTP()
	case HTTPS:
		return c.validateHTTPS()
	case UDP:
		return c.validateUDP()
	case DNS:
		return c.validateDNS()
	}
	return fmt.Errorf("%w: check type %q, want %q, %q, %q, %q or %q", ErrBadTarget, c.Type, TCP, HTTP, HTTPS, UDP, DNS)
}
