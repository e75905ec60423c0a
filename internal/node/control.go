package node

import (
	"context"
	"errors"
	"time"

	"appliance/vserver"
)

// While the node starts, it looks whether it is ready every settleEvery.
// settleTime bounds how long that waits for next hops and first health checks:
// dead ones take a time-out each, and never come.
const (
	settleEvery = 100 * time.Millisecond
	settleTime  = 5 * time.Second
)

// While backends are on their way up after a slow start, snapshots are built anew
// for their steps, but not more often than every stepPause, whatever number of
// them there is; else every idleSteps, for nothing.
const (
	stepPause = 100 * time.Millisecond
	idleSteps = time.Hour
)

// untilStep returns how long the snapshot that was built last is good for. The
// caller holds changing, or is alone.
func (n *Node) untilStep() time.Duration {
	at, ok := n.builder.NextStep()
	if !ok {
		return idleSteps
	}
	return max(time.Until(at), stepPause)
}

// control starts the goroutines of the control half.
func (n *Node) control() {
	ctx, stop := context.WithCancel(context.Background())
	n.stop = stop
	n.done.Go(func() { n.host.Run(ctx) })
	n.done.Go(func() { n.loop(ctx) })
	n.done.Go(func() { n.links(ctx) })
	n.done.Go(func() { n.answer(ctx) })
	n.done.Go(func() { n.forgive(ctx) })
}

// loop is the control loop: it reacts to what changes, one change at a time.
func (n *Node) loop(ctx context.Context) {
	tick := time.NewTicker(settleEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-n.host.Changes():
			select {
			case n.relink <- struct{}{}:
			default: // links hasn't seen the last signal yet, and it covers this
			}
			n.refresh()
		case <-n.checker.Changes():
			n.refresh()
		case <-n.steps.C:
			n.refresh()
		case <-tick.C:
		}
		if n.settle() {
			tick.Stop()
		}
	}
}

// settle makes the node ready once next hops are resolved and every backend was
// checked, which is what can be known beforehand, and reports whether it is.
func (n *Node) settle() bool {
	if n.Ready() == nil {
		return true
	}
	if !n.settled() && time.Since(n.started) < settleTime {
		return false
	}
	n.mu.Lock()
	n.ready = true
	n.mu.Unlock()
	n.log.Info("ready", "after", time.Since(n.started).Round(time.Millisecond))
	return true
}

func (n *Node) settled() bool {
	if !n.host.Settled() {
		return false
	}
	for _, s := range n.checker.Status() {
		if s.Checked.IsZero() {
			return false
		}
	}
	return true
}

// refresh publishes a new snapshot of the same configuration.
func (n *Node) refresh() {
	n.changing.Lock()
	defer n.changing.Unlock()
	services, err := n.builder.Build(n.want.Services, n.up(n.want.Checks), n.host.Current().FIB)
	if err != nil {
		n.log.Error("snapshot not built, the one before it stays in force", "error", err)
		return
	}
	n.publish(services)
}

// answer passes the engines' questions for next hops on to the kernel.
func (n *Node) answer(ctx context.Context) {
	questions := make([]vserver.Neighbour, 64)
	for {
		select {
		case <-ctx.Done():
			return
		case <-n.asked:
			n.resolve(questions)
		}
	}
}

func (n *Node) resolve(questions []vserver.Neighbour) {
	for _, h := range n.handlers {
		for _, q := range questions[:h.Unresolved(questions)] {
			n.host.Resolve(q.Addr)
		}
	}
}

// Reload puts other services in force, without losing a flow of those that
// stay. The error says why they were refused; those before them stay then.
func (n *Node) Reload(want Services) error {
	n.changing.Lock()
	defer n.changing.Unlock()
	before := n.want
	err := n.apply(want)
	if err != nil {
		err = errors.Join(err, n.apply(before))
	}
	return err
}

// NoteReload keeps how the last reload went, for status.
func (n *Node) NoteReload(err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.reload = ReloadStatus{At: time.Now()}
	if err != nil {
		n.reload.Error = err.Error()
	}
}
