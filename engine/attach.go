package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// giveBackTime bounds how long RemovePort waits for an engine to take a closed
// port's frames back.
const giveBackTime = time.Second

// AddPort puts a port of the given interface number into the engine's loop,
// which owns it from then on. After an error it is the caller's still, and
// holds no frames.
func (e *Engine) AddPort(ctx context.Context, iface int, p Port) error {
	if iface < 0 || iface >= e.cfg.Interfaces {
		return fmt.Errorf("engine %d: add port: interface number %d, want 0 to %d", e.id, iface, e.cfg.Interfaces-1)
	}
	return e.Call(ctx, func() { e.addPort(iface, p) })
}

// RemovePort takes a port out of the engine's loop and closes it. The engine
// goes on meanwhile, because a close can take long: the kernel waits for all
// processors to have left the receive path (some 10 ms), zero-copy for the
// device too. A port that is not in the loop is left alone. After an error of
// ctx the port is still in the loop; any other is the port's.
func (e *Engine) RemovePort(ctx context.Context, p Port) error {
	var held Held
	var found bool
	if err := e.Call(ctx, func() { held, found = e.takeOut(p) }); err != nil || !found {
		return err
	}
	frames := NewFrames(e.arena.Frames())
	err := p.Close(frames)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), giveBackTime)
	defer cancel()
	err = errors.Join(err, e.Call(ctx, func() { e.takeBack(held, frames) }))
	if err != nil {
		return fmt.Errorf("engine %d: remove port: %w", e.id, err)
	}
	return nil
}

// Gone returns the ports in the loop whose interface is gone: they move nothing
// any more and wait for RemovePort.
func (e *Engine) Gone(ctx context.Context) ([]Port, error) {
	var gone []Port
	err := e.Call(ctx, func() {
		for _, s := range e.slots {
			if s.gone {
				gone = append(gone, s.port)
			}
		}
	})
	return gone, err
}

// addPort puts a port into the loop. Engine thread only, as all below.
func (e *Engine) addPort(iface int, p Port) {
	e.slots = append(e.slots, &slot{port: p, iface: uint8(iface)})
	e.setLanes()
	p.Refill(e.free)
}

// takeOut takes a port out of the loop and says how many frames it holds, which
// the ledger goes on counting as the port's.
func (e *Engine) takeOut(p Port) (held Held, found bool) {
	i := slices.IndexFunc(e.slots, func(s *slot) bool { return s.port == p })
	if i < 0 {
		return Held{}, false
	}
	e.slots = slices.Delete(e.slots, i, i+1)
	e.setLanes()
	held = p.Held()
	e.closing.Fill += held.Fill
	e.closing.Transmit += held.Transmit
	return held, true
}

// takeBack takes the frames of a port that was taken out and is closed.
func (e *Engine) takeBack(held Held, frames *Frames) {
	e.closing.Fill -= held.Fill
	e.closing.Transmit -= held.Transmit
	for frame, ok := frames.Pop(); ok; frame, ok = frames.Pop() {
		e.free.Push(frame)
	}
}

// closePorts closes all ports, while the thread doesn't run.
func (e *Engine) closePorts() error {
	var errs []error
	for _, s := range e.slots {
		errs = append(errs, s.port.Close(e.free))
	}
	e.slots = nil
	e.setLanes()
	return errors.Join(errs...)
}
