package peers

import (
	"errors"

	"appliance/bench/rig"
	"appliance/engine"
	"appliance/engine/xsk"
)

// A bare forwarder moves frames between two AF_XDP sockets on one arena and
// rewrites nothing but the Ethernet addresses.
type bare struct {
	arena     *engine.Arena
	free      *engine.Frames
	sockets   []*xsk.Socket // client side, server side
	redirects []*redirect
	segs      []engine.Segment
	report    Report
	full      uint64 // frames dropped because the tx ring was full
	loop      *loop
}

// The Ethernet addresses that frames leave with.
var (
	toServer = append(append([]byte{}, rig.SinkMAC[:]...), rig.SrvMAC[:]...)
	toClient = append(append([]byte{}, rig.GenMAC[:]...), rig.CliMAC[:]...)
)

func newBare() (forwarder, error) {
	b := &bare{segs: make([]engine.Segment, Batch)}
	if err := b.open(); err != nil {
		return nil, errors.Join(err, b.close())
	}
	b.loop = startLoop(b.pass, b.sockets[0].FD(), b.sockets[1].FD())
	return b, nil
}

func (b *bare) open() (err error) {
	cfg := xsk.Config{RxRing: Rings, TxRing: Rings}
	const stock = 4 * Batch // frames in the loop's hands
	if b.arena, err = engine.NewArena(2*cfg.Frames()+stock, 2048); err != nil {
		return err
	}
	b.free = engine.NewFrames(b.arena.Frames())
	for frame := range b.arena.Frames() {
		b.free.Push(uint32(frame))
	}
	for _, name := range []string{rig.CliIf, rig.SrvIf} {
		if cfg.Index, err = rig.Index(name); err != nil {
			return err
		}
		cfg.Interface = name
		s, err := xsk.Open(b.arena, cfg)
		if err != nil {
			return err
		}
		b.sockets = append(b.sockets, s)
		s.Refill(b.free)
		r, err := newRedirect(cfg.Index, s.FD())
		if err != nil {
			return err
		}
		b.redirects = append(b.redirects, r)
	}
	return nil
}

// pass is one turn: up to a batch each way.
func (b *bare) pass() bool {
	n := b.forward(b.sockets[0], b.sockets[1], toServer)
	n += b.forward(b.sockets[1], b.sockets[0], toClient)
	return n > 0
}

// forward moves one batch and returns how many frames it saw.
func (b *bare) forward(from, to *xsk.Socket, addresses []byte) int {
	n := from.Receive(b.segs)
	if n == 0 && !to.Pending() {
		return 0
	}
	for _, seg := range b.segs[:n] {
		copy(b.arena.Bytes(seg), addresses)
	}
	sent := to.Transmit(b.segs[:n])
	to.Flush()
	to.Reclaim(b.free)
	if sent < n { // the ring was full; Flush may have made room
		sent += to.Transmit(b.segs[sent:n])
		to.Flush()
	}
	for _, seg := range b.segs[sent:n] {
		b.free.Push(seg.Frame)
	}
	from.Refill(b.free)
	b.report.Received += uint64(n)
	b.report.Sent += uint64(sent)
	b.full += uint64(n - sent)
	return n
}

func (b *bare) stop() (Report, error) {
	b.loop.stop()
	b.report.Dropped = map[string]uint64{"tx_full": b.full}
	return b.report, b.close()
}

func (b *bare) close() error {
	var errs []error
	for _, r := range b.redirects {
		errs = append(errs, r.close())
	}
	for _, s := range b.sockets {
		errs = append(errs, s.Close(b.free))
	}
	if b.arena != nil {
		errs = append(errs, b.arena.Close())
	}
	return errors.Join(errs...)
}
