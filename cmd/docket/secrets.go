// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/docket-audit/docket/cmd/internal/cli"
	"github.com/docket-audit/docket/cmd/internal/devsecrets"
)

// secretsCommand is what the one-shot service of docker-compose.yml runs.
func secretsCommand() *cobra.Command {
	return &cobra.Command{
		Use:    "secrets DIR",
		Short:  "Make the passwords and certificates that docker-compose.yml mounts",
		Hidden: true,
		Args:   cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			made, err := devsecrets.Write(args[0], time.Now())
			if err != nil {
				return err
			}
			if made {
				_, err = fmt.Fprintf(c.OutOrStdout(), "made the secrets in %s, certificates for %d days\n", cli.Escape(args[0]), int(devsecrets.Lifetime/(24*time.Hour)))
			} else {
				_, err = fmt.Fprintf(c.OutOrStdout(), "the secrets in %s are there\n", cli.Escape(args[0]))
			}
			return err
		},
	}
}
