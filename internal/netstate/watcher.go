package netstate

import (
	"context"
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"appliance/internal/fib"
)

// A Watcher watches one network namespace. All its methods are safe for
// concurrent use.
type Watcher struct {
	cfg     Config
	changes chan struct{}

	state atomic.Pointer[State] // stored with mu held

	mu     sync.Mutex // held while the kernel is asked, which may take long
	kernel *kernel    // nil once closed
	stop   func()     // ends Run
	view   view
	stale  parts     // of the view, to be loaded with the next apply
	input  fib.Input // what the state's FIB was compiled from
	keeper keeper
	snips  snips
}

// New opens the Watcher in the namespace of the calling thread and loads the
// State, so that Current has an answer. It needs CAP_NET_ADMIN and CAP_NET_RAW.
// From then on nothing that happens is missed, but it is seen only by Run.
func New(cfg Config) (*Watcher, error) {
	if err := cfg.check(); err != nil {
		return nil, fmt.Errorf("netstate: new: %w", err)
	}
	k, err := openKernel()
	if err != nil {
		return nil, fmt.Errorf("netstate: new: %w", err)
	}
	w := &Watcher{
		cfg:     cfg,
		changes: make(chan struct{}, 1),
		kernel:  k,
		stop:    func() {},
		stale:   allParts,
		view:    view{guarded: map[string]int{}},
		keeper:  newKeeper(),
		snips:   newSNIPs(),
	}
	w.state.Store(new(State))
	if err := w.apply(); err != nil {
		k.close()
		return nil, fmt.Errorf("netstate: new: %w", err)
	}
	return w, nil
}

// Close removes what the Watcher put into the kernel and releases its sockets.
// It ends Run. The error joins what couldn't be removed; the sockets are
// released all the same.
func (w *Watcher) Close() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.kernel == nil {
		return nil
	}
	w.stop()
	w.keeper.wanted = nil
	w.releaseNeighbours(true)
	err := w.removeSNIPs(func(netip.Addr) bool { return true })
	w.kernel.close()
	w.kernel = nil
	if err != nil {
		return fmt.Errorf("netstate: close: %w", err)
	}
	return nil
}

// Current returns the latest State. It never waits.
func (w *Watcher) Current() State { return *w.state.Load() }

// Changes returns a channel that receives whenever Current has a new answer.
// Signals that nobody has read yet are merged into one.
func (w *Watcher) Changes() <-chan struct{} { return w.changes }

// Run follows the kernel until ctx ends or the Watcher is closed. It may be
// called once.
func (w *Watcher) Run(ctx context.Context) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	w.mu.Lock()
	k := w.kernel
	w.stop = cancel
	w.mu.Unlock()
	if k == nil {
		return
	}
	events := make(chan event, 256)
	var reader sync.WaitGroup
	reader.Go(func() { k.receive(ctx, events, w.cfg.Log) })
	defer reader.Wait()
	defer k.events.Close() // ends receive
	w.follow(ctx, events)
}

// follow applies events, gathered, and whatever is due.
func (w *Watcher) follow(ctx context.Context, events <-chan event) {
	tick := time.NewTicker(tickTime)
	defer tick.Stop()
	due := time.NewTimer(0)
	defer due.Stop()
	var first time.Time // when the oldest event came that isn't applied yet
	for {
		select {
		case <-ctx.Done():
			return
		case e := <-events:
			if !w.take(e) {
				continue
			}
			if first.IsZero() {
				first = time.Now()
			}
			due.Reset(min(quietTime, gatherTime-time.Since(first)))
		case <-tick.C:
			if w.tick() {
				due.Reset(0)
			}
		case <-due.C:
			first = time.Time{}
			if err := w.locked(w.apply); err != nil {
				w.cfg.Log.Warn("network state is out of date, will try again", "error", err)
				due.Reset(retryTime)
			}
		}
	}
}

// take notes an event and reports whether it asks for apply.
func (w *Watcher) take(e event) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.stale |= e.reload
	if e.neighbour == nil {
		return true
	}
	matters := w.view.learn(e.neighbour, e.gone)
	return w.keeper.noticed(adjacency{addrOf(e.neighbour.IP), e.neighbour.LinkIndex}, e.gone) || matters
}

// tick does what has no event and reports whether it asks for apply.
func (w *Watcher) tick() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.kernel == nil {
		return false
	}
	w.keepNeighbours(time.Now())
	w.keepSNIPs(time.Now())
	return w.view.loadQueues(w.kernel, &w.cfg)
}

func (w *Watcher) locked(do func() error) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return do()
}

// apply loads what is stale, publishes a State if it differs, and mends what
// the Watcher keeps in the kernel. Called with mu held, or before anyone else
// has the Watcher.
func (w *Watcher) apply() error {
	if w.kernel == nil {
		return nil
	}
	if err := w.view.load(w.kernel, w.stale); err != nil {
		return err
	}
	if w.stale&linkPart != 0 {
		w.view.loadQueues(w.kernel, &w.cfg)
	}
	w.stale = 0
	if err := w.publish(); err != nil {
		return err
	}
	now := time.Now()
	w.keepNeighbours(now)
	w.keepSNIPs(now)
	return nil
}

// publish makes the view the current State, unless that says the same.
func (w *Watcher) publish() error {
	was := w.state.Load()
	next := w.view.state(&w.cfg)
	next.SNIPs = w.snips.held(&w.view, &w.cfg)
	next.FIB = was.FIB
	input := w.view.input(&w.cfg)
	if next.FIB == nil || !reflect.DeepEqual(input, w.input) {
		table, err := fib.Compile(input)
		if err != nil {
			return err
		}
		next.FIB, w.input = table, input
		w.keeper.want(table, input)
	}
	if next.FIB == was.FIB && slices.Equal(next.Links, was.Links) &&
		slices.Equal(next.Addresses, was.Addresses) && slices.Equal(next.SNIPs, was.SNIPs) {
		return nil
	}
	next.Generation = was.Generation + 1
	w.state.Store(&next)
	select {
	case w.changes <- struct{}{}:
	default: // the reader hasn't seen the last signal yet, and it covers this
	}
	return nil
}
