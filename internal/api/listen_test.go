package api

import (
	"context"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// leave makes a Unix socket at path and returns its listener, which leaves the
// socket behind when it is closed, as a killed process does.
func leave(t *testing.T, path string) *net.UnixListener {
	t.Helper()
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	t.Cleanup(func() { l.Close() })
	return l
}

// The socket is for root and the group of the process, whatever the umask.
func TestSocketPermissions(t *testing.T) {
	for _, umask := range []int{0, 0o022, 0o777} {
		path := filepath.Join(t.TempDir(), "api.sock")
		was := syscall.Umask(umask)
		l, err := Listen(path)
		syscall.Umask(was)
		if err != nil {
			t.Fatalf("umask %#o: %v", umask, err)
		}
		info, err := os.Stat(path)
		if err != nil || info.Mode() != fs.ModeSocket|0o660 {
			t.Errorf("umask %#o: mode %v (%v), want a socket of mode 0660", umask, info.Mode(), err)
		}
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	}
}

// A socket that a dead process has left is replaced.
func TestStaleSocketIsReplaced(t *testing.T) {
	path := filepath.Join(t.TempDir(), "api.sock")
	if err := leave(t, path).Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Lstat(path); err != nil {
		t.Fatalf("no stale socket to test with: %v", err)
	}
	l, err := Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
}

// A socket that somebody listens on is left alone, even if he doesn't answer.
func TestLiveSocketIsRefused(t *testing.T) {
	for _, hangs := range []bool{false, true} {
		path := filepath.Join(t.TempDir(), "api.sock")
		live := leave(t, path)
		if hangs { // a full backlog, which a stopped process has soon
			fill(t, path)
		}
		l, err := Listen(path)
		if err == nil {
			l.Close()
			t.Fatalf("hangs %v: two listen on one socket", hangs)
		}
		if !strings.Contains(err.Error(), path+" is in use: another appliance runs") {
			t.Errorf("hangs %v: error %v", hangs, err)
		}
		if c, err := live.Accept(); err != nil {
			t.Errorf("hangs %v: the live socket no longer works: %v", hangs, err)
		} else {
			c.Close()
		}
	}
}

// fill connects to a socket until its backlog is full.
func fill(t *testing.T, path string) {
	t.Helper()
	for range 1 << 16 {
		fd, err := syscall.Socket(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_NONBLOCK|syscall.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { syscall.Close(fd) })
		if err := syscall.Connect(fd, &syscall.SockaddrUnix{Name: path}); err == syscall.EAGAIN {
			return
		} else if err != nil {
			t.Fatal(err)
		}
	}
	t.Fatal("the backlog has no end")
}

// Nothing but a socket is ever removed.
func TestOtherFilesAreKept(t *testing.T) {
	dir := t.TempDir()
	file, folder, link := filepath.Join(dir, "file"), filepath.Join(dir, "folder"), filepath.Join(dir, "link")
	if err := os.WriteFile(file, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(file, link); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{file, folder, link} {
		if l, err := Listen(path); err == nil {
			l.Close()
			t.Errorf("%s: replaced", path)
		} else if !strings.Contains(err.Error(), "is no socket") {
			t.Errorf("%s: error %v", path, err)
		}
		if _, err := os.Lstat(path); err != nil {
			t.Error(err)
		}
	}
	if text, err := os.ReadFile(file); err != nil || string(text) != "precious" {
		t.Errorf("the file holds %q, %v", text, err)
	}
	if _, err := Listen(filepath.Join(file, "api.sock")); err == nil || !strings.HasPrefix(err.Error(), "api: ") {
		t.Errorf("below a file: error %v", err)
	}
}

// Whoever asks where nobody answers is told what to do.
func TestNobodyAnswers(t *testing.T) {
	stale := filepath.Join(t.TempDir(), "stale")
	if err := leave(t, stale).Close(); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{filepath.Join(t.TempDir(), "missing"), stale} {
		_, err := NewClient(path).Status(t.Context())
		want := "no appliance answers at " + path + ": is it running, and is this its [api] socket? (--socket)"
		if err == nil || err.Error() != want {
			t.Errorf("error %v, want %s", err, want)
		}
	}
}

// An appliance that hangs is told from one that doesn't run.
func TestSomebodyHangs(t *testing.T) {
	path := filepath.Join(t.TempDir(), "api.sock")
	leave(t, path)
	hung := func(ctx context.Context) {
		t.Helper()
		_, err := NewClient(path).Status(ctx)
		if err == nil || !strings.HasPrefix(err.Error(), "the appliance at "+path+" runs but doesn't answer") {
			t.Errorf("error %v", err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	hung(ctx)
	fill(t, path)
	hung(t.Context())
}
