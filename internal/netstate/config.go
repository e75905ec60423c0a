package netstate

import (
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net/netip"
	"time"

	"appliance/internal/fib"
)

// Config says what a Watcher watches.
type Config struct {
	// Interfaces are the configured interfaces; their order numbers them, in
	// State.Links and in the forwarding table. They need not exist.
	Interfaces []Interface

	// Guarded keeps SNIPs away from an interface until Guard was called for it: a
	// kernel that has the address and sees what backends send to it resets their
	// connections.
	Guarded bool

	// Log is told of changes and failures; nil: nobody is.
	Log *slog.Logger
}

// An Interface is one configured interface.
type Interface struct {
	Name   string
	Server bool // backends are reached through it: SNIPs may be put there
}

// The errors that SetSNIPs wraps.
var (
	ErrNotDedicated = errors.New("the address is already the node's own, and a SNIP must be dedicated")
	ErrNoHome       = errors.New("no server-plane interface exists to put it on")
	ErrBadSNIP      = errors.New("not a unicast address that a SNIP can be")
)

// How long things take. Variables of a Watcher only where tests shorten them.
const (
	quietTime  = 5 * time.Millisecond  // without a message, before what came is applied
	gatherTime = 50 * time.Millisecond // after the first message, at most
	retryTime  = 100 * time.Millisecond
	tickTime   = time.Second // pace of queue counts and of everything that may be due

	// snipLifetime is how long a SNIP stays when nobody refreshes it: longer
	// than any pause of a living process, short against the time-outs of
	// connections. It is refreshed three times as often.
	snipLifetime = 10 * time.Second
	snipRetry    = time.Second // between attempts to put a SNIP back

	manageRetry  = 5 * time.Second // as the kernel probes managed neighbours (interval_probe_time_ms)
	resolveRetry = time.Second     // between probes for one address that Resolve sends
	resolveMost  = 4096            // addresses whose last probe Resolve remembers
)

// A State is the network configuration at one moment. It is immutable.
type State struct {
	Generation uint64         // counts the States of a Watcher from 1
	Links      []Link         // the configured interfaces, in order of configuration
	Addresses  []netip.Prefix // all addresses of the node with their prefix lengths, sorted
	SNIPs      []SNIP         // those SNIPs that the kernel holds now, sorted by address
	FIB        *fib.Table     // next hops, by the numbers of Links
}

// A Link is what is known of a configured interface.
type Link struct {
	Name     string
	Exists   bool // if false, all below is zero
	Up       bool // administratively up and with carrier
	Index    int  // the kernel's number; another one when the interface has been away
	MTU      int  // longest IP packet, bytes
	MAC      [6]byte
	Kind     string // kind of virtual device as rtnetlink names it, like "veth"; "device" for hardware
	RxQueues int    // receive queues in use (ethtool channels; where a driver has none, those it allocated)
	TxQueues int    // transmit queues in use, likewise
}

// A SNIP is one that the kernel holds.
type SNIP struct {
	Addr netip.Addr
	Link string // name of the interface, or VLAN of one, that it is on
}

func (c *Config) check() error {
	if len(c.Interfaces) > math.MaxUint8 {
		return fmt.Errorf("%d interfaces, want at most %d", len(c.Interfaces), math.MaxUint8)
	}
	seen := map[string]bool{}
	for _, i := range c.Interfaces {
		if i.Name == "" || seen[i.Name] {
			return fmt.Errorf("interface %q has no name or is listed twice", i.Name)
		}
		seen[i.Name] = true
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return nil
}
