// SPDX-License-Identifier: Apache-2.0

package main

import (
	"github.com/spf13/cobra"

	"github.com/docket-audit/docket/cmd/internal/reading"
	"github.com/docket-audit/docket/collector/sql"
)

// answerCommand is what docket runs each query by.
func answerCommand() *cobra.Command {
	return &cobra.Command{
		Use:    reading.AnswerVerb,
		Short:  "Answer the query on standard input; `docket query` and the API start it",
		Hidden: true,
		Args:   cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return sql.Answer(c.Context(), c.InOrStdin(), c.OutOrStdout())
		},
	}
}
