package lab_test

import (
	"context"
	"errors"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"appliance/internal/lab"
)

// as makes a node run this test binary in a role.
func as(role string) lab.NodeOptions {
	return lab.NodeOptions{Binary: "/proc/self/exe", Env: []string{roleVar + "=" + role}}
}

func TestStartAndStop(t *testing.T) {
	l := build(t, lab.Config{})
	node := l.Nodes[0]
	for range 2 { // a node can be started again
		p, err := node.Start(t.Context(), as("obedient"))
		if err != nil {
			t.Fatal(err)
		}
		inside, err := node.Output(t.Context(), "ip", "netns", "identify")
		if err != nil || strings.TrimSpace(inside) != node.Name() {
			t.Errorf("a program in the node's namespace is in %q, %v", inside, err)
		}
		if _, err := node.Start(t.Context(), as("obedient")); err == nil {
			t.Error("a second appliance started on the node")
		}
		if err := p.Stop(); err != nil {
			t.Error(err)
		}
		if got := p.Log(); got != "told to end\n" {
			t.Errorf("log %q", got)
		}
		if err := p.Stop(); err != nil {
			t.Errorf("second Stop: %v", err)
		}
	}
}

func TestStopNoticesExitStatus(t *testing.T) {
	l := build(t, lab.Config{})
	p, err := l.Nodes[0].Start(t.Context(), as("clumsy"))
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Stop(); err == nil || !strings.Contains(err.Error(), "exit status 3") ||
		!strings.Contains(err.Error(), "told to end") {
		t.Errorf("Stop: %v, want the exit status and the log", err)
	}
}

func TestStartSaysWhyNot(t *testing.T) {
	l := build(t, lab.Config{})
	_, err := l.Nodes[0].Start(t.Context(), as("broken"))
	if err == nil || !strings.Contains(err.Error(), "exit status 1") || !strings.Contains(err.Error(), "no such luck") {
		t.Errorf("Start: %v, want the exit status and the log", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if _, err := l.Nodes[0].Start(ctx, as("mute")); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Start: %v, want the context's error", err)
	}
	if _, err := l.Nodes[0].Start(t.Context(), lab.NodeOptions{Binary: "/nowhere"}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("Start: %v, want: no such file", err)
	}
}

func TestKillAndClose(t *testing.T) {
	l := build(t, lab.Config{Nodes: 2})
	killed, err := l.Nodes[0].Start(t.Context(), as("obedient"))
	if err != nil {
		t.Fatal(err)
	}
	if err := killed.Kill(); err != nil {
		t.Error(err)
	}
	if err := killed.Stop(); err == nil || !strings.Contains(err.Error(), "killed") {
		t.Errorf("Stop after Kill: %v, want how it ended", err)
	}
	left, err := l.Nodes[1].Start(t.Context(), as("obedient"))
	if err != nil {
		t.Fatal(err)
	}
	if err := left.Signal(syscall.SIGSTOP); err != nil { // Close ends a stopped one too
		t.Error(err)
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	select {
	case <-left.Exited():
	default:
		t.Error("Close left an appliance running")
	}
}
