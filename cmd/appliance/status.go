package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"appliance/internal/api"
	"appliance/internal/node"
	"appliance/vserver"
)

func newStatus(e env) *cobra.Command {
	var socket string
	var asJSON bool
	var watch time.Duration
	c := &cobra.Command{
		Use:   "status",
		Short: "Show what the running node does",
		Example: `  appliance status
  appliance status --watch 1s
  appliance status --json | jq .totals.dropped`,
		Args: exactly(0),
		RunE: func(c *cobra.Command, _ []string) error {
			client := api.NewClient(socket)
			show := func() error { return showStatus(c.Context(), e, client, asJSON) }
			if watch <= 0 {
				return show()
			}
			return every(c.Context(), watch, show)
		},
	}
	socketFlag(c, &socket)
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	c.Flags().DurationVar(&watch, "watch", 0, "print again after each such interval, until interrupted")
	return c
}

// every calls f now and after each interval, until ctx ends, which may be in the
// middle of f, or f fails.
func every(ctx context.Context, interval time.Duration, f func() error) error {
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		if err := f(); err != nil && ctx.Err() == nil {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}

func showStatus(ctx context.Context, e env, client *api.Client, asJSON bool) error {
	s, err := client.Status(ctx)
	if err != nil {
		return err
	}
	if asJSON {
		return printJSON(e, s)
	}
	return printStatus(e, s)
}

func printStatus(e env, s node.Status) error {
	fmt.Fprintf(e.out, "node %s (id %d), version %s, pid %d, up %s, snapshot %d\n",
		s.Node, s.ID, s.Version, s.PID, time.Since(s.Started).Round(time.Second), s.Generation)
	if s.Reload.Error != "" {
		fmt.Fprintf(e.out, "LAST RELOAD REFUSED at %s, the configuration before it is in force:\n%s\n",
			s.Reload.At.Format(time.DateTime), s.Reload.Error)
	}
	t := tabwriter.NewWriter(e.out, 0, 0, 2, ' ', 0)
	printInterfaces(t, s.Interfaces)
	printEngines(t, s.Engines)
	printServices(t, s.Services)
	if err := t.Flush(); err != nil {
		return err
	}
	printFrames(e, s)
	if s.DeniedPrefixes > 0 {
		fmt.Fprintf(e.out, "denied prefixes: %d (appliance deny list)\n", s.DeniedPrefixes)
	}
	fmt.Fprintln(e.out, "refused with an answer:", byReason(s.Totals.Answered))
	_, err := fmt.Fprintln(e.out, "dropped:", byReason(s.Totals.Dropped))
	return err
}

// printFrames prints the frame ledger, which a stuck engine keeps to itself.
func printFrames(e env, s node.Status) {
	f := s.Frames
	if slices.ContainsFunc(s.Engines, func(e node.EngineStatus) bool { return e.Stuck }) {
		fmt.Fprintf(e.out, "\nframes: %d, not counted while an engine is stuck\n", f.Total)
		return
	}
	fmt.Fprintf(e.out, "\nframes: %d = %d free + %d to receive into + %d being sent + %d between engines + %d held\n",
		f.Total, f.Free, f.Fill, f.Transmit, f.Handoff, f.Held)
}

func printInterfaces(t *tabwriter.Writer, list []node.InterfaceStatus) {
	fmt.Fprintln(t, "\nINTERFACE\tPLANES\tSTATE\tXDP\tRSS\tMTU\tQUEUES\tRX PKTS\tTX PKTS\tTO KERNEL\tDENIED\tLOST IN KERNEL")
	for _, i := range list {
		var rx, tx, lost uint64
		for _, p := range i.Ports {
			rx, tx = rx+p.RxPackets, tx+p.TxPackets
			lost += p.RxDropped + p.RxRingFull + p.FillEmpty
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%d\t%d\t%d\t%d\t%d\t%d\t%d\n", i.Name, strings.Join(i.Planes, "+"), i.State,
			i.XDP, i.RSS, i.MTU, len(i.Ports), rx, tx, i.Filter.Passed, i.Filter.Denied, lost+i.Filter.NoSocket)
	}
	for _, i := range list { // below the table, whose columns they would stretch
		if i.Error != "" {
			fmt.Fprintf(t, "%s is %s: %s\n", i.Name, i.State, i.Error)
		}
	}
}

func printEngines(t *tabwriter.Writer, list []node.EngineStatus) {
	fmt.Fprintln(t, "\nENGINE\tRX PKTS\tOWNED\tHANDED OFF\tTX PKTS\tFLOWS\tLONGEST PASS\tDROPPED")
	for _, e := range list {
		if e.Stuck {
			fmt.Fprintf(t, "%d\tSTUCK: no answer within a second\n", e.ID)
			continue
		}
		fmt.Fprintf(t, "%d\t%d\t%d\t%d\t%d\t%d of %d\t%.0f us\t%s\n", e.ID, e.RxPackets, e.OwnedPackets, e.HandedOff,
			e.TxPackets, e.Flows, e.FlowCapacity, e.LongestPassUS, byReason(e.Dropped))
	}
}

func printServices(t *tabwriter.Writer, list []node.ServiceStatus) {
	for _, s := range list {
		method := s.Method
		if s.Persistence != vserver.None {
			method += " by " + s.Persistence.String()
		}
		fmt.Fprintf(t, "\nVSERVER %s: %s %s port %s, %s, %s; %s flows, %d packets\n",
			s.Name, s.Protocol, s.VIP, s.Port, s.Mode, method, flowCount(s.Flows, s.Open, s.MaxFlows), s.Packets)
		if s.State != vserver.Up {
			fmt.Fprintf(t, "  %s: new flows go to %d backends, %d should be there\n", strings.ToUpper(string(s.State)), s.Eligible, s.MinHealthy)
		}
		fmt.Fprintln(t, "  BACKEND\tADDRESS\tSTATE\tSINCE\tCHECK\tWEIGHT\tFLOWS\tNEW FLOWS\tPACKETS")
		for _, b := range s.Backends {
			since, check := "-", "none"
			if b.Check != "" {
				since, check = age(b.Since), b.Check
			}
			fmt.Fprintf(t, "  %s\t%s\t%s\t%s\t%s\t%s\t%s\t%d\t%d\n", b.Name, address(&b), backendState(&s, &b), since, check, weight(&b),
				flowCount(b.Flows, b.Open, b.MaxFlows), b.NewFlows, b.Packets)
		}
		for _, b := range s.Backends {
			if !b.Up && b.Error != "" {
				fmt.Fprintf(t, "  %s is down: %s\n", b.Name, b.Error)
			}
		}
	}
}

// age renders how long ago t was, in its largest unit.
func age(t time.Time) string {
	switch d := time.Since(t); {
	case d >= time.Hour:
		return fmt.Sprintf("%dh", d/time.Hour)
	case d >= time.Minute:
		return fmt.Sprintf("%dm", d/time.Minute)
	default:
		return fmt.Sprintf("%ds", d/time.Second)
	}
}

// address renders where a backend is: on port * if on the one that clients ask for.
func address(b *node.BackendStatus) string {
	if b.Address.Port() == 0 {
		return strings.TrimSuffix(b.Address.String(), "0") + "*"
	}
	return b.Address.String()
}

// backendState says what a backend of s does.
func backendState(s *node.ServiceStatus, b *node.BackendStatus) string {
	switch {
	case !b.Up:
		return "DOWN"
	case b.Reachable != "found":
		return "up, but UNREACHABLE: " + b.Reachable
	case b.Backup && s.OnBackups:
		return "up, backup in use"
	case b.Backup:
		return "up, backup"
	}
	return "up"
}

// weight renders a backend's weight and, during its slow start, how much of it
// counts.
func weight(b *node.BackendStatus) string {
	if b.Ramp == 0 || b.Ramp == 1 {
		return fmt.Sprint(b.Weight)
	}
	return fmt.Sprintf("%d (%.0f %%)", b.Weight, 100*b.Ramp)
}

// flowCount renders a number of flows and, where that is limited, of open ones.
func flowCount(flows, open uint64, limit int) string {
	if limit == 0 {
		return fmt.Sprint(flows)
	}
	return fmt.Sprintf("%d (%d of %d open)", flows, open, limit)
}

// byReason renders counters as "reason=count ...", or "none".
func byReason(counts map[string]uint64) string {
	if len(counts) == 0 {
		return "none"
	}
	var parts []string
	for _, why := range slices.Sorted(maps.Keys(counts)) {
		parts = append(parts, fmt.Sprintf("%s=%d", why, counts[why]))
	}
	return strings.Join(parts, " ")
}
