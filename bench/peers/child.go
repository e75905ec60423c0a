package peers

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"

	"github.com/cilium/ebpf/rlimit"

	"appliance/bench/rig"
	"appliance/vserver"
)

// childEnv names the peer that a process is to be.
const childEnv = "BENCH_PEER"

// ready is what a child says when it forwards.
const ready = "ready"

// A forwarder is a peer inside its own process.
type forwarder interface {
	// stop ends the packet loop, gives everything back and returns what was
	// counted.
	stop() (Report, error)
}

// children are the peers that are processes of this binary.
var children = map[string]func() (forwarder, error){
	"bare":          newBare,
	"appliance_dsr": newAppliance(vserver.DSR),
	"appliance_nat": newAppliance(vserver.NAT),
	"asavie":        newAsavie,
}

// child returns the peer of that name, which runs as a child process.
func child(name string) *Peer {
	return &Peer{Name: name, start: func(r *rig.Rig) (Running, error) {
		self, err := os.Executable()
		if err != nil {
			return nil, fmt.Errorf("peers: find this binary: %w", err)
		}
		cmd := exec.Command(self)
		cmd.Env = append(os.Environ(), childEnv+"="+name)
		p := &childProcess{name: name}
		if p.process, err = startProcess(r.Node, cmd, ready); err != nil {
			return nil, err
		}
		return p, nil
	}}
}

// A childProcess is a child as its parent sees it.
type childProcess struct {
	*process
	name string
}

// Stop ends the child and reads its report, the one line that it prints.
func (c *childProcess) Stop() (Report, error) {
	c.input.Close()
	var r Report
	line, open := <-c.lines
	if !open {
		return r, errors.Join(fmt.Errorf("peers: %s ended without a report", c.name), c.end())
	}
	if err := json.Unmarshal([]byte(line), &r); err != nil {
		return r, errors.Join(fmt.Errorf("peers: report of %s: %w", c.name, err), c.end())
	}
	return r, c.end()
}

// RunChild makes this process a peer if its environment says so, and then never
// returns. Every binary that starts peers calls it before anything else.
func RunChild() {
	name, ok := os.LookupEnv(childEnv)
	if !ok {
		return
	}
	if err := runChild(name, os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

func runChild(name string, in io.Reader, out io.Writer) error {
	start, ok := children[name]
	if !ok {
		return fmt.Errorf("peers: %s=%q names no peer", childEnv, name)
	}
	if err := rlimit.RemoveMemlock(); err != nil {
		return fmt.Errorf("peers: raise the locked memory limit: %w", err)
	}
	f, err := start()
	if err != nil {
		return err
	}
	fmt.Fprintln(out, ready)
	_, waited := io.Copy(io.Discard, in)
	report, err := f.stop()
	return errors.Join(waited, err, json.NewEncoder(out).Encode(report))
}
