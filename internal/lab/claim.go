package lab

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// runDir holds one directory per lab, named by the lab's id. In it are the
// lab's own files and the file "owner", which the lab's process keeps locked
// for as long as the lab lives. The kernel drops the lock with the process,
// however it ends, so a lab whose owner file can be locked is a leftover: no
// pid to compare, none to be reused.
const runDir = "/run/appliance-lab"

// killPatience bounds the wait for killed processes to be gone. It takes a few
// milliseconds; a process stuck in the kernel never goes.
const killPatience = 5 * time.Second

// A claim is the right to everything on the machine that bears a lab's id: the
// namespaces lab-ID-*, the processes inside them, and the directory.
type claim struct {
	id    string
	owner *os.File // locked
}

// newClaim removes what crashed labs left behind and claims a fresh id.
func newClaim() (*claim, error) {
	if err := os.MkdirAll(runDir, 0o755); err != nil {
		return nil, fmt.Errorf("lab: claim: %w", err)
	}
	// One at a time: else a sweep could lock the owner file of a lab between
	// its creation and its owner's lock, and take the lab for a leftover.
	turn, err := lockFile(filepath.Join(runDir, "turn"), 0)
	if err != nil {
		return nil, fmt.Errorf("lab: claim: %w", err)
	}
	defer turn.Close()
	if err := sweep(); err != nil {
		return nil, err
	}
	for {
		id := newID()
		err := os.Mkdir(filepath.Join(runDir, id), 0o755)
		if errors.Is(err, fs.ErrExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("lab: claim: %w", err)
		}
		owner, err := lockFile(filepath.Join(runDir, id, "owner"), 0)
		if err != nil {
			return nil, fmt.Errorf("lab: claim: %w", err)
		}
		fmt.Fprintln(owner, os.Getpid()) // for people who look
		return &claim{id: id, owner: owner}, nil
	}
}

// newID returns four random hex digits: short, because an interface name has
// 15 bytes and a reader little patience.
func newID() string {
	var b [2]byte
	rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}

// dir returns the lab's directory.
func (c *claim) dir() string { return filepath.Join(runDir, c.id) }

// namespace returns the full name of one of the lab's namespaces.
func (c *claim) namespace(host string) string { return prefix(c.id) + host }

// release removes everything that the claim covers and gives it up.
func (c *claim) release() error {
	return errors.Join(remove(c.id), c.owner.Close())
}

// sweep removes the labs whose process is gone.
func sweep() error {
	labs, err := os.ReadDir(runDir)
	if err != nil {
		return fmt.Errorf("lab: sweep: %w", err)
	}
	var failed []error
	for _, entry := range labs {
		if !entry.IsDir() {
			continue
		}
		owner, err := lockFile(filepath.Join(runDir, entry.Name(), "owner"), unix.LOCK_NB)
		if errors.Is(err, unix.EWOULDBLOCK) || errors.Is(err, fs.ErrNotExist) {
			continue // alive, or closed meanwhile
		}
		if err == nil {
			err = errors.Join(remove(entry.Name()), owner.Close())
		}
		if err != nil {
			failed = append(failed, fmt.Errorf("lab: sweep %s: %w", entry.Name(), err))
		}
	}
	return errors.Join(failed...)
}

// lockFile opens path, making it if need be, and takes its lock. Programs that
// the process starts don't inherit it: Go opens files close-on-exec.
func lockFile(path string, flags int) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|flags); err != nil {
		f.Close()
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	return f, nil
}

// prefix is what the names of a lab's namespaces begin with.
func prefix(id string) string { return "lab-" + id + "-" }

// remove ends the processes of a lab, deletes its namespaces (links, addresses
// and routes go with them) and, last, its directory: as long as there is
// anything left to remove, there is a directory that says so.
func remove(id string) error {
	namespaces, err := filepath.Glob(filepath.Join(namespaceDir, prefix(id)+"*"))
	if err != nil {
		return fmt.Errorf("lab: remove %s: %w", id, err)
	}
	if err := killInside(namespaces); err != nil {
		return fmt.Errorf("lab: remove %s: %w", id, err)
	}
	for _, path := range namespaces {
		// EINVAL: the crash came between making the file and mounting on it.
		if err := unix.Unmount(path, unix.MNT_DETACH); err != nil && err != unix.EINVAL {
			return fmt.Errorf("lab: remove %s: unmount %s: %w", id, path, err)
		}
		if err := os.Remove(path); err != nil {
			return fmt.Errorf("lab: remove %s: %w", id, err)
		}
	}
	if err := os.RemoveAll(filepath.Join(runDir, id)); err != nil {
		return fmt.Errorf("lab: remove %s: %w", id, err)
	}
	return nil
}

// killInside kills every other process that lives in one of the namespaces and
// waits until all are gone.
func killInside(namespaces []string) error {
	var inside []os.FileInfo
	for _, path := range namespaces {
		if info, err := os.Stat(path); err == nil {
			inside = append(inside, info)
		}
	}
	for deadline := time.Now().Add(killPatience); ; time.Sleep(5 * time.Millisecond) {
		killed, err := killOnce(inside)
		if err != nil || killed == 0 {
			return err
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%d processes survive SIGKILL", killed)
		}
	}
}

// killOnce sends SIGKILL to every process in the namespaces but this one, whose
// first thread may be inside for the moment, and returns how many there were.
func killOnce(inside []os.FileInfo) (int, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return 0, err
	}
	killed := 0
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil || pid == os.Getpid() {
			continue
		}
		// The process is held before it is looked at (pidfd), so that the one
		// killed is the one seen, even if the pid is reused in between.
		p, err := os.FindProcess(pid)
		if err != nil {
			continue
		}
		// A zombie has no namespace any more: Stat fails.
		info, err := os.Stat(filepath.Join("/proc", entry.Name(), "ns/net"))
		lives := func(namespace os.FileInfo) bool { return os.SameFile(info, namespace) }
		if err == nil && slices.ContainsFunc(inside, lives) && p.Kill() == nil {
			killed++
		}
		p.Release()
	}
	return killed, nil
}
