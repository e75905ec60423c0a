package health

import (
	"context"
	"crypto/x509"
	"fmt"
	"time"
)

// SetTargets makes targets the whole set of what is checked. A target that was
// there already, check and address alike, goes on undisturbed, under whatever
// name; one whose check changed keeps its verdict; one whose address changed
// starts anew. Targets with the same check of the same address are checked
// together. After Close it does nothing.
//
// The error wraps ErrBadTarget and names the target; nothing has changed then.
func (c *Checker) SetTargets(targets []Target) error {
	known := make(map[name]bool, len(targets))
	for _, t := range targets {
		if err := t.validate(); err != nil {
			return fmt.Errorf("health: set targets: %s/%s: %w", t.Service, t.Backend, err)
		}
		if known[t.name()] {
			return fmt.Errorf("health: set targets: %s/%s: %w: listed twice", t.Service, t.Backend, ErrBadTarget)
		}
		known[t.name()] = true
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ctx.Err() != nil {
		return nil
	}
	before := c.targets
	c.replace(targets)
	for id := range before {
		if before[id].up() != c.targets[id].up() {
			c.signal()
		}
	}
	for id := range c.targets {
		if before[id] == nil && c.targets[id].up() {
			c.signal()
		}
	}
	return nil
}

// replace is SetTargets for valid targets. Called with mu held.
func (c *Checker) replace(targets []Target) {
	all, byName, names := map[subject]*watch{}, map[name]*watch{}, map[*watch][]name{}
	var fresh []*watch
	for _, t := range targets {
		s := t.subject()
		w := all[s]
		if w == nil {
			if w = c.watches[s]; w == nil {
				w = &watch{subject: s, since: time.Now()}
				fresh = append(fresh, w)
			}
			all[s] = w
		}
		w.inherit(c.targets[t.name()])
		if t.Serving && w.stop == nil && w.verdict == (verdict{}) {
			w.verdict.state = Up
		}
		byName[t.name()] = w
		names[w] = append(names[w], t.name())
	}
	for s, w := range c.watches {
		if all[s] == nil {
			w.stop()
		}
	}
	for w, list := range names {
		w.names = list
	}
	c.targets, c.watches = byName, all
	c.keepPools()
	for i, w := range fresh {
		c.start(w, firstDelay(i, len(fresh)))
	}
}

// inherit gives a new watch what is known of a target that it is now to check:
// its address is the same, its check was another.
func (w *watch) inherit(was *watch) {
	if was != nil && was.addr == w.addr && w.stop == nil && w.verdict == (verdict{}) {
		w.verdict, w.last, w.since = was.verdict, was.last, was.since
	}
}

// start begins to check w, after a delay.
func (c *Checker) start(w *watch, delay time.Duration) {
	var ctx context.Context
	ctx, w.stop = context.WithCancel(c.ctx)
	probe := c.prober(w.subject, c.pools[w.check.CA])
	c.running.Go(func() { c.run(ctx, w, probe, delay) })
}

// keepPools makes a certificate pool for each CA that is checked by, and forgets
// the others. Thousands of checks by one CA share its pool.
func (c *Checker) keepPools() {
	pools := map[CA]*x509.CertPool{}
	for s := range c.watches {
		ca := s.check.CA
		if _, done := pools[ca]; done {
			continue
		}
		pool, kept := c.pools[ca]
		if !kept {
			pool = ca.pool()
		}
		pools[ca] = pool
	}
	c.pools = pools
}
