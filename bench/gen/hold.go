package gen

import (
	"errors"
	"fmt"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"github.com/vishvananda/netns"

	"appliance/bench/space"
)

// A hold keeps a program in the kernel's XDP dispatcher. BPF_PROG_RUN with more
// than one repetition puts the program there for the time of the call, and each
// change of the dispatcher waits for all tasks to pass a quiescent state: 27 ms
// a call against 0.1 ms with the program there already (Linux 6.18, 2 CPUs). An
// attached program is there too, so we attach it where no packet ever comes: to
// the loopback interface, which is down, of a namespace of our own.
type hold struct {
	ns   netns.NsHandle
	link link.Link
}

func newHold(prog *ebpf.Program) (*hold, error) {
	h := new(hold)
	err := space.OnThread(func() (err error) {
		if h.ns, err = netns.New(); err != nil {
			return err
		}
		const loopback = 1 // its index in every namespace
		h.link, err = link.AttachXDP(link.XDPOptions{Program: prog, Interface: loopback, Flags: link.XDPGenericMode})
		if err != nil {
			return errors.Join(err, h.ns.Close())
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("gen: keep the program in the dispatcher: %w", err)
	}
	return h, nil
}

func (h *hold) close() error { return errors.Join(h.link.Close(), h.ns.Close()) }
