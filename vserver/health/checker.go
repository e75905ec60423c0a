package health

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"
)

// A Checker checks targets until it is closed. All its methods are safe for
// concurrent use.
type Checker struct {
	cfg       Config
	transport *http.Transport
	slots     chan struct{} // holds one token for each check that runs
	changes   chan struct{}
	ctx       context.Context // ends with Close
	cancel    context.CancelFunc
	running   sync.WaitGroup

	mu      sync.RWMutex
	watches map[name]*watch
}

// A name tells targets apart.
type name struct{ service, backend string }

// A watch is one target with what is known of it. Its own goroutine runs the
// checks; replacing the watch ends it.
type watch struct {
	target Target // never changes
	stop   context.CancelFunc

	// Guarded by Checker.mu.
	verdict verdict
	last    result
	since   time.Time // of the state
}

// A result is the outcome of one check.
type result struct {
	at   time.Time
	took time.Duration
	err  error
}

// New returns a Checker that has no targets yet. Close ends it.
func New(cfg Config) *Checker {
	cfg = cfg.withDefaults()
	ctx, cancel := context.WithCancel(context.Background())
	return &Checker{
		cfg:       cfg,
		transport: newTransport(cfg),
		slots:     make(chan struct{}, cfg.Concurrency),
		changes:   make(chan struct{}, 1),
		ctx:       ctx,
		cancel:    cancel,
		watches:   map[name]*watch{},
	}
}

// Close ends all checks and waits for them. Verdicts stay as they were.
func (c *Checker) Close() {
	c.mu.Lock() // so that no SetTargets adds to running meanwhile
	c.cancel()
	c.mu.Unlock()
	c.running.Wait()
	c.transport.CloseIdleConnections()
}

// SetTargets makes targets the whole set of what is checked. A target that was
// there already, check and address alike, goes on undisturbed; one whose check
// or name changed keeps its verdict; one whose address changed starts anew. After
// Close it does nothing.
//
// The error wraps ErrBadTarget and names the target; nothing has changed then.
func (c *Checker) SetTargets(targets []Target) error {
	next := make(map[name]Target, len(targets))
	for _, t := range targets {
		id := name{t.Service, t.Backend}
		if err := t.validate(); err != nil {
			return fmt.Errorf("health: set targets: %s/%s: %w", t.Service, t.Backend, err)
		}
		if _, twice := next[id]; twice {
			return fmt.Errorf("health: set targets: %s/%s: %w: listed twice", t.Service, t.Backend, ErrBadTarget)
		}
		next[id] = t
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ctx.Err() != nil {
		return nil
	}
	changed := false
	gone := map[Target]*watch{} // by target without its name
	for id, w := range c.watches {
		if t, stays := next[id]; !stays || t.Addr != w.target.Addr {
			w.stop()
			delete(c.watches, id)
			gone[w.target.nameless()] = w
			changed = changed || w.verdict.state == Up
		}
	}
	for id, t := range next {
		c.watch(id, t, gone[t.nameless()])
	}
	if changed {
		c.signal()
	}
	return nil
}

// watch starts checking t, unless that is being done already. renamed is what
// has checked t under another name; nil: nothing has. Called with mu held.
func (c *Checker) watch(id name, t Target, renamed *watch) {
	w := &watch{target: t, since: time.Now()}
	was := c.watches[id]
	if was == nil {
		was = renamed
	}
	if was != nil {
		if was.target == t {
			return
		}
		was.stop()
		w.verdict, w.last, w.since = was.verdict, was.last, was.since
	}
	var ctx context.Context
	ctx, w.stop = context.WithCancel(c.ctx)
	c.watches[id] = w
	c.running.Go(func() { c.run(ctx, id, w) })
}

// run checks w until ctx ends.
func (c *Checker) run(ctx context.Context, id name, w *watch) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	pause := firstPause
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		select {
		case <-ctx.Done():
			return
		case c.slots <- struct{}{}:
		}
		r := c.check(ctx, w.target)
		<-c.slots
		if ctx.Err() != nil {
			return // the check was broken off: its result means nothing
		}
		c.record(id, w, r)
		timer.Reset(time.Until(r.at.Add(pause(w.target.Check.Interval))))
		pause = nextPause
	}
}

// firstPause spreads targets that were added together over the interval.
func firstPause(interval time.Duration) time.Duration {
	return time.Duration((0.1 + 0.9*rand.Float64()) * float64(interval))
}

// nextPause keeps them spread: without jitter, targets whose checks are slow
// for a common reason would fall into step.
func nextPause(interval time.Duration) time.Duration {
	return time.Duration((0.9 + 0.2*rand.Float64()) * float64(interval))
}

// check runs one check, bounded by the target's time-out.
func (c *Checker) check(ctx context.Context, t Target) result {
	ctx, cancel := context.WithTimeout(ctx, t.Check.Timeout)
	defer cancel()
	start := time.Now()
	err := c.probe(ctx, t)
	if err != nil && errors.Is(ctx.Err(), context.DeadlineExceeded) {
		err = fmt.Errorf("health: no answer within %v: %w", t.Check.Timeout, err)
	}
	return result{at: start, took: time.Since(start), err: err}
}

// record enters the result of a check of w.
func (c *Checker) record(id name, w *watch, r result) {
	c.mu.Lock()
	if c.watches[id] != w {
		c.mu.Unlock()
		return // replaced while the check ran
	}
	was := w.verdict.state
	changed := w.verdict.record(r.err == nil, w.target.Check.Rise, w.target.Check.Fall)
	now := w.verdict.state
	w.last = r
	if changed {
		w.since = r.at.Add(r.took)
	}
	c.mu.Unlock()
	if !changed {
		return
	}
	if was == Up || now == Up {
		c.signal()
	}
	c.cfg.Log.Info("backend is "+now.String(), "service", id.service, "backend", id.backend,
		"address", w.target.Addr, "was", was.String(), "error", r.err)
}

// signal says on Changes that some answer of Up changed.
func (c *Checker) signal() {
	select {
	case c.changes <- struct{}{}:
	default: // the reader hasn't seen the last signal yet, and it covers this
	}
}

// Changes returns a channel that receives whenever Up answers differently for
// some target. Signals that nobody has read yet are merged into one.
func (c *Checker) Changes() <-chan struct{} { return c.changes }

// Up reports whether the backend of the service may get new flows. It is false
// for targets that are not being checked.
func (c *Checker) Up(service, backend string) bool {
	c.mu.RLock()
	defer c.mu.RUnlock()
	w := c.watches[name{service, backend}]
	return w != nil && w.verdict.state == Up
}
