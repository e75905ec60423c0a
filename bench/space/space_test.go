package space

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"appliance/internal/privtest"
)

func newSpace(t *testing.T, role string) *Space {
	t.Helper()
	privtest.NeedNetNS(t)
	s, err := New(role)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestDo: a function runs inside, the rest of the process stays outside, and
// processes started inside stay there.
func TestDo(t *testing.T) {
	s := newSpace(t, "do")
	defer s.Close()
	outside, err := os.Readlink("/proc/self/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	err = s.Do(func() error {
		inside, err := os.Readlink("/proc/thread-self/ns/net")
		if err != nil {
			return err
		}
		child, err := exec.Command("readlink", "/proc/self/ns/net").Output()
		if err != nil {
			return err
		}
		if inside == outside || string(child) != inside+"\n" {
			t.Errorf("outside %s, inside %s, child %s", outside, inside, child)
		}
		ifs, err := net.Interfaces()
		if err != nil || len(ifs) != 1 {
			t.Errorf("a new namespace has interfaces %v, %v", ifs, err)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if after, err := os.Readlink("/proc/thread-self/ns/net"); err != nil || after != outside {
		t.Errorf("this thread is in %s, was in %s (%v)", after, outside, err)
	}
	failure := errors.New("as it should")
	if err := s.Do(func() error { return failure }); !errors.Is(err, failure) {
		t.Errorf("Do returned %v", err)
	}
}

// TestOnThreadEndsItsThread: no goroutine ever meets a thread whose namespace or
// affinity was changed. Threads are made and ended asynchronously, hence the
// wait.
func TestOnThreadEndsItsThread(t *testing.T) {
	for range 20 {
		var tid int
		if err := OnThread(func() error { tid = unix.Gettid(); return nil }); err != nil {
			t.Fatal(err)
		}
		if tid == unix.Getpid() {
			t.Fatal("the main thread was used, which never ends")
		}
		task := fmt.Sprintf("/proc/self/task/%d", tid)
		for end := time.Now().Add(5 * time.Second); ; time.Sleep(time.Millisecond) {
			if _, err := os.Stat(task); errors.Is(err, os.ErrNotExist) {
				break
			}
			if time.Now().After(end) {
				t.Fatalf("thread %d lives on", tid)
			}
		}
	}
}

// TestSweep removes what a process that is gone has left, and nothing else.
func TestSweep(t *testing.T) {
	s := newSpace(t, "sweep")
	defer s.Close()
	gone := exec.Command("true")
	if err := gone.Run(); err != nil {
		t.Fatal(err)
	}
	orphan := fmt.Sprintf("%s%d-sweep", prefix, gone.Process.Pid)
	foreign := fmt.Sprintf("not-%s%d", prefix, gone.Process.Pid)
	for _, name := range []string{orphan, foreign} {
		err := OnThread(func() error {
			h, err := netns.NewNamed(name)
			if err != nil {
				return err
			}
			return h.Close()
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	defer netns.DeleteNamed(foreign)
	if err := Sweep(); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]bool{orphan: false, foreign: true, s.Name: true} {
		if _, err := os.Stat("/run/netns/" + name); (err == nil) != want {
			t.Errorf("namespace %s is there: %v, want %v", name, err == nil, want)
		}
	}
}

func TestCloseRemoves(t *testing.T) {
	s := newSpace(t, "close")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat("/run/netns/" + s.Name); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("namespace %s is left: %v", s.Name, err)
	}
}
