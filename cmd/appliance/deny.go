package main

import (
	"context"
	"fmt"
	"net/netip"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"appliance/engine/xdp"
	"appliance/internal/api"
	"appliance/internal/node"
)

func newDeny(e env) *cobra.Command {
	c := &cobra.Command{
		Use:   "deny",
		Short: "Drop what comes from some networks to the VIPs",
		Long: `Drop what comes from some networks to the VIPs, in the XDP program, from now on and
also of connections that are open. What is added here stays over a reload, and ends when
it is removed, when its time is over, or when the node ends. What is to stay longer
belongs into [deny] of the configuration.`,
		Example: `  appliance deny add 198.51.100.0/24 --for 10m
  appliance deny list
  appliance deny remove 198.51.100.0/24`,
		Args: noSuchCommand,
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(newDenyAdd(e), newDenyRemove(e), newDenyList(e))
	return c
}

func newDenyAdd(e env) *cobra.Command {
	var duration time.Duration
	c := changeDeny(e, "denied", func(ctx context.Context, client *api.Client, prefix netip.Prefix) error {
		return client.Deny(ctx, prefix, duration)
	})
	c.Use, c.Short = "add PREFIX", "Deny a prefix, or an address"
	c.Example = `  appliance deny add 198.51.100.0/24 --for 10m
  appliance deny add 2001:db8::7`
	c.PreRunE = func(c *cobra.Command, _ []string) error {
		if duration < 0 || c.Flags().Changed("for") && duration == 0 {
			return usageError{fmt.Errorf("--for %v: give a duration above zero, or leave it out", duration)}
		}
		return nil
	}
	c.Flags().DurationVar(&duration, "for", 0, "end after this time; left out: when removed")
	return c
}

func newDenyRemove(e env) *cobra.Command {
	c := changeDeny(e, "no longer denied", func(ctx context.Context, client *api.Client, prefix netip.Prefix) error {
		return client.Allow(ctx, prefix)
	})
	c.Use, c.Short = "remove PREFIX", "Take back what was added"
	c.Example = `  appliance deny remove 198.51.100.0/24`
	return c
}

// changeDeny is a command that does something to one prefix, and says that it is
// done.
func changeDeny(e env, done string, change func(context.Context, *api.Client, netip.Prefix) error) *cobra.Command {
	var socket string
	c := &cobra.Command{
		Args: exactly(1),
		RunE: func(c *cobra.Command, args []string) error {
			prefix, err := xdp.ParseDenied(args[0])
			if err != nil {
				return usageError{err}
			}
			if err := change(c.Context(), api.NewClient(socket), prefix); err != nil {
				return err
			}
			_, err = fmt.Fprintln(e.out, done+":", prefix)
			return err
		},
	}
	socketFlag(c, &socket)
	return c
}

func newDenyList(e env) *cobra.Command {
	var socket string
	var asJSON bool
	c := &cobra.Command{
		Use:   "list",
		Short: "Show what is denied, by the configuration and by hand",
		Example: `  appliance deny list
  appliance deny list --json`,
		Args: exactly(0),
		RunE: func(c *cobra.Command, _ []string) error {
			list, err := api.NewClient(socket).Denied(c.Context())
			if err != nil {
				return err
			}
			if asJSON {
				return printJSON(e, list)
			}
			return printDenied(e, list)
		},
	}
	socketFlag(c, &socket)
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

func printDenied(e env, list []node.Denial) error {
	t := tabwriter.NewWriter(e.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "PREFIX\tDENIED BY\tUNTIL")
	for _, d := range list {
		by, until := "configuration", "it is taken out"
		switch {
		case d.Configured && d.Added:
			by = "configuration, and by hand"
		case d.Added && d.Until.IsZero():
			by, until = "hand", "it is removed, or the node ends"
		case d.Added:
			by, until = "hand", d.Until.Local().Format(time.DateTime)
		}
		fmt.Fprintf(t, "%s\t%s\t%s\n", d.Prefix, by, until)
	}
	return t.Flush()
}
