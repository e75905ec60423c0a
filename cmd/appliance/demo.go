package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"appliance/internal/lab/demo"
)

func newDemo(e env) *cobra.Command {
	o := demo.Defaults()
	c := &cobra.Command{
		Use:   "demo",
		Short: "Show the appliance at work, in a lab of network namespaces",
		Long: `Show the appliance at work: build clients, a router, nodes and backends in network
namespaces, drive real HTTP and UDP through a VIP, and say what became of every
request. No interface of this machine is touched, and nothing is left behind.

Exit status 1 if any request failed. Needs root.`,
		Example: `  appliance demo
  appliance demo --mode dsr --ipv6 --backends 4 --duration 30s
  appliance demo --fragments --ipv6
  appliance demo --mode gue --ipv6
  appliance demo --json | jq .requests`,
		Args: exactly(0),
		RunE: func(c *cobra.Command, _ []string) error {
			if err := o.Validate(); err != nil {
				return usageError{err}
			}
			o.Out, o.Progress = e.out, e.err
			// A terminal that closes, or a pager that ends, is an interruption too:
			// the lab must go.
			ctx, stop := signal.NotifyContext(c.Context(), syscall.SIGHUP, syscall.SIGPIPE)
			defer stop()
			report, err := demo.Run(ctx, o)
			if errors.Is(err, fs.ErrPermission) {
				return fmt.Errorf("demo needs root: %w", err)
			}
			if err != nil {
				return err
			}
			if n := report.Requests.Failed; n > 0 {
				return fmt.Errorf("%d requests failed", n)
			}
			return nil
		},
	}
	f := c.Flags()
	f.IntVar(&o.Nodes, "nodes", o.Nodes, "nodes behind the router, each for itself")
	f.IntVar(&o.Backends, "backends", o.Backends, "real servers")
	f.IntVar(&o.Clients, "clients", o.Clients, "hosts that send requests")
	f.DurationVar(&o.Duration, "duration", o.Duration, "how long requests are sent")
	f.StringVar(&o.Mode, "mode", o.Mode, "how packets reach backends: nat, dsr, ipip or gue")
	f.BoolVar(&o.IPv6, "ipv6", o.IPv6, "drive the VIP's IPv6 address too")
	f.BoolVar(&o.Fragments, "fragments", o.Fragments, "send datagrams of 100 to 60,000 bytes too, which travel in fragments")
	f.StringVar(&o.Fault, "fault", o.Fault, "what happens to a node meanwhile: none")
	f.BoolVar(&o.JSON, "json", o.JSON, "print one JSON object instead of the summary")
	return c
}
