package peers

import (
	"errors"
	"fmt"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"
)

// A redirect is the shortest XDP program that feeds an AF_XDP socket: every
// frame of queue 0 goes to it.
type redirect struct {
	sockets *ebpf.Map
	prog    *ebpf.Program
	link    link.Link
}

// newRedirect attaches the program to an interface and gives it the socket.
func newRedirect(ifindex, socket int) (*redirect, error) {
	r := new(redirect)
	if err := r.open(ifindex, socket); err != nil {
		return nil, errors.Join(fmt.Errorf("peers: attach the redirect program: %w", err), r.close())
	}
	return r, nil
}

func (r *redirect) open(ifindex, socket int) (err error) {
	r.sockets, err = ebpf.NewMap(&ebpf.MapSpec{Type: ebpf.XSKMap, KeySize: 4, ValueSize: 4, MaxEntries: 1})
	if err != nil {
		return err
	}
	const rxQueueIndex, xdpPass = 16, 2 // struct xdp_md, enum xdp_action: include/uapi/linux/bpf.h
	r.prog, err = ebpf.NewProgram(&ebpf.ProgramSpec{Type: ebpf.XDP, License: "Apache-2.0", Instructions: asm.Instructions{
		asm.LoadMem(asm.R2, asm.R1, rxQueueIndex, asm.Word),
		asm.LoadMapPtr(asm.R1, r.sockets.FD()),
		asm.Mov.Imm(asm.R3, xdpPass),
		asm.FnRedirectMap.Call(),
		asm.Return(),
	}})
	if err != nil {
		return err
	}
	if err := r.sockets.Put(uint32(0), uint32(socket)); err != nil {
		return err
	}
	r.link, err = link.AttachXDP(link.XDPOptions{Program: r.prog, Interface: ifindex, Flags: link.XDPDriverMode})
	return err
}

func (r *redirect) close() error {
	var err error
	if r.link != nil {
		err = r.link.Close()
	}
	return errors.Join(err, r.prog.Close(), r.sockets.Close())
}
