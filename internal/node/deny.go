package node

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"time"

	"appliance/engine/xdp"
)

// denyPeriod is how often the node looks for denials whose time has ended.
const denyPeriod = time.Second

// A Denial is a prefix that VIPs get nothing from, and who says so: the
// configuration, an operator, or both.
type Denial struct {
	Prefix     netip.Prefix `json:"prefix"`
	Configured bool         `json:"configured"`
	Added      bool         `json:"added"`          // while the node runs
	Until      time.Time    `json:"until,omitzero"` // when Added ends; zero: when it is removed
}

// A denyList is what the configuration denies and what operators have added to
// it. What they add survives reloads and ends with the process, so that nobody
// forgets it for ever. Its methods may be called from any goroutine.
type denyList struct {
	set func([]netip.Prefix) error // puts a whole list in force

	mu         sync.Mutex
	configured []netip.Prefix
	added      map[netip.Prefix]time.Time // until when; zero: until removed
}

// put puts other lists in force. If they can't be, the old ones stay. The caller
// holds mu.
func (d *denyList) put(configured []netip.Prefix, added map[netip.Prefix]time.Time) error {
	if err := d.set(slices.AppendSeq(slices.Clone(configured), maps.Keys(added))); err != nil {
		old := slices.AppendSeq(slices.Clone(d.configured), maps.Keys(d.added))
		return errors.Join(err, d.set(old))
	}
	d.configured, d.added = configured, added
	return nil
}

// configure makes list what the configuration denies.
func (d *denyList) configure(list []netip.Prefix) error {
	if len(list) > xdp.MaxDenied {
		return fmt.Errorf("node: %d prefixes to deny, at most %d can be", len(list), xdp.MaxDenied)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.put(slices.Clone(list), d.added)
}

// add denies a prefix until a time, or for ever if that is zero. If it was added
// before, only that time changes.
func (d *denyList) add(p netip.Prefix, until time.Time) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if _, known := d.added[p]; !known && len(d.added) == xdp.MaxDenied {
		return fmt.Errorf("%d prefixes were added already: remove some, or put them into [deny] of the configuration", xdp.MaxDenied)
	}
	added := maps.Clone(d.added)
	if added == nil {
		added = map[netip.Prefix]time.Time{}
	}
	added[p] = until
	return d.put(d.configured, added)
}

// remove takes a prefix off that was added.
func (d *denyList) remove(p netip.Prefix) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if slices.Contains(d.configured, p) {
		return fmt.Errorf("%v is in [deny] of the configuration: take it out there and reload", p)
	}
	if _, ok := d.added[p]; !ok {
		return fmt.Errorf("%v is not denied: `appliance deny list` shows what is", p)
	}
	added := maps.Clone(d.added)
	delete(added, p)
	return d.put(d.configured, added)
}

// expire takes off what was added until now or before.
func (d *denyList) expire(now time.Time) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	added := maps.Clone(d.added)
	maps.DeleteFunc(added, func(_ netip.Prefix, until time.Time) bool { return !until.IsZero() && !now.Before(until) })
	if len(added) == len(d.added) {
		return nil
	}
	return d.put(d.configured, added)
}

// list returns what is denied, in order of addresses.
func (d *denyList) list() []Denial {
	d.mu.Lock()
	defer d.mu.Unlock()
	all := map[netip.Prefix]Denial{}
	for _, p := range d.configured {
		all[p] = Denial{Prefix: p, Configured: true}
	}
	for p, until := range d.added {
		all[p] = Denial{Prefix: p, Configured: all[p].Configured, Added: true, Until: until}
	}
	sorted := slices.SortedFunc(maps.Values(all), func(a, b Denial) int { return a.Prefix.Compare(b.Prefix) })
	return append([]Denial{}, sorted...) // [] in JSON, not null
}

// Denied returns the prefixes that VIPs get nothing from, in order of addresses.
func (n *Node) Denied() []Denial { return n.deny.list() }

// Deny drops from now on what comes from a prefix to a VIP, flows under way
// among it, for so long; 0: until Allow, or the end of the process. Denying it
// again sets its time anew.
func (n *Node) Deny(p netip.Prefix, duration time.Duration) error {
	if err := xdp.CheckDenied(p); err != nil {
		return err
	}
	var until time.Time
	if duration > 0 {
		until = time.Now().Add(duration)
	}
	if err := n.deny.add(p, until); err != nil {
		return err
	}
	n.log.Info("denied", "prefix", p, "for", duration) // 0s: until removed
	return nil
}

// Allow ends what Deny did. A prefix that the configuration denies is refused.
func (n *Node) Allow(p netip.Prefix) error {
	if err := n.deny.remove(p); err != nil {
		return err
	}
	n.log.Info("no longer denied", "prefix", p)
	return nil
}

// forgive takes off denials whose time has ended, until ctx ends.
func (n *Node) forgive(ctx context.Context) {
	tick := time.NewTicker(denyPeriod)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			if err := n.deny.expire(now); err != nil {
				n.log.Error("denials not ended", "error", err)
			}
		}
	}
}
