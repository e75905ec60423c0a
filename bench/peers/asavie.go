package peers

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/asavie/xdp"
	"golang.org/x/sys/unix"

	"appliance/bench/rig"
	"appliance/engine/xsk"
)

// An asavie forwarder is the bare loop on github.com/asavie/xdp, used as that
// library's own l2fwd example does, with changes in its favour: received
// descriptors go straight back to the fill ring, the frames to send from are
// those that its search finds first, what a call of the kernel left unsent is
// kicked again in the next pass, and nothing is received that cannot be sent.
type asavie struct {
	sides  []*asavieSide // client side, server side
	report Report
	loop   *loop
}

type asavieSide struct {
	ifindex int
	prog    *xdp.Program
	socket  *xdp.Socket // nil: not open
}

func newAsavie() (forwarder, error) {
	a := new(asavie)
	for _, name := range []string{rig.CliIf, rig.SrvIf} {
		ifindex, err := rig.Index(name)
		if err != nil {
			return nil, errors.Join(err, a.close())
		}
		s, err := openAsavie(ifindex)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("peers: asavie on %s: %w", name, err), a.close())
		}
		a.sides = append(a.sides, s)
	}
	a.loop = startLoop(a.pass, a.sides[0].socket.FD(), a.sides[1].socket.FD())
	return a, nil
}

func openAsavie(ifindex int) (*asavieSide, error) {
	s := &asavieSide{ifindex: ifindex}
	var err error
	if s.prog, err = xdp.NewProgram(1); err != nil {
		return nil, err
	}
	if err := s.prog.Attach(ifindex); err != nil {
		return nil, errors.Join(err, s.prog.Close())
	}
	if s.socket, err = bindAsavie(ifindex); err != nil {
		return nil, errors.Join(err, s.close())
	}
	// As our own sockets have it. Unknown before Linux 6.17, which is as well.
	_ = unix.SetsockoptInt(s.socket.FD(), unix.SOL_XDP, unix.XDP_MAX_TX_SKB_BUDGET, xsk.DefaultTxBudget)
	if err := s.prog.Register(0, s.socket.FD()); err != nil {
		return nil, errors.Join(err, s.close())
	}
	// The search for free frames begins at frame 0: leave those for sending.
	s.socket.Fill(s.socket.GetDescs(3 * Rings)[Rings:])
	return s, nil
}

// bindAsavie opens a socket. The kernel releases the queue of the peer before us
// some time after that has ended; the library hides the errno in the text.
func bindAsavie(ifindex int) (*xdp.Socket, error) {
	for end := time.Now().Add(queueWait); ; time.Sleep(10 * time.Millisecond) {
		s, err := xdp.NewSocket(ifindex, 0, &xdp.SocketOptions{
			NumFrames: 3 * Rings, FrameSize: 2048,
			FillRingNumDescs: 2 * Rings, CompletionRingNumDescs: Rings,
			RxRingNumDescs: Rings, TxRingNumDescs: Rings,
		})
		if err == nil || !strings.Contains(err.Error(), unix.EBUSY.Error()) || time.Now().After(end) {
			return s, err
		}
	}
}

// queueWait is how long a queue that is still held is waited for.
const queueWait = 5 * time.Second

func (a *asavie) pass() bool {
	n := a.forward(a.sides[0].socket, a.sides[1].socket, toServer)
	n += a.forward(a.sides[1].socket, a.sides[0].socket, toClient)
	return n > 0
}

// forward moves one batch and returns how many frames it saw.
func (a *asavie) forward(from, to *xdp.Socket, addresses []byte) int {
	to.Complete(to.NumCompleted())
	in := from.Receive(min(Batch, from.NumReceived(), to.NumFreeTxSlots()))
	if len(in) == 0 && to.NumTransmitted() == 0 {
		return 0
	}
	out := to.GetDescs(len(in))
	for i := range out {
		frame := to.GetFrame(out[i])
		out[i].Len = uint32(copy(frame, from.GetFrame(in[i])))
		copy(frame, addresses)
	}
	to.Transmit(out) // kicks the kernel even if out is empty
	from.Fill(in)
	a.report.Received += uint64(len(in))
	a.report.Sent += uint64(len(out))
	return len(in)
}

func (a *asavie) stop() (Report, error) {
	a.loop.stop()
	a.report.Dropped = map[string]uint64{"no_frame": a.report.Received - a.report.Sent}
	return a.report, a.close()
}

func (a *asavie) close() error {
	var errs []error
	for _, s := range a.sides {
		errs = append(errs, s.close())
	}
	return errors.Join(errs...)
}

func (s *asavieSide) close() error {
	errs := []error{s.prog.Detach(s.ifindex)}
	if s.socket != nil {
		errs = append(errs, s.socket.Close())
	}
	return errors.Join(append(errs, s.prog.Close())...)
}
