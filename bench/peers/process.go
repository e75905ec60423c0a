package peers

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"appliance/bench/space"
)

// How long a process may take to become ready, and to end.
const (
	startTime = 20 * time.Second
	stopTime  = 10 * time.Second
)

// A process is a peer that runs as a process of its own. It works while its
// standard input is open, so it also ends when the benchmark dies.
type process struct {
	cmd    *exec.Cmd
	input  io.Closer
	lines  chan string // its standard output, line by line; closed at the end
	stderr bytes.Buffer
}

// startProcess starts cmd inside a namespace and waits for a line on its
// standard output that contains ready.
func startProcess(at *space.Space, cmd *exec.Cmd, ready string) (*process, error) {
	p := &process{cmd: cmd, lines: make(chan string, 16)}
	input, err := cmd.StdinPipe()
	if err != nil {
		return nil, fmt.Errorf("peers: start %s: %w", cmd.Path, err)
	}
	p.input = input
	output, err := cmd.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("peers: start %s: %w", cmd.Path, err)
	}
	cmd.Stderr = &p.stderr
	if err := at.Do(cmd.Start); err != nil {
		return nil, fmt.Errorf("peers: start %s: %w", cmd.Path, err)
	}
	go func() {
		defer close(p.lines)
		for sc := bufio.NewScanner(output); sc.Scan(); {
			p.lines <- sc.Text()
		}
	}()
	if err := p.waitFor(ready); err != nil {
		return nil, errors.Join(err, p.end())
	}
	return p, nil
}

// waitFor reads lines up to one that contains text.
func (p *process) waitFor(text string) error {
	timeout := time.After(startTime)
	for {
		select {
		case line, open := <-p.lines:
			if !open {
				return fmt.Errorf("peers: %s ended before it said %q", p.cmd.Path, text)
			}
			if strings.Contains(line, text) {
				return nil
			}
		case <-timeout:
			return fmt.Errorf("peers: %s did not say %q within %v", p.cmd.Path, text, startTime)
		}
	}
}

// end closes the process's input and waits for it to end, killing it if it
// doesn't.
func (p *process) end() error {
	p.input.Close() // an error means that the process has gone already
	killer := time.AfterFunc(stopTime, func() { p.cmd.Process.Kill() })
	defer killer.Stop()
	for range p.lines {
	}
	if err := p.cmd.Wait(); err != nil {
		return fmt.Errorf("peers: %s: %w: %s", p.cmd.Path, err, lastLines(p.stderr.String(), 8))
	}
	return nil
}

// lastLines returns the last n lines of s.
func lastLines(s string, n int) string {
	lines := strings.Split(strings.TrimSpace(s), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}

// CPU returns the processor time of the process's living threads.
func (p *process) CPU() (time.Duration, error) {
	tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", p.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	var sum time.Duration
	for _, task := range tasks {
		d, err := OnCPU(task)
		if errors.Is(err, os.ErrNotExist) {
			continue // ended just now
		}
		if err != nil {
			return 0, err
		}
		sum += d
	}
	return sum, nil
}

// OnCPU returns how long a task has run, from its schedstat file: exact, unlike
// the tick-sampled times of its stat file (Documentation/scheduler/sched-stats.rst).
func OnCPU(schedstat string) (time.Duration, error) {
	b, err := os.ReadFile(schedstat)
	if err != nil {
		return 0, fmt.Errorf("peers: read processor time: %w", err)
	}
	first, _, _ := strings.Cut(string(b), " ")
	ns, err := strconv.ParseInt(first, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("peers: read processor time: %s: %w", schedstat, err)
	}
	return time.Duration(ns), nil
}
