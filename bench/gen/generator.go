package gen

import (
	"context"
	"errors"
	"fmt"
	"math/bits"
	"runtime"
	"time"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

const (
	// batch is how many frames the kernel sends between two flushes. It is the
	// kernel's default and a NAPI poll's budget; veth's receive ring holds 256
	// frames, so a flush of 64 never overruns a peer that keeps up.
	batch = 64
	// burst bounds the frames of one system call: some 10 ms, which nothing
	// interrupts, against 0.1 ms that the kernel takes to begin and end it.
	burst = 1024 * batch
	// breath is how long an unpaced generator pauses after a burst. It costs less
	// than 1 % of the frames, which the receive ring of whoever is tested bridges,
	// and lets the processor's other tasks run: the kernel may have no other place
	// to preempt a system call that lasts for long (PREEMPT_NONE).
	breath = time.Microsecond
)

// A Generator sends the frames of one Config. One goroutine at a time calls Run
// or Test; Sent may be called at any time.
type Generator struct {
	objs generatorObjects
	hold *hold
	data []byte // what the kernel fills new pages with
}

// New loads the program. It needs root.
func New(cfg Config) (*Generator, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	spec, err := loadGenerator()
	if err != nil {
		return nil, fmt.Errorf("gen: %w", err)
	}
	g := &Generator{data: append(make([]byte, cfg.headers()), cfg.payload()...)}
	if err := setVariables(spec, &cfg); err != nil {
		return nil, fmt.Errorf("gen: configure the generator: %w", err)
	}
	if err := spec.LoadAndAssign(&g.objs, nil); err != nil {
		return nil, fmt.Errorf("gen: load the generator: %w", err)
	}
	if g.hold, err = newHold(g.objs.Generate); err != nil {
		return nil, errors.Join(err, g.objs.Close())
	}
	return g, nil
}

// setVariables fills in the program's constants.
func setVariables(spec *ebpf.CollectionSpec, cfg *Config) error {
	var v generatorVariableSpecs
	if err := spec.Assign(&v); err != nil {
		return err
	}
	return errors.Join(
		v.DstMac.Set(cfg.DstMAC),
		v.SrcMac.Set(cfg.SrcMAC),
		v.FirstClient.Set(addrBits(cfg.Client)),
		v.ClientBits.Set(uint32(bits.Len(uint(cfg.Clients))-1)),
		v.DstAddr.Set(cfg.Dst.As4()),
		v.SrcPort.Set(uint16(firstPort)),
		v.DstPort.Set(bigEndian(cfg.DstPort)),
		v.Tos.Set(cfg.TOS),
		v.Proto.Set(cfg.Proto),
		v.TcpFlags.Set(cfg.TCPFlags),
		v.PayloadSum.Set(sum(cfg.payload())),
		v.Flows.Set(uint32(cfg.Flows)),
		v.Egress.Set(uint32(cfg.Egress)),
	)
}

// Run sends frames until ctx ends: rate a second, or with rate 0 as many as go.
// It must run in the network namespace of the egress interface, on a thread
// locked to its goroutine, since the frames' counters, their interface and the
// receive processing they cause are the calling thread's.
//
// If ctx has a deadline, Run looks at the clock itself: on a machine that it
// keeps busy nobody else may get round to ending ctx.
func (g *Generator) Run(ctx context.Context, rate float64) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	deadline, bounded := ctx.Deadline()
	began := time.Now()
	for sent := 0.0; ctx.Err() == nil; {
		now := time.Now()
		if bounded && now.After(deadline) {
			return nil
		}
		n, pause := burst, breath
		if rate > 0 {
			due := now.Sub(began).Seconds()*rate - sent
			n = min(burst, max(0, int(due))/batch*batch)
			pause = max(breath, time.Duration((batch-due+float64(n))/rate*float64(time.Second)))
		}
		if n > 0 {
			if err := g.send(n); err != nil {
				return err
			}
			sent += float64(n)
		}
		sleep(pause)
	}
	return nil
}

// sleep puts the thread to sleep, not only the goroutine: waking it up is then
// the kernel's business alone. Being woken early by a signal does no harm.
func sleep(d time.Duration) {
	t := unix.NsecToTimespec(d.Nanoseconds())
	_ = unix.Nanosleep(&t, nil)
}

// send sends n frames.
func (g *Generator) send(n int) error {
	_, err := g.objs.Generate.Run(&ebpf.RunOptions{
		Data:      g.data,
		Repeat:    uint32(n),
		Flags:     unix.BPF_F_TEST_XDP_LIVE_FRAMES,
		BatchSize: batch,
	})
	if err != nil {
		return fmt.Errorf("gen: send %d live frames: %w", n, err)
	}
	return nil
}

// Test makes one frame without sending it. in is what the frame's page holds
// before: it must have the configured length.
func (g *Generator) Test(in []byte) ([]byte, error) {
	out := make([]byte, len(in))
	verdict, err := g.objs.Generate.Run(&ebpf.RunOptions{Data: in, DataOut: out, Repeat: 1})
	if err != nil {
		return nil, fmt.Errorf("gen: test: %w", err)
	}
	if verdict != xdpRedirect {
		return nil, fmt.Errorf("gen: test: the program returned %d, want %d (redirect)", verdict, xdpRedirect)
	}
	return out, nil
}

// xdpRedirect is XDP_REDIRECT of include/uapi/linux/bpf.h.
const xdpRedirect = 4

// Sent returns how many frames and bytes were handed to the kernel since New.
func (g *Generator) Sent() (frames, bytes uint64, err error) {
	var cpus []generatorProgress
	if err := g.objs.Progress.Lookup(uint32(0), &cpus); err != nil {
		return 0, 0, fmt.Errorf("gen: read the generator's counters: %w", err)
	}
	for _, c := range cpus {
		frames += c.Frames
		bytes += c.Bytes
	}
	return frames, bytes, nil
}

// Close unloads the program.
func (g *Generator) Close() error { return errors.Join(g.hold.close(), g.objs.Close()) }

// sum returns the folded one's complement sum of b's 16-bit words, in network
// byte order as the program adds them (RFC 1071).
func sum(b []byte) [2]byte {
	var s uint32
	for i, c := range b {
		s += uint32(c) << (8 * (1 - i%2))
	}
	for s > 0xffff {
		s = s&0xffff + s>>16
	}
	return bigEndian(uint16(s))
}

// bigEndian returns a number's bytes in network order.
func bigEndian(n uint16) [2]byte { return [2]byte{byte(n >> 8), byte(n)} }
