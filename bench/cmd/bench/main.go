// Bench measures the appliance and its peers.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"appliance/bench/peers"
	"appliance/bench/result"
	"appliance/bench/scenario"
)

const usage = `Bench measures the appliance and what it is compared with.

  bench -list                                   the scenarios, one line each
  bench -scenario hash                          one scenario, as a table
  bench -scenario pipeline -json                one JSON object on standard output
  bench -scenario forward -runs 9 -time 5s      more and longer rounds (root)
  bench -all -markdown > docs/benchmarks.md     every scenario, as tables for the docs

Contestants take turns; figures are medians over the rounds. Progress goes to
standard error. A scenario that needs root says so in the list.

Flags:
`

// preamble begins docs/benchmarks.md.
const preamble = `# Benchmarks

Printed by ` + "`go run ./bench/cmd/bench -all -markdown`" + `. What each figure means and how it
comes about is in [bench/README.md](../bench/README.md): figures are medians of
rounds in which contestants took turns, ratios compare medians of one run.

`

func main() {
	peers.RunChild()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := bench(ctx, os.Args[1:], os.Stdout, os.Stderr)
	switch {
	case errors.Is(err, flag.ErrHelp):
	case errors.Is(err, errUsage):
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	case err != nil:
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// errUsage reports a command line that says nothing to do.
var errUsage = errors.New("bench: bad command line; -h shows examples")

// A command is what the command line asks for.
type command struct {
	list, all, json, markdown bool
	scenario                  string
	opt                       scenario.Options
}

func parse(args []string, stderr io.Writer) (*command, error) {
	c := new(command)
	f := flag.NewFlagSet("bench", flag.ContinueOnError)
	f.SetOutput(stderr)
	f.Usage = func() {
		fmt.Fprint(stderr, usage)
		f.PrintDefaults()
	}
	f.BoolVar(&c.list, "list", false, "list the scenarios")
	f.BoolVar(&c.all, "all", false, "run every scenario")
	f.StringVar(&c.scenario, "scenario", "", "run the scenario of this `name`")
	f.BoolVar(&c.json, "json", false, "print one JSON object a scenario")
	f.BoolVar(&c.markdown, "markdown", false, "print tables for docs/benchmarks.md")
	f.IntVar(&c.opt.Runs, "runs", scenario.MinRuns, "`rounds` whose median is taken")
	f.DurationVar(&c.opt.Time, "time", 0, "`duration` of one contestant in one round (0: the scenario's own)")
	if err := f.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return nil, err
		}
		return nil, errUsage // the flag package has said what is wrong
	}
	return c, c.check(f.Args())
}

func (c *command) check(rest []string) error {
	modes := 0
	for _, set := range []bool{c.list, c.all, c.scenario != ""} {
		if set {
			modes++
		}
	}
	switch {
	case len(rest) > 0:
		return fmt.Errorf("%w: unexpected %q", errUsage, rest[0])
	case modes != 1:
		return fmt.Errorf("%w: want one of -list, -all and -scenario", errUsage)
	case c.json && c.markdown:
		return fmt.Errorf("%w: -json and -markdown exclude each other", errUsage)
	case c.opt.Runs < 1 || c.opt.Time < 0:
		return fmt.Errorf("%w: -runs must be at least 1 and -time positive", errUsage)
	case c.scenario != "" && scenario.Find(c.scenario) == nil:
		return fmt.Errorf("%w: no scenario %q (-list shows them)", errUsage, c.scenario)
	}
	return nil
}

// bench is the command.
func bench(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	c, err := parse(args, stderr)
	if err != nil {
		return err
	}
	if c.list {
		for _, s := range scenario.All {
			fmt.Fprintf(stdout, "%-10s %s\n", s.Name, s.About)
		}
		return nil
	}
	which := scenario.All
	if !c.all {
		which = []*scenario.Scenario{scenario.Find(c.scenario)}
	}
	if c.all && c.markdown {
		fmt.Fprint(stdout, preamble)
	}
	c.opt.Progress = stderr
	var failed error
	for _, s := range which {
		res, err := s.Run(ctx, c.opt)
		if err == nil {
			err = c.print(res, stdout)
		}
		if ctx.Err() != nil {
			return err
		}
		failed = errors.Join(failed, err) // the other scenarios still run
	}
	return failed
}

func (c *command) print(res *result.Result, w io.Writer) error {
	switch {
	case c.json:
		return res.WriteJSON(w)
	case c.markdown:
		return res.WriteMarkdown(w, "go run ./bench/cmd/bench -scenario "+res.Scenario)
	}
	return res.WriteText(w)
}
