package engine

import (
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// A Group is the engines of one node: they share an Arena, a Snapshot and a
// mesh of hand-off rings.
type Group struct {
	cfg      Config
	arena    *Arena
	engines  []*Engine
	snapshot atomic.Pointer[Snapshot]
	clock    func() int64
	started  bool
}

// NewGroup makes one engine for each handler and shares the Arena's frames out
// among them. The engines begin with Start. The Group never closes the Arena.
func NewGroup(arena *Arena, cfg Config, handlers []Handler) (*Group, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if len(handlers) != cfg.Engines {
		return nil, fmt.Errorf("engine: %d handlers for %d engines", len(handlers), cfg.Engines)
	}
	began := time.Now()
	g := &Group{cfg: cfg, arena: arena, clock: func() int64 { return int64(time.Since(began)) }}
	for id, h := range handlers {
		e, err := g.newEngine(id, h)
		if err != nil {
			return nil, errors.Join(err, g.closeIdlers())
		}
		g.engines = append(g.engines, e)
	}
	for frame := range arena.Frames() {
		g.engines[frame%cfg.Engines].free.Push(uint32(frame))
	}
	if err := g.connect(); err != nil {
		return nil, errors.Join(err, g.closeIdlers())
	}
	return g, nil
}

func (g *Group) newEngine(id int, h Handler) (*Engine, error) {
	idle, err := newIdler()
	if err != nil {
		return nil, err
	}
	e := &Engine{
		id: id, cfg: &g.cfg, group: g, arena: g.arena, handler: h,
		free:   NewFrames(g.arena.Frames()),
		lanes:  make([]lane, g.cfg.Interfaces),
		batch:  make([]Packet, 0, g.cfg.Batch),
		segs:   make([]Segment, g.cfg.Batch),
		caller: make(chan struct{}, 1),
		done:   make(chan struct{}),
	}
	e.holder, _ = h.(Holder)
	e.idle.event = idle.event
	for i := range e.lanes {
		e.lanes[i].segs = make([]Segment, 0, g.cfg.Batch)
	}
	return e, nil
}

// connect lays a ring of packets and one of free frames between each two
// engines.
func (g *Group) connect() error {
	n := len(g.engines)
	for _, e := range g.engines {
		e.in, e.out = make([]*ring[Packet], n), make([]*ring[Packet], n)
		e.giveback, e.taken = make([]*ring[uint32], n), make([]*ring[uint32], n)
	}
	for _, from := range g.engines {
		for _, to := range g.engines {
			if from == to {
				continue
			}
			packets, err := newRing[Packet](g.cfg.Handoff)
			if err != nil {
				return err
			}
			frames, err := newRing[uint32](2 * g.cfg.Handoff)
			if err != nil {
				return err
			}
			from.out[to.id], to.in[from.id] = packets, packets
			to.giveback[from.id], from.taken[to.id] = frames, frames
		}
	}
	return nil
}

// Engines returns the group's engines in order. The slice is not to be changed.
func (g *Group) Engines() []*Engine { return g.engines }

// Publish makes s what every engine's next pass works by.
func (g *Group) Publish(s *Snapshot) { g.snapshot.Store(s) }

// Snapshot returns what was published last, or nil.
func (g *Group) Snapshot() *Snapshot { return g.snapshot.Load() }

// Start starts the engines' threads. After an error, Close is still due.
func (g *Group) Start() error {
	ready := make(chan error, len(g.engines))
	g.started = true
	for _, e := range g.engines {
		go e.run(ready)
	}
	var errs []error
	for range g.engines {
		errs = append(errs, <-ready)
	}
	return errors.Join(errs...)
}

// Close stops the engines, closes their ports and checks the frame ledger. Its
// error names what was lost. The Group is of no use afterwards.
func (g *Group) Close() error {
	for _, e := range g.engines {
		e.stop.Store(true)
		e.idle.wake()
	}
	var errs []error
	for _, e := range g.engines {
		if g.started {
			<-e.done
		}
		errs = append(errs, e.closePorts())
	}
	if found := g.found(); found != g.arena.Frames() {
		errs = append(errs, fmt.Errorf("engine: close: %d of %d frames are lost", g.arena.Frames()-found, g.arena.Frames()))
	}
	errs = append(errs, g.closeIdlers())
	return errors.Join(errs...)
}

func (g *Group) closeIdlers() error {
	var errs []error
	for _, e := range g.engines {
		errs = append(errs, unix.Close(e.idle.event))
	}
	return errors.Join(errs...)
}
