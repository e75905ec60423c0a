package lab_test

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"testing"

	"appliance/internal/lab"
	"appliance/internal/privtest"
)

// TestLeftoversOfCrash kills a process that has a lab with SIGKILL and finds its
// namespaces, its files and its processes gone once the next lab is built.
func TestLeftoversOfCrash(t *testing.T) {
	privtest.NeedNetNS(t)
	cmd, out := play(t, "crash")
	var id string
	var sleeper int
	if _, err := fmt.Fscan(out, &id, &sleeper); err != nil {
		t.Fatal(err)
	}

	// A lab whose process lives is none of the next lab's business.
	build(t, lab.Config{})
	if found := left(t, id); len(found) < 5 {
		t.Fatalf("a running lab has only %v", found)
	}

	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	cmd.Wait()
	build(t, lab.Config{})
	if found := left(t, id); len(found) > 0 {
		t.Errorf("left: %v", found)
	}
	// Dead, or dead and not yet reaped by whoever inherited it: a zombie has no
	// namespaces.
	if _, err := os.Stat(fmt.Sprintf("/proc/%d/ns/net", sleeper)); err == nil {
		t.Errorf("process %d of the crashed lab lives", sleeper)
	}
}

// play starts this test binary in a role and returns what it says.
func play(t *testing.T, role string) (*exec.Cmd, io.Reader) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), roleVar+"="+role)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return cmd, out
}

// TestInterruptedRun: Ctrl-C during Run removes the lab and ends in order.
func TestInterruptedRun(t *testing.T) {
	privtest.NeedNetNS(t)
	cmd, out := play(t, "patient")
	var id string
	if _, err := fmt.Fscan(out, &id); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("the interrupted process ended with %v", err)
	}
	if found := left(t, id); len(found) > 0 {
		t.Errorf("left: %v", found)
	}
}

// TestHalfMadeLeftover: a crash can come at any moment of the building.
func TestHalfMadeLeftover(t *testing.T) {
	privtest.NeedNetNS(t)
	const id = "zzzz" // no lab draws it
	for _, made := range []string{"/run/appliance-lab/" + id, "/run/netns"} {
		if err := os.MkdirAll(made, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	// The file of a namespace that was never mounted on it.
	if err := os.WriteFile("/run/netns/lab-"+id+"-r", nil, 0o444); err != nil {
		t.Fatal(err)
	}
	build(t, lab.Config{})
	if found := left(t, id); len(found) > 0 {
		t.Errorf("left: %v", found)
	}
}
