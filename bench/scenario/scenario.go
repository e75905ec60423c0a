package scenario

import (
	"context"
	"fmt"
	"io"
	"time"

	"appliance/bench/result"
)

// MinRuns is the fewest rounds whose median means something.
const MinRuns = 5

// A Scenario is one benchmark.
type Scenario struct {
	Name  string
	About string        // one line for -list
	Time  time.Duration // default of Options.Time
	run   func(context.Context, *run) error
}

// Options say how long to measure. Zero values mean the defaults.
type Options struct {
	Runs int           // rounds, default MinRuns
	Time time.Duration // of one contestant in one round; default Scenario.Time

	// Progress is told what is being done. Default: nobody.
	Progress io.Writer
}

// A run is one execution of a Scenario.
type run struct {
	*result.Recorder
	Options
	name  string
	began time.Time
}

// Run measures. It returns an error, and no result, when something failed; what
// merely makes figures doubtful is among the result's faults.
func (s *Scenario) Run(ctx context.Context, opt Options) (*result.Result, error) {
	if opt.Runs == 0 {
		opt.Runs = MinRuns
	}
	if opt.Time == 0 {
		opt.Time = s.Time
	}
	if opt.Progress == nil {
		opt.Progress = io.Discard
	}
	r := &run{Recorder: result.NewRecorder(s.Name), Options: opt, name: s.Name, began: time.Now()}
	if err := s.run(ctx, r); err != nil {
		return nil, fmt.Errorf("scenario %s: %w", s.Name, err)
	}
	if opt.Runs < MinRuns {
		r.Fault("%d runs: medians want at least %d", opt.Runs, MinRuns)
	}
	return r.Result(result.Machine()), nil
}

// progress tells what is being done and for how long the scenario has run.
func (r *run) progress(format string, args ...any) {
	fmt.Fprintf(r.Progress, "%s %5.1fs  %s\n", r.name, time.Since(r.began).Seconds(), fmt.Sprintf(format, args...))
}

// A contestant is one of those that a comparison lets take turns. Its measure
// adds its figures to the run.
type contestant struct {
	name    string
	measure func() error
}

// alternate runs all contestants once a round.
func (r *run) alternate(ctx context.Context, contestants []contestant) error {
	for round := range r.Runs {
		for _, c := range contestants {
			if err := ctx.Err(); err != nil {
				return err
			}
			r.progress("round %d of %d: %s", round+1, r.Runs, c.name)
			if err := c.measure(); err != nil {
				return fmt.Errorf("%s: %w", c.name, err)
			}
		}
	}
	return nil
}
