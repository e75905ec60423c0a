package main

import (
	"encoding/json"
	"fmt"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"appliance/internal/api"
	"appliance/internal/config"
	"appliance/internal/node"
)

func newWhere(e env) *cobra.Command {
	var socket string
	var asJSON bool
	c := &cobra.Command{
		Use:   "where tcp|udp CLIENT:PORT VIP:PORT",
		Short: "Say which engine owns a flow, which backend has it, and why",
		Example: `  appliance where tcp 198.51.100.7:40000 203.0.113.10:80
  appliance where udp [2001:db8::7]:5353 [2001:db8:f::10]:53 --json`,
		Args: exactly(3),
		RunE: func(c *cobra.Command, args []string) error {
			if _, err := api.ParseFlow(args[0], args[1], args[2]); err != nil {
				return usageError{err}
			}
			where, err := api.NewClient(socket).Where(c.Context(), args[0], args[1], args[2])
			if err != nil {
				return err
			}
			if asJSON {
				return printJSON(e, where)
			}
			return printWhere(e, where)
		},
	}
	socketFlag(c, &socket)
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

func printWhere(e env, w node.Where) error {
	t := tabwriter.NewWriter(e.out, 0, 0, 2, ' ', 0)
	row := func(name, format string, args ...any) {
		fmt.Fprintf(t, "%s\t%s\n", name, fmt.Sprintf(format, args...))
	}
	row("hash", "%#08x", w.Hash)
	row("bucket", "%d", w.Bucket)
	row("engine", "%d (core entry %d)", w.Engine, w.CoreEntry)
	if w.Service != "" {
		row("vserver", "%s (port %s)", w.Service, w.Ports)
	}
	if w.Backend != "" {
		row("backend", "%s", w.Backend)
	}
	if w.State != "" {
		row("record", "%s, expires in %.0f s without packets", w.State, w.ExpiresS)
	}
	if w.Source.IsValid() {
		source := w.Source.String()
		if w.Source.Port() == 0 { // ipip
			source = w.Source.Addr().String()
		}
		row("source", "%s (toward the backend)", source)
	}
	row("why", "%s", w.Why)
	return t.Flush()
}

// printJSON writes v as the only thing on stdout.
func printJSON(e env, v any) error {
	enc := json.NewEncoder(e.out)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}

func socketFlag(c *cobra.Command, socket *string) {
	c.Flags().StringVar(socket, "socket", config.Default().API.Socket, "the running appliance's [api] socket")
}
