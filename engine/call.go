package engine

import (
	"context"
	"errors"
	"fmt"
)

// ErrStopped reports that the engine's thread has ended.
var ErrStopped = errors.New("engine has stopped")

// A call is a function that waits to run on the engine's thread.
type call struct {
	fn   func()
	done chan struct{}
}

// Call runs fn on the engine's thread between two passes and returns when it
// has run. It is how the control half reads counters and flow records, and
// changes ports, without a lock in the packet path: packets wait while fn runs,
// so fn must be short, and wait for nobody. The error wraps ctx's when the
// engine didn't get to it in time, which means that it is stuck, or is
// ErrStopped; fn has not run then and never will. Safe for concurrent use;
// callers queue, each as long as its ctx allows.
func (e *Engine) Call(ctx context.Context, fn func()) error {
	select {
	case e.caller <- struct{}{}:
		defer func() { <-e.caller }()
	case <-ctx.Done():
		return fmt.Errorf("engine %d: call: %w", e.id, ctx.Err())
	}
	c := &call{fn: fn, done: make(chan struct{})}
	e.call.Store(c)
	e.idle.wake()
	select {
	case <-c.done:
		return nil
	case <-e.done:
	case <-ctx.Done():
	}
	if e.call.CompareAndSwap(c, nil) { // not begun: take it back
		if ctx.Err() != nil {
			return fmt.Errorf("engine %d: call: %w", e.id, ctx.Err())
		}
		return fmt.Errorf("engine %d: call: %w", e.id, ErrStopped)
	}
	<-c.done // begun: fn is short
	return nil
}

// serve runs the waiting call and reports whether there was one. Engine thread
// only.
func (e *Engine) serve() bool {
	if e.call.Load() == nil {
		return false
	}
	c := e.call.Swap(nil)
	if c == nil {
		return false
	}
	c.fn()
	close(c.done)
	return true
}

// Counters returns a copy of the engine's counters, taken between two passes.
func (e *Engine) Counters(ctx context.Context) (Counters, error) {
	var c Counters
	err := e.Call(ctx, func() {
		c = e.counters
		c.Held = uint64(e.held())
	})
	return c, err
}
