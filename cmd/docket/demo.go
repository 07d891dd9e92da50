// SPDX-License-Identifier: Apache-2.0

package main

import (
	"slices"

	"github.com/spf13/cobra"

	"github.com/docket-audit/docket/cmd/internal/cli"
	"github.com/docket-audit/docket/cmd/internal/demo"
)

// demoCommand is what `docket up --demo` runs its other processes by.
func demoCommand() *cobra.Command {
	var part demo.Part
	c := &cobra.Command{
		Use:    "demo PART",
		Short:  "One process of the demo; `docket up --demo` starts them",
		Hidden: true,
		Args:   cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			part.Name = args[0]
			if !slices.Contains(append([]string{demo.ServicePart, demo.ClientPart}, demo.Interceptors...), part.Name) {
				return cli.Usagef("the demo has no part %q", part.Name)
			}
			return part.Run(c.Context(), c.InOrStdin(), c.OutOrStdout())
		},
	}
	c.Flags().StringVar(&part.Dir, "dir", "", "the demo's directory")
	c.Flags().StringVar(&part.Socket, "socket", "", "where to listen")
	c.Flags().StringVar(&part.Address, "address", "", "what to call")
	return c
}
