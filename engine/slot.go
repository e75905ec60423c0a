package engine

// A slot is a port as its engine sees it.
type slot struct {
	port  Port
	iface uint8
	gone  bool // its interface is gone: neither polled, read nor written until removed
}

// A lane is the way out of one interface: its port and the frames of this pass
// that leave through it.
type lane struct {
	slot *slot
	segs []Segment // capacity Config.Batch
	busy bool      // frames were transmitted or are pending: needs Flush and Reclaim
}

// setLanes recomputes each interface's lane: the first port that works.
func (e *Engine) setLanes() {
	for i := range e.lanes {
		e.lanes[i].slot = nil
	}
	for _, s := range e.slots {
		if l := &e.lanes[s.iface]; l.slot == nil && !s.gone {
			l.slot = s
			l.busy = true
		}
	}
}

// checkPorts takes ports whose interface is gone out of the loop. Their frames
// come back when the control half removes them.
func (e *Engine) checkPorts() {
	changed := false
	for _, s := range e.slots {
		if !s.gone && s.port.Err() != nil {
			s.gone = true
			changed = true
		}
	}
	if changed {
		e.setLanes()
	}
}
