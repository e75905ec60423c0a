package asavie

import (
	"errors"
	"fmt"
	"math/bits"
	"net"
	"runtime"
	"strings"
	"time"

	"github.com/asavie/xdp"
	"golang.org/x/sys/unix"

	"appliance/engine"
)

// DefaultRing is the default of ring sizes, in descriptors.
const DefaultRing = 2048

// A Config says which queue a Port serves and how. Zero values mean the
// defaults; only Interface is required.
type Config struct {
	Interface string // looked up in the network namespace of the calling thread unless Index is set
	Index     int    // interface index; 0: find it by name
	Queue     int    // rx and tx queue, from 0

	// Ring sizes in descriptors: powers of two.
	RxRing     int // default DefaultRing
	TxRing     int // default DefaultRing
	Fill       int // default twice RxRing
	Completion int // default TxRing

	// TxBudget is how many packets the kernel sends in one system call, 32 to
	// TxRing; kernels before 6.17 ignore it and use 32. Default 256.
	TxBudget int
}

// Frames returns how many frames of the Arena a Port of this Config owns at
// most.
func (c Config) Frames() int {
	c = c.withDefaults()
	return c.Fill + c.Completion
}

func (c Config) withDefaults() Config {
	preset := func(v *int, def int) {
		if *v == 0 {
			*v = def
		}
	}
	preset(&c.RxRing, DefaultRing)
	preset(&c.TxRing, DefaultRing)
	preset(&c.Fill, 2*c.RxRing)
	preset(&c.Completion, c.TxRing)
	preset(&c.TxBudget, min(256, c.TxRing))
	return c
}

// check returns what is wrong with c, whose defaults are filled in.
func (c Config) check() error {
	for _, size := range []int{c.RxRing, c.TxRing, c.Fill, c.Completion} {
		if size < 1 || bits.OnesCount(uint(size)) != 1 {
			return fmt.Errorf("ring of %d descriptors: want a power of two", size)
		}
	}
	switch {
	case runtime.GOARCH != "amd64":
		return errors.New("the library is wrong on CPUs other than amd64: use driver xsk")
	case c.Interface == "":
		return errors.New("no interface name")
	case c.Queue < 0:
		return fmt.Errorf("queue %d is negative", c.Queue)
	}
	return nil
}

// busyWait is how long a queue that is still held is waited for.
const busyWait = time.Second

// Open binds a new socket of the library to a queue. It wants what xsk.Open
// wants, and twice the memory.
func Open(arena *engine.Arena, cfg Config) (*Port, error) {
	cfg = cfg.withDefaults()
	p := &Port{
		name:    fmt.Sprintf("%s queue %d", cfg.Interface, cfg.Queue),
		cfg:     cfg,
		arena:   arena,
		posted:  make([]uint32, 0, max(cfg.Fill, 0)),
		refused: make([]uint32, 0, max(cfg.Completion, 0)),
		sent:    newQueue(max(cfg.Completion, 0)),
	}
	if err := p.open(); err != nil {
		return nil, fmt.Errorf("asavie: open %s: %w", p.name, err)
	}
	return p, nil
}

func (p *Port) open() error {
	if err := p.cfg.check(); err != nil {
		return err
	}
	if p.cfg.Index == 0 {
		i, err := net.InterfaceByName(p.cfg.Interface)
		if err != nil {
			return fmt.Errorf("no such interface (`ip link` lists them): %w", err)
		}
		p.cfg.Index = i.Index
	}
	options := &xdp.SocketOptions{
		NumFrames:              p.cfg.Frames(),
		FrameSize:              p.arena.FrameSize(),
		FillRingNumDescs:       p.cfg.Fill,
		CompletionRingNumDescs: p.cfg.Completion,
		RxRingNumDescs:         p.cfg.RxRing,
		TxRingNumDescs:         p.cfg.TxRing,
	}
	for end := time.Now().Add(busyWait); ; time.Sleep(10 * time.Millisecond) {
		s, err := xdp.NewSocket(p.cfg.Index, p.cfg.Queue, options)
		if err == nil {
			p.socket = s
			break
		}
		// The library formats its cause with %v, so its text is all there is.
		if !strings.Contains(err.Error(), unix.EBUSY.Error()) || time.Now().After(end) {
			return err
		}
	}
	// As package xsk does, and for its reasons; best effort, as there.
	want := p.cfg.Completion * p.arena.FrameSize()
	if unix.SetsockoptInt(p.FD(), unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, want) != nil {
		_ = unix.SetsockoptInt(p.FD(), unix.SOL_SOCKET, unix.SO_SNDBUF, want)
	}
	_ = unix.SetsockoptInt(p.FD(), unix.SOL_XDP, unix.XDP_MAX_TX_SKB_BUDGET, p.cfg.TxBudget)
	return nil
}
