package health

import (
	"cmp"
	"net/netip"
	"slices"
	"time"
)

// A Status is what is known of one target at one moment.
type Status struct {
	Service  string
	Backend  string
	Addr     netip.AddrPort
	Type     Type
	State    State
	Since    time.Time     // when State was entered
	Against  int           // latest results in a row that contradict State
	Checked  time.Time     // when the last check started; zero: none has ended yet
	Duration time.Duration // how long the last check took
	Error    string        // what was wrong at the last check; empty: it succeeded
}

// Status returns what is known of all targets, by service and backend.
func (c *Checker) Status() []Status {
	c.mu.RLock()
	defer c.mu.RUnlock()
	all := make([]Status, 0, len(c.targets))
	for n, w := range c.targets {
		s := Status{
			Service: n.service, Backend: n.backend, Addr: w.addr, Type: w.check.Type,
			State: w.verdict.state, Since: w.since, Against: w.verdict.against,
			Checked: w.last.at, Duration: w.last.took,
		}
		if w.last.err != nil {
			s.Error = w.last.err.Error()
		}
		all = append(all, s)
	}
	slices.SortFunc(all, func(a, b Status) int {
		return cmp.Or(cmp.Compare(a.Service, b.Service), cmp.Compare(a.Backend, b.Backend))
	})
	return all
}
