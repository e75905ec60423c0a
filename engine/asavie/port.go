package asavie

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/asavie/xdp"
	"golang.org/x/sys/unix"

	"appliance/engine"
)

// A Port is a socket of the library, bound to one queue of one interface. Open
// makes one. As with every [engine.Port], one thread at a time uses it; Stats
// may be called from any goroutine at any time.
type Port struct {
	name  string // "eth0 queue 3", for messages
	cfg   Config // defaults filled in
	arena *engine.Arena

	posted  []uint32 // frames to copy received packets into
	sent    queue    // frames whose copies are on their way out, in order
	refused []uint32 // frames that could not be sent: Reclaim returns them

	count   counters
	stalled bool             // the last kick failed: only new traffic is worth another one
	broken  error            // why the port will never work again; nil while it does
	mu      sync.Mutex       // guards socket and final between Close and Stats
	socket  *xdp.Socket      // nil when closed
	final   engine.PortStats // the kernel's counters as they were at Close
}

// counters are written by the port's thread, once a batch each, and read by
// Stats.
type counters struct {
	rxPackets, rxBytes  atomic.Uint64
	txPackets, txBytes  atomic.Uint64
	txErrors, txRetries atomic.Uint64
	badDescriptors      atomic.Uint64
	kicks               atomic.Uint64
}

// The compiler proves that a Port is one.
var _ engine.Port = (*Port)(nil)

// FD returns the socket's descriptor: what goes into an XSKMAP, and what
// becomes readable when frames can be received.
func (p *Port) FD() int {
	if p.socket == nil {
		return -1
	}
	return p.socket.FD()
}

// Held returns how many frames of the Arena the port owns.
func (p *Port) Held() engine.Held {
	return engine.Held{Fill: len(p.posted), Transmit: p.sent.len() + len(p.refused)}
}

// Err returns nil while the port works, and an error that wraps
// [engine.ErrPortGone] once its interface is gone, or the library panicked in
// a way that leaves the rings in doubt. It costs a system call.
func (p *Port) Err() error {
	if p.broken == nil && p.socket != nil {
		_, _, errno := unix.RawSyscall6(unix.SYS_RECVFROM, uintptr(p.socket.FD()), 0, 0, unix.MSG_DONTWAIT, 0, 0)
		if errno == unix.ENXIO {
			p.broken = fmt.Errorf("asavie: %s: %w", p.name, engine.ErrPortGone)
		}
	}
	return p.broken
}

// guard, deferred around calls into the library, turns a panic into a broken
// port.
func (p *Port) guard() {
	if r := recover(); r != nil {
		p.broken = fmt.Errorf("asavie: %s: library panicked: %v: %w", p.name, r, engine.ErrPortGone)
	}
}

// Stats returns the port's counters. They stay readable after Close.
func (p *Port) Stats() engine.PortStats {
	p.mu.Lock()
	stats := p.kernelStats()
	p.mu.Unlock()
	stats.RxPackets = p.count.rxPackets.Load()
	stats.RxBytes = p.count.rxBytes.Load()
	stats.TxPackets = p.count.txPackets.Load()
	stats.TxBytes = p.count.txBytes.Load()
	stats.TxErrors = p.count.txErrors.Load()
	stats.TxRetries = p.count.txRetries.Load()
	stats.BadDescriptors = p.count.badDescriptors.Load()
	stats.Kicks = p.count.kicks.Load()
	return stats
}

// kernelStats returns the kernel's counters. The caller holds mu.
func (p *Port) kernelStats() engine.PortStats {
	if p.socket == nil {
		return p.final
	}
	s, err := p.socket.Stats()
	if err != nil {
		return p.final // cannot happen on an open AF_XDP socket
	}
	k := s.KernelStats
	return engine.PortStats{
		RxDropped:  k.Rx_dropped,
		RxRingFull: k.Rx_ring_full,
		FillEmpty:  k.Rx_fill_ring_empty_descs,
		TxInvalid:  k.Tx_invalid_descs,
	}
}

// Close ends the port and puts every frame it held onto free. Nothing of the
// Arena is known to the kernel, so there is nothing to wait for. Closing twice
// does nothing.
func (p *Port) Close(free *engine.Frames) error {
	if p.socket == nil {
		return nil
	}
	err := p.shut()
	for _, frame := range p.posted {
		free.Push(frame)
	}
	p.posted = p.posted[:0]
	p.giveBack(free, p.sent.len())
	if err != nil {
		return fmt.Errorf("asavie: close %s: %w", p.name, err)
	}
	return nil
}

func (p *Port) shut() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.final = p.kernelStats()
	s := p.socket
	p.socket = nil
	inode, err := inodeOf(s.FD())
	if err != nil {
		return errors.Join(err, s.Close())
	}
	return errors.Join(s.Close(), unmapRings(inode))
}
