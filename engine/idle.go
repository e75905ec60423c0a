package engine

import (
	"encoding/binary"
	"fmt"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// How an idle adaptive engine waits.
const (
	// spins is how many empty passes come before a sleep: about 20 µs, longer
	// than the gap between the packets of a busy link, shorter than a wake-up
	// costs.
	spins = 64
	// longestSleep bounds a sleep in milliseconds, so that housekeeping runs.
	longestSleep = 100
	// shortSleep, in milliseconds, is for when something must be looked at
	// again soon that no descriptor announces.
	shortSleep = 1
)

// An idler puts its engine to sleep and lets others wake it.
type idler struct {
	event  int // eventfd, written by wake
	asleep atomic.Bool
	empty  int // empty passes in a row; engine thread only
	fds    []unix.PollFd
}

func newIdler() (idler, error) {
	fd, err := unix.Eventfd(0, unix.EFD_NONBLOCK|unix.EFD_CLOEXEC)
	if err != nil {
		return idler{}, fmt.Errorf("engine: eventfd: %w", err)
	}
	return idler{event: fd}, nil
}

// reset notes that a pass had something to do.
func (w *idler) reset() { w.empty = 0 }

// wake ends the engine's sleep, if it sleeps. Any goroutine may call it.
func (w *idler) wake() {
	if w.asleep.Load() && w.asleep.CompareAndSwap(true, false) {
		var one [8]byte
		binary.NativeEndian.PutUint64(one[:], 1)
		// EAGAIN would mean 2^64-2 wake-ups are pending: the engine wakes anyway.
		_, _ = unix.Write(w.event, one[:])
	}
}

// rest is what an engine does after an empty pass.
func (e *Engine) rest() {
	if e.cfg.Idle != Adaptive {
		return
	}
	if e.idle.empty++; e.idle.empty < spins {
		return
	}
	e.sleep()
}

// sleep waits for packets, a hand-off, a call or the timeout. The order matters:
// asleep is set first and the rings are looked at after it, so that whoever
// fills a ring in between either is seen here or sees asleep and wakes us.
func (e *Engine) sleep() {
	w := &e.idle
	w.asleep.Store(true)
	defer w.asleep.Store(false)
	if e.waiting() || e.call.Load() != nil || e.stop.Load() {
		return
	}
	timeout := e.pollSet()
	e.counters.Sleeps++
	// An error is EINTR or ENOMEM: either way the next pass looks for itself.
	n, _ := unix.Poll(w.fds, timeout)
	e.lastPass = 0 // the time asleep is no part of a pass
	if n <= 0 {
		return
	}
	if w.fds[0].Revents != 0 {
		var sink [8]byte
		_, _ = unix.Read(w.event, sink[:]) // EAGAIN: someone else's write was read already
	}
	for _, fd := range w.fds[1:] {
		if fd.Revents&(unix.POLLERR|unix.POLLHUP|unix.POLLNVAL) != 0 {
			e.checkPorts() // else a dead descriptor would end every sleep at once
			return
		}
	}
}

// pollSet collects the descriptors to wait for and says how long to wait. Frames
// that the kernel doesn't take, because the driver is stuck or its link is down,
// are tried again every millisecond and not in a loop: that may go on for hours.
func (e *Engine) pollSet() (timeout int) {
	w := &e.idle
	timeout = longestSleep
	w.fds = append(w.fds[:0], unix.PollFd{Fd: int32(w.event), Events: unix.POLLIN})
	for _, s := range e.slots {
		if s.gone {
			continue
		}
		fd := s.port.FD()
		if fd >= 0 {
			w.fds = append(w.fds, unix.PollFd{Fd: int32(fd), Events: unix.POLLIN})
		}
		// Completions don't wake poll: frames that are missed must be fetched.
		starved := e.free.Len() == 0 && s.port.Held().Transmit > 0
		if fd < 0 || starved || s.port.Pending() {
			timeout = shortSleep
		}
	}
	return timeout
}
