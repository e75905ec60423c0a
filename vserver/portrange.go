package vserver

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// A PortRange is the ports that a service has: one, a range, or all. The first
// port is in the low half, and how many more there are in the high half, so that
// a port number is the range of that port alone:
//
//	31                          16 15                           0
//	+-----------------------------+------------------------------+
//	| last port - first port      | first port                   |
//	+-----------------------------+------------------------------+
//
// The zero PortRange is port 0, which no service has.
type PortRange uint32

// AllPorts are all there are. A service on them has what no other service of its
// VIP and protocol has.
const AllPorts = PortRange(math.MaxUint16-1)<<16 | 1

// Ports returns the range from first to last, which is not below first.
func Ports(first, last uint16) PortRange { return PortRange(last-first)<<16 | PortRange(first) }

// First returns the lowest port.
func (r PortRange) First() uint16 { return uint16(r) }

// Last returns the highest port.
func (r PortRange) Last() uint16 { return uint16(r) + uint16(r>>16) }

// One returns the port, if it is only one.
func (r PortRange) One() (port uint16, ok bool) { return uint16(r), r <= math.MaxUint16 }

// valid reports whether all are ports that packets can have.
func (r PortRange) valid() bool {
	return r.First() > 0 && uint32(r.First())+uint32(r>>16) <= math.MaxUint16
}

// String returns the range as the configuration has it: "80", "8000-8099" or "*".
func (r PortRange) String() string {
	if port, ok := r.One(); ok {
		return strconv.Itoa(int(port))
	}
	if r == AllPorts {
		return "*"
	}
	return fmt.Sprintf("%d-%d", r.First(), r.Last())
}

// errPorts says what a range may look like.
var errPorts = errors.New(`give 1 to 65535, a range like "8000-8099", or "*" for all ports`)

// UnmarshalText sets r to the range that String returns as text.
func (r *PortRange) UnmarshalText(text []byte) error {
	if string(text) == "*" {
		*r = AllPorts
		return nil
	}
	low, high, isRange := strings.Cut(string(text), "-")
	if !isRange {
		high = low
	}
	first, err := strconv.ParseUint(low, 10, 16)
	if err != nil {
		return fmt.Errorf("port %q: %w", text, errPorts)
	}
	last, err := strconv.ParseUint(high, 10, 16)
	if err != nil || first == 0 && isRange {
		return fmt.Errorf("port %q: %w", text, errPorts)
	}
	if last < first {
		return fmt.Errorf("port %q: the last port comes first: %w", text, errPorts)
	}
	*r = Ports(uint16(first), uint16(last))
	return nil
}

// MarshalJSON returns a number for one port and a string for more, as the
// configuration has it.
func (r PortRange) MarshalJSON() ([]byte, error) {
	if port, ok := r.One(); ok {
		return json.Marshal(port)
	}
	return json.Marshal(r.String())
}

// UnmarshalJSON sets r to what MarshalJSON returns.
func (r *PortRange) UnmarshalJSON(data []byte) error {
	return r.UnmarshalText([]byte(strings.Trim(string(data), `"`)))
}
