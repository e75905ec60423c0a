package health

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"
)

// A Checker checks targets until it is closed. All its methods are safe for
// concurrent use.
type Checker struct {
	cfg     Config
	slots   chan struct{} // holds one token for each check that runs
	changes chan struct{}
	ctx     context.Context // ends with Close
	cancel  context.CancelFunc
	running sync.WaitGroup

	mu      sync.RWMutex
	targets map[name]*watch // several targets of one subject have one watch
	watches map[subject]*watch
	pools   map[CA]*x509.CertPool // of the watches' checks
}

// A watch is one subject with what is known of it. Its own goroutine runs the
// checks; replacing the watch ends it.
type watch struct {
	subject // never changes
	stop    context.CancelFunc

	// Guarded by Checker.mu.
	names   []name // of the targets, replaced whole
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
		cfg:     cfg,
		slots:   make(chan struct{}, cfg.Concurrency),
		changes: make(chan struct{}, 1),
		ctx:     ctx,
		cancel:  cancel,
	}
}

// Close ends all checks and waits for them. Verdicts stay as they were.
func (c *Checker) Close() {
	c.mu.Lock() // so that no SetTargets adds to running meanwhile
	c.cancel()
	c.mu.Unlock()
	c.running.Wait()
}

// run checks w, after a delay, until ctx ends.
func (c *Checker) run(ctx context.Context, w *watch, probe prober, delay time.Duration) {
	timer := time.NewTimer(delay)
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
		r := check(ctx, probe, w.check.Timeout)
		<-c.slots
		if ctx.Err() != nil {
			return // the check was broken off: its result means nothing
		}
		c.record(ctx, w, r)
		timer.Reset(time.Until(r.at.Add(pause(w.check.Interval))))
		pause = nextPause
	}
}

// check runs one check, bounded by timeout.
func check(ctx context.Context, probe prober, timeout time.Duration) result {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	start := time.Now()
	err := probe(ctx)
	if err != nil && errors.Is(ctx.Err(), context.DeadlineExceeded) {
		err = fmt.Errorf("health: no answer within %v: %w", timeout, err)
	}
	return result{at: start, took: time.Since(start), err: err}
}

// record enters the result of a check of w, whose context is ctx.
func (c *Checker) record(ctx context.Context, w *watch, r result) {
	c.mu.Lock()
	if ctx.Err() != nil {
		c.mu.Unlock()
		return // replaced while the check ran
	}
	was := w.verdict.state
	changed := w.verdict.record(r.err == nil, w.check.Rise, w.check.Fall)
	now, names := w.verdict.state, w.names
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
	level, why := slog.LevelInfo, []any{}
	if now != Up {
		level, why = slog.LevelWarn, []any{"error", r.err}
	}
	for _, n := range names {
		c.cfg.Log.Log(context.Background(), level, "backend is "+now.String(), append([]any{"service", n.service, "backend", n.backend,
			"address", w.addr, "check", w.check.Type, "was", was.String()}, why...)...)
	}
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
	return c.targets[name{service, backend}].up()
}

// up reports whether w may get new flows. Called with Checker.mu held; a nil
// watch is that of a target that is not being checked.
func (w *watch) up() bool { return w != nil && w.verdict.state == Up }
