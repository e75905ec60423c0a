package pcapport

import (
	"fmt"
	"io"
	"sync/atomic"
	"time"

	"appliance/engine"
)

// frames is how many frames a port holds each way: enough for any batch.
const frames = engine.MaxBatch

// A Config says what a port reads and writes. Both may be nil: then there is
// nothing to receive, or what is transmitted is forgotten. The port closes
// neither.
type Config struct {
	In  io.Reader // capture to receive from: pcap or pcapng
	Out io.Writer // where to write a pcap of what is transmitted

	// Deterministic stamps the n-th frame written, from 0, n microseconds after
	// 1970. Otherwise frames get the time at which they were transmitted.
	Deterministic bool
}

var _ engine.Port = (*Port)(nil)

// A Port replays one capture and records another. Its methods are for one
// engine's thread, but Stats and Done, which any goroutine may call.
type Port struct {
	arena *engine.Arena
	todo  [][]byte // frames not received yet
	out   *recorder
	done  chan struct{}

	fill []uint32 // frames to receive into; capacity frames
	sent []uint32 // frames that were written; capacity frames

	rxPackets, rxBytes atomic.Uint64
	txPackets, txBytes atomic.Uint64
}

// Open reads the capture and begins the recording. The error tells which frame
// of the capture can't be replayed and why.
func Open(a *engine.Arena, cfg Config) (*Port, error) {
	p := &Port{
		arena: a, done: make(chan struct{}),
		fill: make([]uint32, 0, frames), sent: make([]uint32, 0, frames),
	}
	var err error
	if cfg.In != nil {
		if p.todo, err = readCapture(cfg.In, a.MaxPacket()); err != nil {
			return nil, fmt.Errorf("pcapport: read: %w", err)
		}
	}
	if len(p.todo) == 0 {
		close(p.done)
	}
	stamp := time.Now
	if cfg.Deterministic {
		stamp = counter()
	}
	if p.out, err = newRecorder(cfg.Out, stamp); err != nil {
		return nil, fmt.Errorf("pcapport: write: %w", err)
	}
	return p, nil
}

// Done is closed when the engine has received the last frame of the capture. The
// pass that received it may still be at work: an Engine.Call after Done comes
// behind it.
func (p *Port) Done() <-chan struct{} { return p.done }

// Receive implements engine.Port.
func (p *Port) Receive(out []engine.Segment) int {
	n := min(len(out), len(p.todo), len(p.fill))
	if n == 0 {
		return 0
	}
	bytes := 0
	left := len(p.fill) - n
	for i, frame := range p.fill[left:] {
		out[i] = engine.Segment{Frame: frame, Off: engine.Headroom, Len: uint16(len(p.todo[i]))}
		bytes += copy(p.arena.Bytes(out[i]), p.todo[i])
	}
	p.fill, p.todo = p.fill[:left], p.todo[n:]
	p.rxPackets.Add(uint64(n))
	p.rxBytes.Add(uint64(bytes))
	if len(p.todo) == 0 {
		close(p.done)
	}
	return n
}

// Transmit implements engine.Port. It takes nothing after a write has failed.
func (p *Port) Transmit(segs []engine.Segment) int {
	n, bytes := 0, 0
	for _, s := range segs[:min(len(segs), cap(p.sent)-len(p.sent))] {
		if p.out.err != nil {
			break
		}
		p.out.write(p.arena.Bytes(s))
		p.sent = append(p.sent, s.Frame)
		bytes += int(s.Len)
		n++
	}
	p.txPackets.Add(uint64(n))
	p.txBytes.Add(uint64(bytes))
	return n
}

// Flush implements engine.Port. It hands what was transmitted to Config.Out.
func (p *Port) Flush() { p.out.flush() }

// Pending implements engine.Port.
func (p *Port) Pending() bool { return p.out.err == nil && p.out.buf.Buffered() > 0 }

// Reclaim implements engine.Port.
func (p *Port) Reclaim(free *engine.Frames) { p.sent = giveBack(free, p.sent) }

// Refill implements engine.Port. Once the capture is at its end, nothing more
// will be received.
func (p *Port) Refill(free *engine.Frames) {
	p.fill = append(p.fill, free.Take(cap(p.fill)-len(p.fill))...)
}

// Held implements engine.Port.
func (p *Port) Held() engine.Held { return engine.Held{Fill: len(p.fill), Transmit: len(p.sent)} }

// FD implements engine.Port: there is nothing to wait for.
func (p *Port) FD() int { return -1 }

// Stats implements engine.Port.
func (p *Port) Stats() engine.PortStats {
	return engine.PortStats{
		RxPackets: p.rxPackets.Load(), RxBytes: p.rxBytes.Load(),
		TxPackets: p.txPackets.Load(), TxBytes: p.txBytes.Load(),
	}
}

// Err implements engine.Port. A port that can't write is gone; its error wraps
// the write's too.
func (p *Port) Err() error {
	if p.out.err != nil {
		return fmt.Errorf("pcapport: write: %w (%w)", p.out.err, engine.ErrPortGone)
	}
	return nil
}

// Close implements engine.Port. It writes what is left; its error is the first
// of any write.
func (p *Port) Close(free *engine.Frames) error {
	p.fill, p.sent = giveBack(free, p.fill), giveBack(free, p.sent)
	p.out.flush()
	if p.out.err != nil {
		return fmt.Errorf("pcapport: write: %w", p.out.err)
	}
	return nil
}

// giveBack empties fs onto free.
func giveBack(free *engine.Frames, fs []uint32) []uint32 {
	for _, f := range fs {
		free.Push(f)
	}
	return fs[:0]
}
