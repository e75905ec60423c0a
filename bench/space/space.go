package space

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"

	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// prefix begins the names of all namespaces. The process id follows.
const prefix = "bn-"

// A Space is a named network namespace.
type Space struct {
	Name   string // as `ip netns` shows it
	handle netns.NsHandle
}

// New makes a namespace of this process, named after its role. It needs root.
func New(role string) (*Space, error) {
	s := &Space{Name: fmt.Sprintf("%s%d-%s", prefix, os.Getpid(), role)}
	err := OnThread(func() (err error) {
		s.handle, err = netns.NewNamed(s.Name)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("space: make namespace %s (run as root): %w", s.Name, err)
	}
	return s, nil
}

// Do runs fn on a thread inside the namespace and returns its error. Processes
// that fn starts are inside too; goroutines that it starts are not.
func (s *Space) Do(fn func() error) error {
	return OnThread(func() error {
		if err := netns.Set(s.handle); err != nil {
			return fmt.Errorf("space: enter namespace %s: %w", s.Name, err)
		}
		return fn()
	})
}

// FD returns the namespace's file descriptor, as netlink wants it.
func (s *Space) FD() int { return int(s.handle) }

// Close deletes the namespace and with it the interfaces inside.
func (s *Space) Close() error {
	return errors.Join(s.handle.Close(), netns.DeleteNamed(s.Name))
}

// OnThread runs fn on a thread of its own and returns its error. The thread is
// never unlocked, so that it ends with its goroutine and no other goroutine meets
// the namespace or the processor that fn may have changed to.
func OnThread(fn func() error) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread()
		if unix.Gettid() == unix.Getpid() {
			// The runtime never ends the main thread, which would stay where fn
			// takes it. While we hold it fn gets another one.
			done <- OnThread(fn)
			runtime.UnlockOSThread()
			return
		}
		done <- fn()
	}()
	return <-done
}

// Sweep deletes the namespaces that processes left behind which no longer run.
func Sweep() error {
	entries, err := os.ReadDir("/run/netns")
	if errors.Is(err, os.ErrNotExist) {
		return nil // no named namespace was ever made here
	}
	if err != nil {
		return fmt.Errorf("space: look for left-over namespaces: %w", err)
	}
	var errs []error
	for _, e := range entries {
		rest, ok := strings.CutPrefix(e.Name(), prefix)
		if !ok {
			continue
		}
		owner, _, _ := strings.Cut(rest, "-")
		pid, err := strconv.Atoi(owner)
		if err != nil || unix.Kill(pid, 0) != unix.ESRCH {
			continue
		}
		errs = append(errs, netns.DeleteNamed(e.Name()))
	}
	return errors.Join(errs...)
}
