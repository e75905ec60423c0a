package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"appliance/internal/api"
)

func newReload(e env) *cobra.Command {
	var socket string
	c := &cobra.Command{
		Use:   "reload",
		Short: "Have the running node read its configuration again",
		Long: `Have the running node read its configuration file again, as SIGHUP does. Flows are
kept. A file that is refused changes nothing: the problems are printed, and the
configuration in force stays.`,
		Example: `  appliance check -c /etc/appliance.toml && appliance reload`,
		Args:    exactly(0),
		RunE: func(c *cobra.Command, _ []string) error {
			if err := api.NewClient(socket).Reload(c.Context()); err != nil {
				return err
			}
			_, err := fmt.Fprintln(e.out, "reloaded")
			return err
		},
	}
	socketFlag(c, &socket)
	return c
}
