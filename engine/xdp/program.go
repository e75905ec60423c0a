package xdp

import (
	"errors"
	"fmt"
	"strings"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"
)

// A Config says what a Program works with.
type Config struct {
	Addresses *Addresses // which frames are ours; required
	Denied    *Denied    // whose frames to VIPs are dropped; required
	Queues    int        // rx queues of the interface; required. Frames of ours on others are dropped.
}

// A Program is the XDP program of one interface, with its table of sockets and
// its counters. Register, Unregister and Stats may be called from any goroutine;
// Attach, TakeOver and Close may not run beside anything else.
type Program struct {
	objects redirectObjects
	queues  int
	link    link.Link // nil while not attached
}

// Load makes a Program. It redirects nothing before it is attached.
func Load(cfg Config) (*Program, error) {
	if cfg.Addresses == nil || cfg.Denied == nil || cfg.Queues < 1 {
		return nil, fmt.Errorf("xdp: load: needs sets of addresses and denied sources and at least one queue, not %d", cfg.Queues)
	}
	spec, err := loadRedirect()
	if err != nil {
		return nil, fmt.Errorf("xdp: load: %w", err)
	}
	spec.Maps[redirectMapSockets].MaxEntries = uint32(cfg.Queues)
	spec.Maps[redirectMapAddresses].MaxEntries = uint32(cfg.Addresses.capacity)
	spec.Maps[redirectMapDenied].MaxEntries = cfg.Denied.kernel.MaxEntries()
	p := &Program{queues: cfg.Queues}
	err = spec.LoadAndAssign(&p.objects, &ebpf.CollectionOptions{
		MapReplacements: map[string]*ebpf.Map{
			redirectMapAddresses: cfg.Addresses.kernel,
			redirectMapDenied:    cfg.Denied.kernel,
		},
	})
	if err != nil {
		return nil, fmt.Errorf("xdp: load: %w", explain(err))
	}
	return p, nil
}

// Register gives the frames of an rx queue to the AF_XDP socket fd, which must
// be bound to that queue of the interface that p is attached to: the kernel
// drops the frames otherwise (xsk_rcv_check in net/xdp/xsk.c). It takes the
// place of the socket that was there.
func (p *Program) Register(queue, fd int) error {
	if queue < 0 || queue >= p.queues {
		return fmt.Errorf("xdp: register: queue %d, but the program was loaded for %d", queue, p.queues)
	}
	if err := p.objects.Sockets.Put(uint32(queue), uint32(fd)); err != nil {
		return fmt.Errorf("xdp: register a socket for queue %d: %w", queue, err)
	}
	return nil
}

// Unregister leaves an rx queue without a socket. It is not needed for a socket
// that is closed.
func (p *Program) Unregister(queue int) error {
	err := p.objects.Sockets.Delete(uint32(queue))
	if err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
		return fmt.Errorf("xdp: unregister the socket of queue %d: %w", queue, err)
	}
	return nil
}

// Close detaches the program, if it is attached, and releases it.
func (p *Program) Close() error {
	var err error
	if p.link != nil {
		err = p.link.Close()
		p.link = nil
	}
	if err = errors.Join(err, p.objects.Close()); err != nil {
		return fmt.Errorf("xdp: close: %w", err)
	}
	return nil
}

// explain says what to do about an error of loading.
func explain(err error) error {
	switch {
	case errors.Is(err, ebpf.ErrNotSupported):
		return fmt.Errorf("the kernel is too old, Linux 5.16 is needed: %w", err)
	case errors.Is(err, unix.EPERM), errors.Is(err, unix.EACCES): // the verifier says EACCES where CAP_PERFMON is missing
		// The error may hold the verifier's log and hints of many lines.
		first, _, _ := strings.Cut(err.Error(), "\n")
		return fmt.Errorf("needs CAP_BPF, CAP_PERFMON and CAP_NET_ADMIN (run as root): %s: %w", first, unix.EPERM)
	}
	return err
}
