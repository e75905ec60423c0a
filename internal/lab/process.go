package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"appliance/internal/api"
)

const (
	// readyPatience bounds the start of an appliance. It takes well below a
	// second; on a machine with every processor busy, several.
	readyPatience = 20 * time.Second

	// stopPatience bounds its end after SIGTERM.
	stopPatience = 10 * time.Second

	// logTail is how much of an appliance's log goes into an error, in bytes.
	logTail = 4 << 10
)

// A Process is an appliance that runs, or ran, on a node. Its methods may be
// called from any goroutine.
type Process struct {
	*api.Client // asks the appliance

	host   string
	cmd    *exec.Cmd
	log    string        // path of what it wrote to stdout and stderr
	exited chan struct{} // closed when the process is gone and err is set
	err    error         // what Wait returned
}

// Start writes the node's configuration file, starts `appliance run` with it
// inside the namespace and waits until the appliance moves packets. When it
// doesn't, it is killed and the error holds the end of its log. A node runs one
// appliance at a time.
func (n *Node) Start(ctx context.Context, opts NodeOptions) (*Process, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.process != nil && n.process.running() {
		return nil, fmt.Errorf("lab: start %s: an appliance runs already", n.Host())
	}
	p, err := n.run(opts)
	if err != nil {
		return nil, fmt.Errorf("lab: start %s: %w", n.Host(), err)
	}
	n.process = p
	if err := p.awaitReady(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("lab: start %s: %w%s", n.Host(), err, p.tail()), p.Kill())
	}
	n.lab.config.Log.Debug("node runs", "lab", n.lab.ID(), "node", n.Host(), "pid", p.PID())
	return p, nil
}

// run starts the appliance's process.
func (n *Node) run(opts NodeOptions) (*Process, error) {
	config, err := n.Config(opts)
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(n.file("toml"), []byte(config), 0o644); err != nil {
		return nil, err
	}
	log, err := os.Create(n.file("log"))
	if err != nil {
		return nil, err
	}
	defer log.Close()
	cmd := exec.Command(opts.Binary, "run", "-c", n.file("toml"))
	cmd.Stdout, cmd.Stderr = log, log
	cmd.Env = append(os.Environ(), opts.Env...)
	// Ctrl-C at the terminal goes to the caller, who stops the node in order.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := n.Launch(cmd); err != nil {
		return nil, err
	}
	p := &Process{
		Client: api.NewClient(n.Socket()),
		host:   n.Host(),
		cmd:    cmd,
		log:    log.Name(),
		exited: make(chan struct{}),
	}
	go func() {
		p.err = cmd.Wait()
		close(p.exited)
	}()
	return p, nil
}

// awaitReady waits until the appliance says that it is ready.
func (p *Process) awaitReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, readyPatience,
		fmt.Errorf("not ready after %s", readyPatience))
	defer cancel()
	for {
		err := p.Ready(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-p.exited:
			return fmt.Errorf("ended before it was ready: %w", p.ended())
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", context.Cause(ctx), err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// PID returns the process id.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Exited returns a channel that is closed when the process has ended.
func (p *Process) Exited() <-chan struct{} { return p.exited }

// Log returns all that the appliance wrote so far.
func (p *Process) Log() string {
	text, err := os.ReadFile(p.log)
	if err != nil {
		return err.Error()
	}
	return string(text)
}

// Signal sends the appliance a signal: SIGHUP, SIGSTOP, SIGCONT.
func (p *Process) Signal(s os.Signal) error {
	if err := p.cmd.Process.Signal(s); err != nil {
		return fmt.Errorf("lab: signal %s: %w", p.host, err)
	}
	return nil
}

// Stop ends the appliance as an operator does, by SIGTERM. It is an error, with
// the end of the log, when the appliance doesn't exit with status 0 within ten
// seconds; then it is killed. It returns nil when a former Stop did.
func (p *Process) Stop() error {
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("lab: stop %s: %w", p.host, err)
	}
	select {
	case <-p.exited:
	case <-time.After(stopPatience):
		return errors.Join(fmt.Errorf("lab: stop %s: still there %s after SIGTERM%s", p.host, stopPatience, p.tail()), p.Kill())
	}
	if p.err != nil {
		return fmt.Errorf("lab: stop %s: %w%s", p.host, p.err, p.tail())
	}
	return nil
}

// Kill ends the appliance by SIGKILL, as a crash does, and waits until it is
// gone. It does nothing when the appliance has ended.
func (p *Process) Kill() error {
	if err := p.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("lab: kill %s: %w", p.host, err)
	}
	<-p.exited
	return nil
}

// running reports whether the process has not ended.
func (p *Process) running() bool {
	select {
	case <-p.exited:
		return false
	default:
		return true
	}
}

// ended returns how the process ended: never nil. It has ended.
func (p *Process) ended() error {
	if p.err == nil {
		return errors.New("exit status 0")
	}
	return p.err
}

// tail returns the end of the log, ready to follow an error's text.
func (p *Process) tail() string {
	text := strings.TrimSpace(p.Log())
	if len(text) > logTail {
		text = "..." + text[len(text)-logTail:]
	}
	return "\nits log ends:\n" + text
}
