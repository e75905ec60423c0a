package demo

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"appliance/internal/lab"
	"appliance/internal/lab/traffic"
)

// ErrNoTraffic reports a demonstration in which nothing was answered and nothing
// failed: it has shown nothing.
var ErrNoTraffic = errors.New("not one request was made")

// statusPatience bounds the wait for a node's counters.
const statusPatience = 5 * time.Second

// Run shows the appliance at work and writes the result. Failed requests are no
// error: they are in the report. An error means that the demonstration itself
// went wrong: wrong options, no rights, a node that didn't start or didn't end
// cleanly, an interruption. The report is then what is known.
func Run(ctx context.Context, opts Options) (Report, error) {
	if err := opts.Validate(); err != nil {
		return Report{}, err
	}
	if opts.Binary == "" {
		var err error
		if opts.Binary, err = lab.Build(ctx); err != nil {
			return Report{}, err
		}
	}
	s := newShow(opts)
	config := lab.Config{
		Nodes: opts.Nodes, Backends: opts.Backends, Clients: opts.Clients, IPv6: opts.IPv6,
		Tunnels: opts.Mode == "ipip" || opts.Mode == "gue",
	}
	err := lab.Run(ctx, config, s.run)
	if len(s.events) > 0 { // it was built
		s.note("lab removed")
	}
	s.report.Timeline = s.events
	if len(s.report.loads) == 0 {
		return s.report, err // it never came to traffic
	}
	write := s.report.writeSummary
	if opts.JSON {
		write = s.report.writeJSON
	}
	return s.report, errors.Join(err, write(opts.Out))
}

// A show is one demonstration.
type show struct {
	opts   Options
	began  time.Time
	report Report

	mu     sync.Mutex // guards what follows, and writing to opts.Progress
	events []Event
	seen   map[string]bool // kinds of failure that were noted
}

func newShow(opts Options) *show {
	return &show{
		opts:  opts,
		began: time.Now(),
		seen:  make(map[string]bool),
		report: Report{
			Nodes: opts.Nodes, Backends: opts.Backends, Mode: opts.Mode,
			PerNode: []NodeReport{}, // [] in JSON, not null
		},
	}
}

// run is the demonstration, in a lab that stands.
func (s *show) run(ctx context.Context, l *lab.Lab) error {
	s.note("lab %s built: %s, router, %s, %s", l.ID(),
		plural(len(l.Clients), "client"), plural(len(l.Nodes), "node"), plural(len(l.Backends), "backend"))
	nodes, err := s.start(ctx, l)
	if err != nil {
		return err
	}
	s.drive(ctx, l)
	err = context.Cause(ctx)
	if err != nil {
		err = fmt.Errorf("demo: interrupted: %w", err)
	} else if s.report.Requests.OK+s.report.Requests.Failed == 0 {
		err = fmt.Errorf("demo: %w", ErrNoTraffic)
	}
	return errors.Join(err, s.stop(l, nodes))
}

// start starts every node.
func (s *show) start(ctx context.Context, l *lab.Lab) ([]*lab.Process, error) {
	var nodes []*lab.Process
	for _, n := range l.Nodes {
		p, err := n.Start(ctx, lab.NodeOptions{
			Binary:   s.opts.Binary,
			Services: l.Services(s.opts.Mode, "maglev"),
		})
		if err != nil {
			return nil, err
		}
		nodes = append(nodes, p)
		s.note("node %s ready, process %d", n.Host(), p.PID())
	}
	return nodes, nil
}

// drive runs the traffic, with a line of progress each second.
func (s *show) drive(ctx context.Context, l *lab.Lab) {
	ctx, cancel := context.WithTimeout(ctx, s.opts.Duration)
	defer cancel()
	loads := newLoads(l, s.opts.Fragments, s.failed)
	s.note("traffic begins, for %s", s.opts.Duration)
	done := make(chan struct{})
	go func() {
		drive(ctx, loads)
		close(done)
	}()
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			s.say(progressLine(report(loads)))
		case <-done:
			s.report.count(report(loads))
			s.note("traffic ended")
			return
		}
	}
}

// stop takes the nodes' counters and ends them as an operator does. It goes on
// after an interruption.
func (s *show) stop(l *lab.Lab, nodes []*lab.Process) error {
	var failed []error
	for i, p := range nodes {
		ctx, cancel := context.WithTimeout(context.Background(), statusPatience)
		status, err := p.Status(ctx)
		cancel()
		if err == nil {
			s.report.PerNode = append(s.report.PerNode, newNodeReport(l.Nodes[i].ID, status))
		}
		if err = errors.Join(err, p.Stop()); err != nil {
			failed = append(failed, err)
			continue
		}
		s.note("node %s stopped", l.Nodes[i].Host())
	}
	return errors.Join(failed...)
}

// failed notes the first failure of each kind and reason; the rest are counted.
func (s *show) failed(kind string, f *traffic.Failure) {
	what := fmt.Sprintf("%s: %s", kind, f.Reason)
	s.mu.Lock()
	first := !s.seen[what]
	s.seen[what] = true
	s.mu.Unlock()
	if first {
		s.note("first failure of %s (%v)", what, f.Err)
	}
}

// note puts an event on the timeline and on the screen.
func (s *show) note(format string, args ...any) {
	event := Event{MS: time.Since(s.began).Milliseconds(), Event: fmt.Sprintf(format, args...)}
	s.mu.Lock()
	s.events = append(s.events, event)
	s.mu.Unlock()
	s.say(event.Event)
}

// say shows a line with the time since the beginning.
func (s *show) say(line string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	fmt.Fprintf(s.opts.Progress, "%6.1f s  %s\n", time.Since(s.began).Seconds(), line)
}
