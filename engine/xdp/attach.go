package xdp

import (
	"errors"
	"fmt"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Mode is where in the receive path the program runs.
type Mode uint8

// The modes.
const (
	Auto    Mode = iota // Native where the driver has it, else Generic
	Native              // in the driver, before a socket buffer is made
	Generic             // in the network stack: any driver, but slower
)

// String returns the mode's name as configurations write it.
func (m Mode) String() string {
	switch m {
	case Native:
		return "native"
	case Generic:
		return "generic"
	}
	return "auto"
}

// An Attachment says how a program was attached.
type Attachment struct {
	Mode      Mode  // Native or Generic
	NativeErr error // why it isn't Native although Auto was asked for; else nil
}

// Attach puts the program onto the interface of the given index, in the network
// namespace of the calling thread. A program of someone else is never replaced:
// the error then says whose it is and how to remove it.
func (p *Program) Attach(index int, mode Mode) (Attachment, error) {
	if p.link != nil {
		return Attachment{}, errors.New("xdp: attach: the program is attached already")
	}
	to, err := netlink.LinkByIndex(index)
	if err != nil {
		return Attachment{}, fmt.Errorf("xdp: attach to interface %d: no such interface (`ip link` lists them): %w", index, err)
	}
	name := to.Attrs().Name
	var nativeErr error
	if mode != Generic {
		nativeErr = p.attach(index, link.XDPDriverMode)
		if nativeErr == nil {
			return Attachment{Mode: Native}, nil
		}
		nativeErr = fmt.Errorf("xdp: attach to %s: native mode: %w", name, explainAttach(nativeErr, index))
		if mode == Native || taken(nativeErr) {
			return Attachment{}, nativeErr
		}
	}
	if err := p.attach(index, link.XDPGenericMode); err != nil {
		return Attachment{}, fmt.Errorf("xdp: attach to %s: generic mode: %w", name, explainAttach(err, index))
	}
	return Attachment{Mode: Generic, NativeErr: nativeErr}, nil
}

func (p *Program) attach(index int, flags link.XDPAttachFlags) (err error) {
	p.link, err = link.AttachXDP(link.XDPOptions{Program: p.objects.Redirect, Interface: index, Flags: flags})
	if err != nil {
		p.link = nil
	}
	return err
}

// TakeOver puts the program onto the interface that another one of ours is on,
// in its place and without a gap in which frames would find none. The other one
// is detached then, and still has to be closed; after an error it goes on.
func (p *Program) TakeOver(other *Program) error {
	if p.link != nil || other.link == nil {
		return errors.New("xdp: take over: from a program that is attached, to one that isn't")
	}
	if err := other.link.Update(p.objects.Redirect); err != nil {
		return fmt.Errorf("xdp: take over: %w", explain(err))
	}
	p.link, other.link = other.link, nil
	return nil
}

// taken reports whether err means that the interface has a program: of the same
// mode (EBUSY) or of the other one (EEXIST); dev_xdp_attach in net/core/dev.c.
func taken(err error) bool { return errors.Is(err, unix.EBUSY) || errors.Is(err, unix.EEXIST) }

// explainAttach says what to do about an error of attaching to an interface.
func explainAttach(err error, index int) error {
	switch {
	case taken(err):
		return fmt.Errorf("%s: %w", occupant(index), err)
	case errors.Is(err, unix.EOPNOTSUPP) && !errors.Is(err, ebpf.ErrNotSupported):
		return fmt.Errorf("the driver has no native XDP (use mode auto or generic): %w", err)
	case errors.Is(err, unix.ERANGE):
		return fmt.Errorf("the MTU is too large for native XDP with this driver (lower it, or use mode generic): %w", err)
	case errors.Is(err, unix.ENOSPC):
		return fmt.Errorf("too few rx queues for native XDP (on veth: as many as the peer has tx queues; or use mode generic): %w", err)
	}
	return explain(err)
}

// occupant says which program is on the interface, and how to get rid of it.
func occupant(index int) string {
	at, err := netlink.LinkByIndex(index)
	if err != nil || at.Attrs().Xdp == nil || !at.Attrs().Xdp.Attached {
		return "another XDP program is attached, to the interface or to one above it"
	}
	name, id := at.Attrs().Name, at.Attrs().Xdp.ProgId
	if held, ok := holder(index, id); ok {
		return fmt.Sprintf("XDP program %d is attached by BPF link %d: end the program that holds it (`bpftool link show id %d` names it)", id, held, held)
	}
	return fmt.Sprintf("XDP program %d is attached: remove it with `ip link set dev %s xdp off`", id, name)
}

// holder returns the BPF link that holds program id on the interface, if one
// does. Without CAP_SYS_ADMIN links cannot be listed, and none is found.
func holder(index int, id uint32) (link.ID, bool) {
	var links link.Iterator
	defer links.Close()
	for links.Next() {
		info, err := links.Link.Info()
		if err != nil || info.Program != ebpf.ProgramID(id) {
			continue
		}
		if x := info.XDP(); x != nil && int(x.Ifindex) == index {
			return info.ID, true
		}
	}
	return 0, false
}
