package xsk

import (
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"appliance/engine"
)

// How long a queue that is still held is waited for. The kernel releases a
// closed socket's queue from a work queue, after an RCU grace period; a process
// that was killed takes a little longer.
const (
	busyWait  = time.Second
	firstNap  = time.Millisecond
	longest   = 100 * time.Millisecond
	busyTicks = 20 // SO_BUSY_POLL in microseconds; a non-blocking call polls once whatever it is
)

// Open binds a new AF_XDP socket to a queue. The socket receives nothing until
// Refill posted frames and its FD is in the XSKMAP of the interface's program.
//
// Open wants CAP_NET_RAW in the network namespace of the calling thread, and
// either CAP_IPC_LOCK or an RLIMIT_MEMLOCK of the Arena's size times the
// sockets that share it. If the queue is taken, it waits for it up to a second.
// Errors are one line that says what to do.
func Open(arena *engine.Arena, cfg Config) (*Socket, error) {
	cfg = cfg.withDefaults()
	if err := cfg.check(); err != nil {
		return nil, fmt.Errorf("xsk: open %s queue %d: %w", cfg.Interface, cfg.Queue, err)
	}
	s := newSocket(arena, cfg)
	if err := s.open(arena); err != nil {
		if s.fd >= 0 {
			_ = s.shut() // what failed before is what the caller must know
		}
		return nil, fmt.Errorf("xsk: open %s: %w", s.name, err)
	}
	return s, nil
}

// open does the steps of Open. If one fails the caller calls shut.
func (s *Socket) open(arena *engine.Arena) error {
	index, err := s.cfg.index()
	if err != nil {
		return err
	}
	s.cfg.Index = index
	if s.fd, err = unix.Socket(unix.AF_XDP, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0); err != nil {
		s.fd = -1
		return explainSocket(err)
	}
	if err := registerUMEM(s.fd, arena.Memory(), arena.FrameSize()); err != nil {
		return explainUMEM(err, len(arena.Memory()))
	}
	if err := s.makeRings(); err != nil {
		return err
	}
	if err := s.setOptions(); err != nil {
		return err
	}
	if err := bind(s.fd, s.cfg); err != nil {
		return err
	}
	flags, err := xdpOptions(s.fd)
	if err != nil {
		return fmt.Errorf("ask for the mode: %w", err)
	}
	s.zeroCopy = flags&unix.XDP_OPTIONS_ZEROCOPY != 0
	return nil
}

// makeRings has the kernel make the four rings, and maps them.
func (s *Socket) makeRings() error {
	for _, r := range []struct{ option, size int }{
		{unix.XDP_UMEM_FILL_RING, s.cfg.Fill},
		{unix.XDP_UMEM_COMPLETION_RING, s.cfg.Completion},
		{unix.XDP_RX_RING, s.cfg.RxRing},
		{unix.XDP_TX_RING, s.cfg.TxRing},
	} {
		if err := unix.SetsockoptInt(s.fd, unix.SOL_XDP, r.option, r.size); err != nil {
			return fmt.Errorf("make a ring of %d descriptors: %w", r.size, err)
		}
	}
	at, err := mmapOffsets(s.fd)
	if err != nil {
		return fmt.Errorf("ask where the rings are: %w", err)
	}
	if s.fill.ring, err = mapRing[uint64](s.fd, unix.XDP_UMEM_PGOFF_FILL_RING, at.Fr, s.cfg.Fill); err != nil {
		return err
	}
	if s.comp.ring, err = mapRing[uint64](s.fd, unix.XDP_UMEM_PGOFF_COMPLETION_RING, at.Cr, s.cfg.Completion); err != nil {
		return err
	}
	if s.rx.ring, err = mapRing[unix.XDPDesc](s.fd, unix.XDP_PGOFF_RX_RING, at.Rx, s.cfg.RxRing); err != nil {
		return err
	}
	s.tx.ring, err = mapRing[unix.XDPDesc](s.fd, unix.XDP_PGOFF_TX_RING, at.Tx, s.cfg.TxRing)
	return err
}

// setOptions sets what makes transmission in copy mode cheaper, where the
// kernel and our rights allow it, and what busy polling needs.
func (s *Socket) setOptions() error {
	// Sending in copy mode charges a buffer of about frame size to the socket
	// until it is sent: the limit must not be what stops us. The kernel clamps
	// the value without CAP_NET_ADMIN, and doubles it. Best effort.
	want := s.cfg.Completion << s.shift
	if unix.SetsockoptInt(s.fd, unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, want) != nil {
		_ = unix.SetsockoptInt(s.fd, unix.SOL_SOCKET, unix.SO_SNDBUF, want)
	}
	// Unknown before 6.17: the budget is 32 then, and Flush calls more often.
	_ = unix.SetsockoptInt(s.fd, unix.SOL_XDP, unix.XDP_MAX_TX_SKB_BUDGET, s.cfg.TxBudget)
	if !s.cfg.BusyPoll {
		return nil
	}
	for _, o := range []struct{ option, value int }{
		{unix.SO_PREFER_BUSY_POLL, 1},
		{unix.SO_BUSY_POLL, busyTicks},
		{unix.SO_BUSY_POLL_BUDGET, s.cfg.BusyBudget},
	} {
		if err := unix.SetsockoptInt(s.fd, unix.SOL_SOCKET, o.option, o.value); err != nil {
			return fmt.Errorf("busy polling needs Linux 5.11 and CAP_NET_ADMIN: %w", err)
		}
	}
	return nil
}

// bind binds the socket to its queue, waiting for a while if it is taken.
func bind(fd int, cfg Config) error {
	addr := &unix.SockaddrXDP{
		Flags:   unix.XDP_USE_NEED_WAKEUP,
		Ifindex: uint32(cfg.Index),
		QueueID: uint32(cfg.Queue),
	}
	switch cfg.ZeroCopy {
	case ZeroCopyOff:
		addr.Flags |= unix.XDP_COPY
	case ZeroCopyRequire:
		addr.Flags |= unix.XDP_ZEROCOPY
	}
	end := time.Now().Add(busyWait)
	for nap := firstNap; ; nap = min(2*nap, longest) {
		err := unix.Bind(fd, addr)
		if !errors.Is(err, unix.EBUSY) || time.Now().After(end) {
			return explainBind(err, cfg)
		}
		time.Sleep(nap)
	}
}

// waitReleased returns when the kernel has released the queue of a socket that
// was closed, which it does a moment after close returns: only then can the
// device not write into the frames any more. Nothing tells us but that a probe
// socket, with a page of its own for packet memory, can be bound again.
func waitReleased(cfg Config) error {
	page, err := unix.Mmap(-1, 0, os.Getpagesize(), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	if err != nil {
		return fmt.Errorf("map a page: %w", err)
	}
	defer unix.Munmap(page)
	fd, err := unix.Socket(unix.AF_XDP, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return explainSocket(err)
	}
	defer unix.Close(fd)
	if err := registerUMEM(fd, page, len(page)); err != nil {
		return explainUMEM(err, len(page))
	}
	for _, ring := range []int{unix.XDP_UMEM_FILL_RING, unix.XDP_UMEM_COMPLETION_RING, unix.XDP_RX_RING} {
		if err := unix.SetsockoptInt(fd, unix.SOL_XDP, ring, minRing); err != nil {
			return fmt.Errorf("make a ring: %w", err)
		}
	}
	cfg.ZeroCopy = ZeroCopyOff
	if err := bind(fd, cfg); err != nil && !errors.Is(err, unix.ENODEV) {
		return err
	}
	return nil
}
