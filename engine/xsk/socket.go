package xsk

import (
	"errors"
	"fmt"
	"math/bits"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"appliance/engine"
)

// What a Socket holds a frame for: the values of Socket.owner.
const (
	notHeld  uint8 = iota // someone else's
	posted                // in the fill ring, with the driver, or in the rx ring
	outgoing              // in the tx ring, with the driver, or in the completion ring
)

// A Socket is an AF_XDP socket bound to one queue of one interface. Open makes
// one. As with every [engine.Port], one thread at a time uses it; Stats may be
// called from any goroutine at any time.
type Socket struct {
	name     string // "eth0 queue 3", for messages
	cfg      Config // defaults filled in, Index set
	zeroCopy bool

	rx   consumer[unix.XDPDesc]
	tx   producer[unix.XDPDesc]
	fill producer[uint64]
	comp consumer[uint64]

	owner   []uint8          // by frame: what we hold it for; see the package's ownership law
	held    engine.Held      // how many bytes of owner are posted, and outgoing
	refused []uint32         // outgoing frames that never went into the tx ring: Reclaim returns them
	count   counters         // published for Stats
	shift   uint8            // log2 of the frame size
	stalled bool             // the last kick showed that only new traffic is worth another one
	gone    bool             // the interface was unregistered
	goneErr error            // made in advance: Err costs no allocation
	fd      int              // -1 when closed; written under mu
	mu      sync.Mutex       // guards fd and final between Close and Stats
	final   engine.PortStats // the kernel's counters as they were at Close
}

// counters are written by the socket's thread, once a batch each, and read by
// Stats.
type counters struct {
	rxPackets, rxBytes   atomic.Uint64
	txPackets, txBytes   atomic.Uint64
	txErrors, txRetries  atomic.Uint64
	badDescriptors, kick atomic.Uint64
}

// The compiler proves that a Socket is a Port.
var _ engine.Port = (*Socket)(nil)

func newSocket(arena *engine.Arena, cfg Config) *Socket {
	name := fmt.Sprintf("%s queue %d", cfg.Interface, cfg.Queue)
	return &Socket{
		name:    name,
		cfg:     cfg,
		owner:   make([]uint8, arena.Frames()),
		refused: make([]uint32, 0, cfg.Completion),
		shift:   uint8(bits.TrailingZeros(uint(arena.FrameSize()))),
		goneErr: fmt.Errorf("xsk: %s: %w", name, engine.ErrPortGone),
		fd:      -1,
	}
}

// ZeroCopy reports whether the driver works in the Arena directly.
func (s *Socket) ZeroCopy() bool { return s.zeroCopy }

// FD returns the socket's descriptor: what goes into an XSKMAP, and what
// becomes readable when frames can be received. In copy mode, polling it also
// sends what is queued.
func (s *Socket) FD() int { return s.fd }

// Held returns how many frames the socket owns. At most Config.Fill are posted,
// at most Config.Completion are outgoing.
func (s *Socket) Held() engine.Held { return s.held }

// Err returns nil while the socket works, and an error that wraps
// [engine.ErrPortGone] once its interface was unregistered or moved to another
// network namespace. It costs a system call: nothing tells us unasked.
func (s *Socket) Err() error {
	if !s.gone && s.fd >= 0 && s.recvfrom() == unix.ENXIO {
		s.gone = true
	}
	if s.gone {
		return s.goneErr
	}
	return nil
}

// recvfrom has the kernel look at the fill ring and, with BusyPoll, run the
// driver. It moves no data: received frames are in the rx ring.
func (s *Socket) recvfrom() unix.Errno {
	_, _, errno := unix.RawSyscall6(unix.SYS_RECVFROM, uintptr(s.fd), 0, 0, unix.MSG_DONTWAIT, 0, 0)
	return errno
}

// Stats returns the socket's counters. They stay readable after Close.
func (s *Socket) Stats() engine.PortStats {
	s.mu.Lock()
	stats := s.kernelStats()
	s.mu.Unlock()
	stats.RxPackets = s.count.rxPackets.Load()
	stats.RxBytes = s.count.rxBytes.Load()
	stats.TxPackets = s.count.txPackets.Load()
	stats.TxBytes = s.count.txBytes.Load()
	stats.TxErrors = s.count.txErrors.Load()
	stats.TxRetries = s.count.txRetries.Load()
	stats.BadDescriptors = s.count.badDescriptors.Load()
	stats.Kicks = s.count.kick.Load()
	return stats
}

// kernelStats returns the kernel's counters. The caller holds mu.
func (s *Socket) kernelStats() engine.PortStats {
	if s.fd < 0 {
		return s.final
	}
	k, err := xdpStatistics(s.fd)
	if err != nil {
		return s.final // cannot happen on an open AF_XDP socket
	}
	return engine.PortStats{
		RxDropped:  k.Rx_dropped,
		RxRingFull: k.Rx_ring_full,
		FillEmpty:  k.Rx_fill_ring_empty_descs,
		TxInvalid:  k.Tx_invalid_descs,
	}
}

// linger is how long Close waits for frames that are on their way out.
const linger = 20 * time.Millisecond

// Close ends the socket and puts every frame it held onto free. Frames queued
// to be sent get a short time to leave. In zero-copy mode it returns only after
// the driver let go of the queue, because until then the device may write into
// posted frames; if that takes too long, it says so, and keeps the frames.
// Closing twice does nothing.
func (s *Socket) Close(free *engine.Frames) error {
	if s.fd < 0 {
		return nil
	}
	for end := time.Now().Add(linger); s.held.Transmit > 0 && s.Err() == nil && time.Now().Before(end); {
		s.Flush()
		s.Reclaim(free)
		if s.stalled {
			break
		}
	}
	if err := s.shut(); err != nil {
		return fmt.Errorf("xsk: close %s: %w", s.name, err)
	}
	if s.zeroCopy && !s.gone {
		if err := waitReleased(s.cfg); err != nil {
			return fmt.Errorf("xsk: close %s: %d frames stay with the driver: %w", s.name, s.held.Fill+s.held.Transmit, err)
		}
	}
	for frame, held := range s.owner {
		if held != notHeld {
			free.Push(uint32(frame))
		}
	}
	clear(s.owner)
	s.held = engine.Held{}
	return nil
}

// shut unmaps the rings and closes the descriptor, which also takes the socket
// out of every XSKMAP.
func (s *Socket) shut() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.final = s.kernelStats()
	fd := s.fd
	s.fd = -1
	return errors.Join(s.rx.unmap(), s.tx.unmap(), s.fill.unmap(), s.comp.unmap(), unix.Close(fd))
}
