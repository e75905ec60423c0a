package peers

import (
	"fmt"
	"os"
	"runtime"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// spins is how many empty passes come before a wait, as in the engine.
const spins = 64

// A loop is the thread of a forwarder that we write ourselves.
type loop struct {
	ending atomic.Bool
	ended  chan struct{}
}

// startLoop calls pass again and again on a thread pinned to NodeCPU. pass
// reports whether it had anything to do; after some passes without, the loop
// waits until one of the descriptors is readable, a millisecond at most.
func startLoop(pass func() bool, fds ...int) *loop {
	l := &loop{ended: make(chan struct{})}
	poll := make([]unix.PollFd, len(fds))
	for i, fd := range fds {
		poll[i] = unix.PollFd{Fd: int32(fd), Events: unix.POLLIN}
	}
	go func() {
		runtime.LockOSThread()
		defer close(l.ended)
		pinTo(NodeCPU)
		for empty := 0; !l.ending.Load(); {
			if pass() {
				empty = 0
			} else if empty++; empty >= spins {
				_, _ = unix.Poll(poll, 1) // EINTR: the next pass looks for itself
			}
		}
	}()
	return l
}

// stop ends the loop and returns when its thread touches nothing any more.
func (l *loop) stop() {
	l.ending.Store(true)
	<-l.ended
}

// pinTo binds the calling thread to a processor. Failing makes the peer slower,
// not wrong, and shows on standard error.
func pinTo(cpu int) {
	var set unix.CPUSet
	set.Set(cpu)
	if err := unix.SchedSetaffinity(0, &set); err != nil {
		fmt.Fprintf(os.Stderr, "peers: pin to processor %d: %v\n", cpu, err)
	}
}

// Processors returns an error unless this process may use both GeneratorCPU and
// NodeCPU.
func Processors() error {
	var allowed unix.CPUSet
	if err := unix.SchedGetaffinity(0, &allowed); err != nil {
		return fmt.Errorf("peers: read the allowed processors: %w", err)
	}
	if !allowed.IsSet(GeneratorCPU) || !allowed.IsSet(NodeCPU) {
		return fmt.Errorf("peers: the generator needs processor %d and the peers %d: both must exist and be allowed", GeneratorCPU, NodeCPU)
	}
	return nil
}
