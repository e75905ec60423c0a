// Command appliance is a packet-processing appliance on AF_XDP: it takes the
// packets for its virtual IP addresses off the network card's queues and
// balances their flows over backends. README.md says how to run it.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"appliance/internal/api"
	"appliance/internal/config"
)

// version is set by the linker (make build).
var version = "development"

// Exit codes. Scripts rely on them.
const (
	exitFailed = 1 // it was tried and failed
	exitUsage  = 2 // configuration or command line refused; nothing was started
)

// An env is what a command may touch of the world, so that tests can give it
// another one.
type env struct {
	out, err io.Writer
}

// A usageError ends the program with exitUsage.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	os.Exit(run(ctx, env{out: os.Stdout, err: os.Stderr}, os.Args[1:]))
}

// run executes one command line and returns the exit code.
func run(ctx context.Context, e env, args []string) int {
	root := newRoot(e)
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return 0
	}
	var file *config.Error
	var refusal api.Refusal
	switch { // lines of the first two begin with the file's name, as compilers' do
	case errors.As(err, &file):
		fmt.Fprintln(e.err, file)
	case errors.As(err, &refusal):
		fmt.Fprintln(e.err, refusal)
	default:
		fmt.Fprintln(e.err, "appliance:", err)
	}
	if refusal != "" || errors.As(err, new(usageError)) {
		return exitUsage
	}
	return exitFailed
}

func newRoot(e env) *cobra.Command {
	root := &cobra.Command{
		Use:   "appliance",
		Short: "Userspace load balancer on AF_XDP",
		Long: `appliance takes the packets for its virtual IP addresses off the network card's
queues (AF_XDP) and balances their flows over backends.

Exit status: 0 done, 1 failed, 2 configuration or command line refused.`,
		Example: `  appliance demo                          # see it work: a lab in network namespaces
  appliance check -c appliance.toml       # what is wrong with a configuration
  appliance run -c appliance.toml         # run a node
  appliance status                        # what the running node does
  appliance where tcp 198.51.100.7:40000 203.0.113.10:80`,
		Args:          noSuchCommand,
		RunE:          func(c *cobra.Command, _ []string) error { return c.Help() },
		SilenceErrors: true,
		SilenceUsage:  true,

		SuggestionsMinimumDistance: 2,
	}
	root.SetOut(e.out)
	root.SetErr(e.err)
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return usageError{fmt.Errorf("%w (see: %s --help)", err, c.CommandPath())}
	})
	root.AddCommand(newRun(e), newCheck(e), newReload(e), newStatus(e), newWhere(e), newDeny(e), newDemo(e), newVersion(e))
	return root
}

// noSuchCommand refuses what is left on a command line that names no command.
func noSuchCommand(c *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	like := ""
	if names := c.SuggestionsFor(args[0]); len(names) > 0 {
		like = fmt.Sprintf(" (did you mean %q?)", names[0])
	}
	return usageError{fmt.Errorf("no command %q%s (see: %s --help)", args[0], like, c.CommandPath())}
}

// exactly refuses any other number of arguments, as a usage error.
func exactly(n int) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		if err := cobra.ExactArgs(n)(c, args); err != nil {
			return usageError{fmt.Errorf("%w (see: %s --help)", err, c.CommandPath())}
		}
		return nil
	}
}
