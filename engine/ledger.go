package engine

import "context"

// A Ledger says where the frames of an Arena are.
type Ledger struct {
	Free     int // on the engines' free stacks
	Fill     int // with ports, to receive into
	Transmit int // with ports, to be sent or reclaimed
	Handoff  int // handed to other engines, which have not given one back yet
	Held     int // with Handlers, which hold packets back
}

// Sum returns how many frames the ledger accounts for.
func (l Ledger) Sum() int { return l.Free + l.Fill + l.Transmit + l.Handoff + l.Held }

func (l *Ledger) add(m Ledger) {
	l.Free += m.Free
	l.Fill += m.Fill
	l.Transmit += m.Transmit
	l.Handoff += m.Handoff
	l.Held += m.Held
}

// Ledger counts all frames while the engines run. They are asked one after the
// other, and the sum is exact all the same: between two passes the frames that
// an engine has, together with those it has lent, are always the same number.
func (g *Group) Ledger(ctx context.Context) (Ledger, error) {
	var sum Ledger
	for _, e := range g.engines {
		if err := e.Call(ctx, func() { sum.add(e.ledger()) }); err != nil {
			return Ledger{}, err
		}
	}
	return sum, nil
}

// ledger counts an engine's own frames, and those it has lent. Engine thread
// only.
func (e *Engine) ledger() Ledger {
	l := Ledger{Free: e.free.Len(), Fill: e.closing.Fill, Transmit: e.closing.Transmit, Handoff: e.lent, Held: e.held()}
	for _, s := range e.slots {
		held := s.port.Held()
		l.Fill += held.Fill
		l.Transmit += held.Transmit
	}
	return l
}

// held returns how many frames the engine's Handler has. Engine thread only.
func (e *Engine) held() int {
	if e.holder == nil {
		return 0
	}
	return e.holder.Held()
}

// found counts the frames that are there when all ports are closed: on the free
// stacks, with Handlers, and in the rings between engines. No engine may be
// running.
func (g *Group) found() (frames int) {
	for _, e := range g.engines {
		frames += e.free.Len() + e.held()
		for i := range e.out {
			if e.out[i] != nil {
				frames += e.out[i].length() + e.taken[i].length()
			}
		}
	}
	return frames
}
