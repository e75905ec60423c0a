package xsk

import (
	"errors"
	"fmt"
	"math/bits"
	"net"

	"appliance/engine"
)

// ZeroCopy says whether the driver may receive into and send from the Arena
// directly.
type ZeroCopy uint8

// The choices. Zero-copy needs a driver that offers it and a native XDP program.
const (
	ZeroCopyAuto    ZeroCopy = iota // zero-copy where the driver offers it, else copy
	ZeroCopyOff                     // copy, always
	ZeroCopyRequire                 // zero-copy, or Open fails
)

// Defaults of Config, and the bounds of its ring sizes.
const (
	DefaultRing       = 2048 // 1 ms at 2 Mpps: longer than an engine sleeps, scheduled out excepted
	DefaultTxBudget   = 256  // about 0.3 ms in one system call in copy mode
	DefaultBusyBudget = 64   // NAPI_POLL_WEIGHT: what an interrupt would process

	minRing = 64 // twice the smallest transmit budget, TX_BATCH_SIZE in net/xdp/xsk.c
	maxRing = 1 << 15
)

// A Config says which queue a Socket serves and how. Zero values mean the
// defaults; only Interface is required.
type Config struct {
	// Interface is the interface's name, looked up in the network namespace of
	// the calling thread unless Index is set. It is part of error messages.
	Interface string
	Index     int // interface index; 0: find it by name
	Queue     int // rx and tx queue, from 0

	// Ring sizes in descriptors: powers of two from 64 to 32768.
	RxRing     int // default DefaultRing
	TxRing     int // default DefaultRing
	Fill       int // default twice RxRing: in zero-copy mode the NIC's own ring is filled from it too
	Completion int // default TxRing

	ZeroCopy ZeroCopy

	// TxBudget is how many packets the kernel sends in one system call in copy
	// mode, 32 to TxRing. More is cheaper per packet, but the call takes longer.
	// Kernels before 6.17 ignore it and use 32. Default DefaultTxBudget.
	TxBudget int

	// BusyPoll has Receive run the driver itself when the rx ring is empty
	// (SO_PREFER_BUSY_POLL), at most BusyBudget packets at a time. It takes
	// over from interrupts only if the interface's napi_defer_hard_irqs and
	// gro_flush_timeout are set. Needs Linux 5.11 and CAP_NET_ADMIN.
	BusyPoll   bool
	BusyBudget int // default DefaultBusyBudget
}

// Frames returns how many frames of the Arena a Socket of this Config owns at
// most: Fill posted to receive into and Completion on their way out.
func (c Config) Frames() int {
	c = c.withDefaults()
	return c.Fill + c.Completion
}

// MaxMTU returns the largest interface MTU, in bytes, whose packets fit frames
// of frameSize bytes behind the headroom. Like the kernel's check for zero-copy
// (xp_assign_dev in net/xdp/xsk_buff_pool.c) it leaves room for an Ethernet
// header, two VLAN tags and an FCS.
func MaxMTU(frameSize int) int {
	const ethernet, twoTags, fcs = 14, 2 * 4, 4
	return frameSize - engine.Headroom - (ethernet + twoTags + fcs)
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
	preset(&c.TxBudget, min(DefaultTxBudget, c.TxRing))
	preset(&c.BusyBudget, DefaultBusyBudget)
	return c
}

// check returns what is wrong with c, whose defaults are filled in.
func (c Config) check() error {
	for _, r := range []struct {
		name string
		size int
	}{{"rx ring", c.RxRing}, {"tx ring", c.TxRing}, {"fill ring", c.Fill}, {"completion ring", c.Completion}} {
		if r.size < minRing || r.size > maxRing || bits.OnesCount(uint(r.size)) != 1 {
			return fmt.Errorf("%s of %d descriptors: want a power of two from %d to %d", r.name, r.size, minRing, maxRing)
		}
	}
	switch {
	case c.Interface == "":
		return errors.New("no interface name")
	case c.Queue < 0:
		return fmt.Errorf("queue %d is negative", c.Queue)
	case c.TxBudget < 32 || c.TxBudget > c.TxRing:
		return fmt.Errorf("tx budget %d: want 32 to the tx ring's %d", c.TxBudget, c.TxRing)
	case c.BusyBudget < 1 || c.BusyBudget > 1<<16-1:
		return fmt.Errorf("busy poll budget %d: want 1 to %d", c.BusyBudget, 1<<16-1)
	}
	return nil
}

// index returns the interface's index.
func (c Config) index() (int, error) {
	if c.Index != 0 {
		return c.Index, nil
	}
	i, err := net.InterfaceByName(c.Interface)
	if err != nil {
		return 0, fmt.Errorf("no such interface (`ip link` lists them): %w", err)
	}
	return i.Index, nil
}
