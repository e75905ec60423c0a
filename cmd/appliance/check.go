package main

import (
	"fmt"
	"net"

	"github.com/spf13/cobra"

	"appliance/internal/config"
)

// configFlag adds -c, which names the configuration file.
func configFlag(c *cobra.Command, path *string) {
	c.Flags().StringVarP(path, "config", "c", "/etc/appliance.toml", "configuration file")
}

func newCheck(e env) *cobra.Command {
	var path, against string
	c := &cobra.Command{
		Use:   "check",
		Short: "Check a configuration file, and say what a reload would change",
		Long: `Check a configuration file. All problems are listed at once, each with its line.
Nothing is started and nothing is touched. Where the interfaces that the file names
exist, their MTU must suffice for it too.

With --against, also list what changes from that other file to this one, and what of
it needs a restart.`,
		Example: `  appliance check -c appliance.toml
  appliance check -c new.toml --against /etc/appliance.toml`,
		Args: exactly(0),
		RunE: func(*cobra.Command, []string) error {
			cfg, err := config.LoadHere(path, mtu)
			if err != nil {
				return usageError{err}
			}
			fmt.Fprintf(e.out, "%s: OK: %d interfaces, %d virtual servers\n", path, len(cfg.Interfaces), len(cfg.VServers))
			if against == "" {
				return nil
			}
			was, err := config.Load(against)
			if err != nil {
				return usageError{err}
			}
			printDiff(e, was, cfg)
			return nil
		},
	}
	configFlag(c, &path)
	c.Flags().StringVar(&against, "against", "", "configuration file to compare with")
	return c
}

// mtu returns the MTU of one of this machine's interfaces, and whether it is there.
func mtu(iface string) (int, bool) {
	i, err := net.InterfaceByName(iface)
	if err != nil {
		return 0, false
	}
	return i.MTU, true
}

func printDiff(e env, was, is *config.Config) {
	changes, restart := config.Diff(was, is)
	if len(changes) == 0 {
		fmt.Fprintln(e.out, "no changes")
		return
	}
	for _, c := range changes {
		fmt.Fprintln(e.out, " ", c)
	}
	for _, key := range restart {
		fmt.Fprintf(e.out, "needs a restart: %s\n", key)
	}
}
