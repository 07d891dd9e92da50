// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/docket-audit/docket/cmd/internal/cli"
	"github.com/docket-audit/docket/ocsf/schema"
)

func schemaCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "schema",
		Short: "Say what OCSF has: classes, objects, attributes, values",
		Example: `  docket schema ls
  docket schema show api_activity
  docket schema diff 1.8.0 1.9.0`,
		Args: cli.Verbs,
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(schemaListCommand(), schemaShowCommand(), schemaDiffCommand())
	return c
}

func schemaFlag(f *pflag.FlagSet, version *string) {
	f.StringVar(version, "schema", schema.Default, "version: "+strings.Join(schema.Versions(), ", "))
}

// loadSchema is for versions that came with the command line.
func loadSchema(version string) (*schema.Schema, error) {
	s, err := schema.Load(version)
	var unknown *schema.UnknownVersionError
	if errors.As(err, &unknown) {
		return nil, cli.Usage(cli.Hint(errors.New("there is no OCSF version "+strconv.Quote(version)+" here"),
			"use one of %s", strings.Join(schema.Versions(), ", ")))
	}
	return s, err
}

func schemaListCommand() *cobra.Command {
	var version, format string
	var objects, profiles bool
	c := &cobra.Command{
		Use:   "ls",
		Short: "List the classes of a version, by category",
		Long: `List the classes of a version of OCSF by category, with the version since which
one is deprecated. Profiles are named as in metadata.profiles.`,
		Example: `  docket schema ls
  docket schema ls --objects --schema 1.9.0
  docket schema ls --profiles -o json`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			s, err := loadSchema(version)
			if err != nil {
				return err
			}
			columns, rows := classRows(s)
			switch {
			case objects && profiles:
				return cli.Usagef("--objects and --profiles exclude each other")
			case objects:
				columns, rows = objectRows(s)
			case profiles:
				columns, rows = profileRows(s)
			}
			return printRows(c, format, columns, rows)
		},
	}
	f := c.Flags()
	schemaFlag(f, &version)
	f.BoolVar(&objects, "objects", false, "list objects instead")
	f.BoolVar(&profiles, "profiles", false, "list profiles instead")
	cli.OutputFlag(f, &format)
	return c
}

// printRows prints objects of one shape, each with its cells.
func printRows(c *cobra.Command, format string, columns []string, rows []schemaRow) error {
	p, err := cli.NewPrinter(c.OutOrStdout(), format, columns, false)
	if err != nil {
		return err
	}
	for _, r := range rows {
		text, err := lineOf(r.object)
		if err != nil {
			return err
		}
		row := cli.Row{Cells: r.cells, JSON: text}
		if r.faded {
			row.Colour = cli.Yellow
		}
		if err := p.Row(row); err != nil {
			return err
		}
	}
	return p.Close()
}

// lineOf returns v as JSON in one line, in which & is an &.
func lineOf(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	err := e.Encode(v)
	return bytes.TrimSpace(b.Bytes()), err
}

type schemaRow struct {
	cells  []string
	object any
	faded  bool // deprecated
}

type listedClass struct {
	Category   string  `json:"category"`
	UID        int     `json:"uid"`
	Name       string  `json:"name"`
	Caption    string  `json:"caption"`
	Extension  string  `json:"extension,omitempty"`
	Deprecated *string `json:"deprecated,omitempty"` // since
}

func classRows(s *schema.Schema) (columns []string, rows []schemaRow) {
	classes := slices.SortedFunc(maps.Values(s.Classes), func(a, b *schema.Class) int {
		return cmp.Or(cmp.Compare(a.CategoryUID, b.CategoryUID), cmp.Compare(a.UID, b.UID))
	})
	for _, c := range classes {
		rows = append(rows, schemaRow{
			cells:  []string{c.Category, strconv.Itoa(c.UID), c.Name, c.Caption, c.Extension, since(c.Deprecated)},
			object: listedClass{c.Category, c.UID, c.Name, c.Caption, c.Extension, sinceOrNil(c.Deprecated)},
			faded:  c.Deprecated != nil,
		})
	}
	return []string{"category", "uid", "class", "caption", "extension", "deprecated"}, rows
}

type listedObject struct {
	Name       string  `json:"name"`
	Caption    string  `json:"caption"`
	Attributes int     `json:"attributes"`
	Extension  string  `json:"extension,omitempty"`
	Deprecated *string `json:"deprecated,omitempty"`
}

func objectRows(s *schema.Schema) (columns []string, rows []schemaRow) {
	for _, name := range slices.Sorted(maps.Keys(s.Objects)) {
		o := s.Objects[name]
		rows = append(rows, schemaRow{
			cells:  []string{name, o.Caption, strconv.Itoa(len(o.Attributes)), o.Extension, since(o.Deprecated)},
			object: listedObject{name, o.Caption, len(o.Attributes), o.Extension, sinceOrNil(o.Deprecated)},
			faded:  o.Deprecated != nil,
		})
	}
	return []string{"object", "caption", "attributes", "extension", "deprecated"}, rows
}

type listedProfile struct {
	Name      string `json:"name"`
	Caption   string `json:"caption"`
	Classes   int    `json:"classes"`
	Extension string `json:"extension,omitempty"`
}

func profileRows(s *schema.Schema) (columns []string, rows []schemaRow) {
	classes := make(map[string]int)
	for _, c := range s.Classes {
		for _, profile := range c.Profiles {
			classes[profile]++
		}
	}
	for _, name := range slices.Sorted(maps.Keys(s.Profiles)) {
		p := s.Profiles[name]
		rows = append(rows, schemaRow{
			cells:  []string{name, p.Caption, strconv.Itoa(classes[name]), p.Extension},
			object: listedProfile{name, p.Caption, classes[name], p.Extension},
		})
	}
	return []string{"profile", "caption", "classes", "extension"}, rows
}

func since(d *schema.Deprecation) string {
	if d == nil {
		return ""
	}
	return strings.TrimSpace("since " + d.Since)
}

func sinceOrNil(d *schema.Deprecation) *string {
	if d == nil {
		return nil
	}
	return &d.Since
}
