package scenario

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"appliance/bench/gen"
	"appliance/bench/peers"
	"appliance/bench/rig"
)

// A generating is the generator's thread at work.
type generating struct {
	schedstat string     // the thread's file in /proc
	ended     chan error // gets Run's error when it returns
}

// generate starts the generator on its processor, until ctx ends.
func (b *bench) generate(ctx context.Context) (*generating, error) {
	g := &generating{ended: make(chan error, 1)}
	started := make(chan error, 1)
	go func() {
		g.ended <- b.rig.Client.Do(func() error {
			var cpu unix.CPUSet
			cpu.Set(peers.GeneratorCPU)
			err := unix.SchedSetaffinity(0, &cpu)
			g.schedstat = fmt.Sprintf("/proc/self/task/%d/schedstat", unix.Gettid())
			started <- err
			if err != nil {
				return err
			}
			return b.gen.Run(ctx, 0)
		})
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("pin the generator: %w", err)
	}
	return g, nil
}

// A moment is what there is to see at one point of time.
type moment struct {
	at        time.Time
	frames    uint64        // at the sink
	generator time.Duration // processor time of the generator's thread
	peer      time.Duration // of the peer's threads
	busy      time.Duration // of all processors, idle and stolen time left out
	softirq   time.Duration // of all processors, part of busy
}

// A span is what happened between two moments: times in seconds.
type span struct {
	seconds, frames                float64
	generator, peer, busy, softirq float64
}

func (m moment) since(from moment) span {
	return span{
		seconds:   m.at.Sub(from.at).Seconds(),
		frames:    float64(m.frames - from.frames),
		generator: (m.generator - from.generator).Seconds(),
		peer:      (m.peer - from.peer).Seconds(),
		busy:      (m.busy - from.busy).Seconds(),
		softirq:   (m.softirq - from.softirq).Seconds(),
	}
}

func (b *bench) look(running peers.Running, g *generating) (moment, error) {
	c, err := b.sink.Counts()
	m := moment{at: time.Now(), frames: c.Frames}
	var errs [3]error
	m.generator, errs[0] = peers.OnCPU(g.schedstat)
	m.peer, errs[1] = running.CPU()
	m.busy, m.softirq, errs[2] = processors()
	return m, errors.Join(append(errs[:], err)...)
}

// add adds the figures of one round of a peer.
func (b *bench) add(r *run, name string, s span) {
	r.Add(name, "Mpps", s.frames/s.seconds/1e6)
	r.Add(perCPU(name), "Mpackets/CPU-s", s.frames/s.busy/1e6)
	r.Add(name+"_cpu_all", "CPUs", s.busy/s.seconds)
	r.Add(name+"_cpu_generator", "CPUs", s.generator/s.seconds)
	r.Add(name+"_cpu_softirq", "CPUs", s.softirq/s.seconds)
	if s.peer == 0 {
		return // in the kernel: it has no threads, and other processes cannot be told from it
	}
	r.Add(name+"_cpu_engine", "CPUs", s.peer/s.seconds)
	r.Add(perEngine(name), "Mpackets/CPU-s", s.frames/s.peer/1e6)
	b.others = max(b.others, (s.busy-s.generator-s.peer)/s.seconds)
}

// A ledger is the account of the frames and what the sink says of their
// checksums.
type ledger struct {
	rig.Account
	checks gen.Counts
}

func (b *bench) account() (l ledger, err error) {
	sent, _, err := b.gen.Sent()
	if err != nil {
		return l, err
	}
	if l.checks, err = b.sink.Counts(); err != nil {
		return l, err
	}
	l.Sent, l.Received = sent, l.checks.Frames
	return l, b.rig.Wires(&l.Account)
}

func (l ledger) minus(before ledger) ledger {
	return ledger{l.Account.Minus(before.Account), gen.Counts{
		Verified: l.checks.Verified - before.checks.Verified,
		BadIP:    l.checks.BadIP - before.checks.BadIP,
		BadL4:    l.checks.BadL4 - before.checks.BadL4,
	}}
}

// judge reports what is wrong with a peer's account.
func (b *bench) judge(r *run, name string, l ledger) {
	if m := l.Missing(); m != 0 {
		r.Fault("%s: %d frames are unaccounted for: %+v", name, m, l.Account)
	}
	if l.Received == 0 || l.checks.Verified == 0 {
		r.Fault("%s: the sink received %d frames and verified %d", name, l.Received, l.checks.Verified)
	}
	if bad := l.checks.BadIP + l.checks.BadL4; bad != 0 {
		r.Fault("%s: %d of %d verified frames had wrong checksums: %+v", name, bad, l.checks.Verified, l.checks)
	}
}
