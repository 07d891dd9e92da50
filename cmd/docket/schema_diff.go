// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/docket-audit/docket/cmd/internal/cli"
	"github.com/docket-audit/docket/ocsf/schema"
)

func schemaDiffCommand() *cobra.Command {
	var format string
	c := &cobra.Command{
		Use:   "diff OLD NEW",
		Short: "Say what is different between two versions",
		Long: `Say what is different between two versions of OCSF: classes, objects, attributes,
values of enums, profiles and types that were added, removed, deprecated or changed.
What all classes take from base_event is said of base_event alone; "x.y" is the
attribute y of x, "x.y=1" a value of it, and "x+p" a profile that x can have.

The exit code is 3 when there is a difference.`,
		Example: `  docket schema diff 1.8.0 1.9.0
  docket schema diff 1.8.0 1.9.0 -o table | grep -w api_activity`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 2 {
				return nil
			}
			return cli.Usage(cli.Hint(fmt.Errorf("docket schema diff needs two versions, not %d", len(args)), "such as: docket schema diff 1.8.0 1.9.0"))
		},
		RunE: func(c *cobra.Command, args []string) error {
			old, err := loadSchema(args[0])
			if err != nil {
				return err
			}
			now, err := loadSchema(args[1])
			if err != nil {
				return err
			}
			rows := diffRows(schema.Diff(old, now))
			if err := printRows(c, format, []string{"change", "of", "name", "what"}, rows); err != nil {
				return err
			}
			if len(rows) > 0 {
				return cli.Code(cli.ExitFound)
			}
			return nil
		},
	}
	cli.OutputFlag(c.Flags(), &format)
	return c
}

// listedChange is a [schema.Change] as JSON.
type listedChange struct {
	Change string `json:"change"`
	Kind   string `json:"kind"`
	Of     string `json:"of,omitempty"`
	Name   string `json:"name"`
	What   string `json:"what,omitempty"`
	Old    string `json:"old,omitempty"`
	New    string `json:"new,omitempty"`
}

func diffRows(changes []schema.Change) []schemaRow {
	rows := make([]schemaRow, len(changes))
	for i, c := range changes {
		rows[i] = schemaRow{
			cells:  []string{c.Op, strings.TrimSpace(c.Of + " " + c.Kind), c.Path, changeText(c)},
			object: listedChange{c.Op, c.Kind, c.Of, c.Path, c.What, c.Old, c.New},
		}
	}
	return rows
}

func changeText(c schema.Change) string {
	none := func(s string) string {
		if s == "" {
			return "none"
		}
		return s
	}
	switch c.Op {
	case "changed":
		return c.What + ": " + none(c.Old) + " -> " + none(c.New)
	case "deprecated":
		return strings.TrimSpace("since " + c.New)
	default:
		return c.Old + c.New
	}
}
