package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"appliance/engine"
	"appliance/engine/asavie"
	"appliance/engine/xdp"
	"appliance/engine/xsk"
	"appliance/internal/netstate"
	"appliance/internal/nic"
)

// States of an interface, as status shows them.
const (
	stateUp     = "up"     // served
	stateDown   = "down"   // served, but the link is down
	stateGone   = "gone"   // does not exist; served again when it is back
	stateFailed = "failed" // exists, but can't be served: the error says why
)

// An iface is one configured interface. The links goroutine alone changes it,
// with Node.mu held; so it may read it without.
type iface struct {
	Interface
	number int
	log    *slog.Logger

	link    netstate.Link // as last seen
	serving *serving      // nil while it is not served
	err     error         // why it can't be, or suffers

	guard *guard // keeps frames of ours from the kernel while it is not served; the links goroutine's
}

// A guard is an XDP program without sockets, which drops what is ours: the kernel
// has the SNIPs as addresses, and would reset every connection of the backends.
type guard struct {
	program *xdp.Program
	mode    xdp.Mode
	link    int // index of the interface
}

// newGuard puts a guard onto an interface that can't be served; nil where that
// fails, too.
func (n *Node) newGuard(link netstate.Link) *guard {
	p, err := xdp.Load(xdp.Config{Addresses: n.addresses, Denied: n.denied, Queues: 1})
	if err != nil {
		return nil
	}
	attached, err := p.Attach(link.Index, n.cfg.Attach)
	if err != nil {
		_ = p.Close() // there is nothing to detach
		return nil
	}
	n.host.Guard(link.Name, link.Index)
	return &guard{p, attached.Mode, link.Index}
}

// drop takes the guard, if there is one, off the interface.
func (i *iface) drop() error {
	g := i.guard
	if i.guard = nil; g == nil {
		return nil
	}
	return g.program.Close()
}

// A serving is what serves an interface while it exists: one XDP program, one
// port a queue.
type serving struct {
	program *xdp.Program
	mode    xdp.Mode
	fill    int // frames that each port posts to receive into
	ports   []queuePort
	rss     *nic.RSS // nil: not looked at yet
}

// A queuePort is the port of one queue, in the loop of one engine.
type queuePort struct {
	engine.Port
	queue    int
	engine   *engine.Engine
	zeroCopy bool
}

// state returns the interface's state and, if it failed, why.
func (i *iface) state() (string, string) {
	switch {
	case i.err != nil:
		return stateFailed, i.err.Error()
	case i.serving == nil:
		return stateGone, ""
	case !i.link.Up:
		return stateDown, ""
	}
	return stateUp, ""
}

// note changes what is known of an interface.
func (n *Node) note(i *iface, link netstate.Link, s *serving, err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	i.link, i.serving, i.err = link, s, err
}

// open makes an interface served: sockets first, each behind its queue of the
// program, then the program onto the interface, so that no packet finds a
// program without sockets. All or nothing.
func (n *Node) open(ctx context.Context, i *iface, link netstate.Link) (s *serving, err error) {
	if err := n.fits(i, link); err != nil {
		return nil, err
	}
	s = new(serving)
	if s.fill, err = n.fill(i, link.RxQueues); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			s, err = nil, errors.Join(err, s.close(ctx))
		}
	}()
	if s.program, err = xdp.Load(xdp.Config{Addresses: n.addresses, Denied: n.denied, Queues: link.RxQueues}); err != nil {
		return s, err
	}
	for queue := range link.RxQueues {
		if err := n.openQueue(ctx, i, s, link.Index, queue); err != nil {
			return s, err
		}
	}
	if err := n.attach(i, s, link); err != nil {
		return s, err
	}
	if err := n.steer(i, s, link); err != nil {
		return s, err
	}
	n.host.Guard(i.Name, link.Index)
	i.log.Info("interface served", "queues", link.RxQueues, "xdp", s.mode, "zero_copy", s.ports[0].zeroCopy, "mtu", link.MTU,
		"rss", s.rss.State, "rss_why", s.rss.Why)
	if want := n.fullFill(); s.fill < want {
		i.log.Warn("packet memory is short, bursts may lose packets", "frames_posted_per_queue", s.fill, "wanted", want)
	}
	return s, nil
}

// attach puts an interface's program in the place of the guard, or, where there
// is none, onto the interface.
func (n *Node) attach(i *iface, s *serving, link netstate.Link) error {
	if g := i.guard; g != nil && g.link == link.Index {
		if err := s.program.TakeOver(g.program); err == nil {
			s.mode = g.mode
			return i.drop()
		}
	}
	if err := i.drop(); err != nil {
		i.log.Warn("guard not taken off cleanly", "error", err)
	}
	attached, err := s.program.Attach(link.Index, n.cfg.Attach)
	if err != nil {
		return err
	}
	if s.mode = attached.Mode; attached.NativeErr != nil {
		i.log.Warn("native XDP is not possible: generic mode is slower", "error", attached.NativeErr)
	}
	if s.mode == xdp.Generic && link.Kind == "veth" {
		i.log.Warn("a veth in generic mode receives packets of up to 64 KiB, which fit no frame, unless segmentation is off at its other end: ethtool -K PEER tso off gso off")
	}
	return nil
}

// fits checks that the node's memory and engines suit the interface.
func (n *Node) fits(i *iface, link netstate.Link) error {
	size := n.arena.FrameSize()
	if link.MTU > xsk.MaxMTU(size) {
		return tooLarge(link, size)
	}
	if link.RxQueues < n.cfg.Engine.Engines {
		return fmt.Errorf("interface %s has %d receive queues for %d engines, and each engine needs one: set engines = %d, or ethtool -L %s combined %d",
			i.Name, link.RxQueues, n.cfg.Engine.Engines, link.RxQueues, i.Name, n.cfg.Engine.Engines)
	}
	if link.TxQueues < n.cfg.Engine.Engines { // the kernel takes frames for a queue that there isn't, and keeps them
		return fmt.Errorf("interface %s has %d transmit queues for %d engines, and each engine sends through one of its own: set engines = %d, or ethtool -L %s combined %d (for a veth: rx %d tx %d)",
			i.Name, link.TxQueues, n.cfg.Engine.Engines, link.TxQueues, i.Name, n.cfg.Engine.Engines, n.cfg.Engine.Engines, n.cfg.Engine.Engines)
	}
	return nil
}

// openQueue opens the port of one queue and gives it to its engine: queues are
// dealt out in turn.
func (n *Node) openQueue(ctx context.Context, i *iface, s *serving, index, queue int) error {
	port, zeroCopy, err := n.openPort(xsk.Config{
		Interface: i.Name, Index: index, Queue: queue,
		RxRing: n.cfg.RxRing, TxRing: n.cfg.TxRing, Fill: s.fill,
	})
	if err != nil {
		return err
	}
	e := n.group.Engines()[queue%n.cfg.Engine.Engines]
	if err := e.AddPort(ctx, i.number, port); err != nil {
		return errors.Join(err, port.Close(engine.NewFrames(0))) // it holds no frames yet
	}
	s.ports = append(s.ports, queuePort{port, queue, e, zeroCopy})
	return s.program.Register(queue, port.FD())
}

// openPort opens a port of the configured driver.
func (n *Node) openPort(c xsk.Config) (port engine.Port, zeroCopy bool, err error) {
	if n.cfg.Driver == DriverAsavie {
		p, err := asavie.Open(n.arena, asavie.Config{
			Interface: c.Interface, Index: c.Index, Queue: c.Queue,
			RxRing: c.RxRing, TxRing: c.TxRing, Fill: c.Fill,
		})
		return p, false, err
	}
	c.ZeroCopy = n.cfg.ZeroCopy
	if n.cfg.Attach == xdp.Generic && c.ZeroCopy == xsk.ZeroCopyAuto {
		c.ZeroCopy = xsk.ZeroCopyOff // it needs the program in the driver
	}
	c.BusyPoll = n.cfg.Engine.Idle == engine.BusyPoll
	s, err := xsk.Open(n.arena, c)
	if err != nil {
		return nil, false, err
	}
	return s, s.ZeroCopy(), nil
}

// close ends the service of an interface: the program first, so that packets go
// back to the kernel rather than into ports that nobody reads.
func (s *serving) close(ctx context.Context) error {
	var err error
	if s.program != nil {
		err = s.program.Close()
	}
	return errors.Join(err, s.closePorts(ctx))
}

// retire closes the ports of an interface that changed and leaves the program on
// it as a guard.
func (s *serving) retire(ctx context.Context, link int) (*guard, error) {
	return &guard{s.program, s.mode, link}, s.closePorts(ctx)
}

// closePorts closes the ports, and gives the network card its settings back.
func (s *serving) closePorts(ctx context.Context) error {
	var errs []error
	for _, p := range s.ports {
		errs = append(errs, p.engine.RemovePort(ctx, p.Port))
	}
	errs = append(errs, s.unsteer())
	return errors.Join(errs...)
}
