package memport

import (
	"errors"
	"fmt"
	"sync/atomic"
)

// A Config describes a link.
type Config struct {
	Size  int  // frames that fit each direction: a power of two, 1 to 65536
	Lossy bool // a full wire loses frames; otherwise Transmit takes fewer
}

// A link is two ends and a wire each way between them.
type link struct {
	lossy bool
	wires [2]*wire       // wires[i] carries what end i sends
	gone  [2]atomic.Bool // end i is closed, or was removed
	down  atomic.Bool    // nothing gets through
	open  atomic.Int32   // ends that aren't closed
}

// newLink returns a link on which frames sent by end i can be widths[i] bytes
// long.
func newLink(cfg Config, widths [2]int) (*link, error) {
	if cfg.Size < 1 || cfg.Size > 1<<16 || cfg.Size&(cfg.Size-1) != 0 {
		return nil, fmt.Errorf("wire of %d frames: want a power of two up to 65536", cfg.Size)
	}
	l := &link{lossy: cfg.Lossy}
	l.open.Store(2)
	for i := range l.wires {
		w, err := newWire(cfg.Size, widths[i])
		if err != nil {
			if i > 0 {
				err = errors.Join(err, l.wires[0].event.close())
			}
			return nil, err
		}
		l.wires[i] = w
	}
	return l, nil
}

// leave closes one end. The descriptors go with the last one: until then the
// other end may still write to them.
func (l *link) leave(end int) error {
	l.gone[end].Store(true)
	if l.open.Add(-1) > 0 {
		return nil
	}
	return errors.Join(l.wires[0].event.close(), l.wires[1].event.close())
}

// carries reports whether what end sends can arrive.
func (l *link) carries(end int) bool {
	return !l.down.Load() && !l.gone[end].Load() && !l.gone[1-end].Load()
}
