// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/docket-audit/docket/cmd/internal/cli"
	"github.com/docket-audit/docket/internal/strictoml"
	"github.com/docket-audit/docket/ocsf/schema"
)

func schemaShowCommand() *cobra.Command {
	var version, format, kind string
	var profiles []string
	c := &cobra.Command{
		Use:   "show NAME",
		Short: "Print what a class, object, profile or type has",
		Long: `Print what a class or an object of OCSF has: its constraints, and its attributes
with type, requirement, profiles and values; required ones first. NAME is a name, a
caption or the uid of a class. Types that end in _t are data types, others objects;
[] before one is an array.

With --profile, once or more often, only what an event that names these profiles, and
no others, may have; --profile "" is for events that name none.

Of a profile it prints the attributes that come with it, and how many classes and
objects have each; of a data type its rules. Where NAME is that of an object and of a
profile, it is the object that is meant, but for --kind profile.`,
		Example: `  docket schema show api_activity
  docket schema show 6003 --profile security_control --profile trace
  docket schema show "Base Event" --schema 1.9.0 -o json
  docket schema show cloud --kind profile
  docket schema show timestamp_t`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			s, err := loadSchema(version)
			if err != nil {
				return err
			}
			it, err := findItem(s, args[0], kind)
			if err != nil {
				return err
			}
			keep := func(*schema.Attribute) bool { return true }
			if c.Flags().Changed("profile") {
				if it.class == nil && it.object == nil {
					return cli.Usagef("--profile is for classes and objects, and %s is neither", args[0])
				}
				if keep, err = withProfiles(s, profiles); err != nil {
					return err
				}
			}
			return printItem(c.OutOrStdout(), format, it.shown(s, keep))
		},
	}
	f := c.Flags()
	schemaFlag(f, &version)
	f.StringSliceVar(&profiles, "profile", nil, "only what events with this profile may have")
	f.StringVar(&kind, "kind", "", "what NAME is: "+strings.Join(schemaKinds, ", ")+" (default: the first of these that has it)")
	f.StringVarP(&format, "output", "o", "", "format: table, json, ndjson (default: table on a terminal, else ndjson)")
	return c
}

// A showable goes to JSON as it is, and to eyes as a table.
type showable interface{ table(w io.Writer) error }

// shown returns it with those attributes of a class or object that are kept.
func (it item) shown(s *schema.Schema, keep func(*schema.Attribute) bool) showable {
	switch {
	case it.profile != nil:
		return shownProfileOf(s, it.profile)
	case it.typ != nil:
		return shownTypeOf(s, it.typ)
	case it.class != nil:
		out := shownOf(s, &it.class.Item, keep)
		out.Kind, out.UID, out.Category = kindClass, &it.class.UID, it.class.Category
		return out
	}
	return shownOf(s, &it.object.Item, keep)
}

// withProfiles says of an attribute whether an event with these profiles may
// have it.
func withProfiles(s *schema.Schema, profiles []string) (func(*schema.Attribute) bool, error) {
	profiles = slices.DeleteFunc(profiles, func(p string) bool { return p == "" })
	for _, p := range profiles {
		if s.Profiles[p] != nil {
			continue
		}
		err := fmt.Errorf("OCSF %s has no profile %q", s.Version, p)
		if near := strictoml.Suggest(p, slices.Sorted(maps.Keys(s.Profiles))); near != "" {
			return nil, cli.Usage(cli.Hint(err, "did you mean %s?", near))
		}
		return nil, cli.Usage(cli.Hint(err, "use one of %s", strings.Join(slices.Sorted(maps.Keys(s.Profiles)), ", ")))
	}
	return func(a *schema.Attribute) bool {
		return len(a.Profiles) == 0 || slices.ContainsFunc(a.Profiles, func(p string) bool { return slices.Contains(profiles, p) })
	}, nil
}

// shown is a class or object as JSON; a class has a uid.
type shown struct {
	Schema      string              `json:"schema"`
	Kind        string              `json:"kind"`
	UID         *int                `json:"uid,omitempty"`
	Name        string              `json:"name"`
	Caption     string              `json:"caption"`
	Category    string              `json:"category,omitempty"`
	Extends     string              `json:"extends,omitempty"`
	Extension   string              `json:"extension,omitempty"`
	Deprecated  *string             `json:"deprecated,omitempty"` // since
	Profiles    []string            `json:"profiles"`
	Constraints map[string][]string `json:"constraints"`
	Attributes  []shownAttribute    `json:"attributes"`
}

type shownAttribute struct {
	Name        string             `json:"name"`
	Caption     string             `json:"caption"`
	Type        string             `json:"type"`
	Object      string             `json:"object,omitempty"`
	Array       bool               `json:"array,omitempty"`
	Requirement schema.Requirement `json:"requirement"`
	Profiles    []string           `json:"profiles,omitempty"`
	Sibling     string             `json:"sibling,omitempty"`
	Deprecated  *string            `json:"deprecated,omitempty"`
	Values      []shownValue       `json:"values,omitempty"`
	typeText    string
}

type shownValue struct {
	Value      string  `json:"value"`
	Caption    string  `json:"caption"`
	Deprecated *string `json:"deprecated,omitempty"`
}

func shownOf(s *schema.Schema, it *schema.Item, keep func(*schema.Attribute) bool) shown {
	out := shown{
		Schema: s.Version, Kind: kindObject, Name: it.Name, Caption: it.Caption, Extends: it.Extends, Extension: it.Extension,
		Deprecated: sinceOrNil(it.Deprecated), Profiles: append([]string{}, it.Profiles...),
		Constraints: it.Constraints, Attributes: []shownAttribute{},
	}
	if out.Constraints == nil {
		out.Constraints = map[string][]string{}
	}
	order := map[schema.Requirement]int{schema.Required: 0, schema.Recommended: 1, schema.Optional: 2}
	attributes := slices.SortedFunc(maps.Values(it.Attributes), func(a, b *schema.Attribute) int {
		return cmp.Or(cmp.Compare(order[a.Requirement], order[b.Requirement]), strings.Compare(a.Name, b.Name))
	})
	for _, a := range attributes {
		if !keep(a) {
			continue
		}
		row := shownAttribute{
			Name: a.Name, Caption: a.Caption, Type: a.Type, Object: a.ObjectType, Array: a.IsArray, Requirement: a.Requirement,
			Profiles: a.Profiles, Sibling: a.Sibling, Deprecated: sinceOrNil(a.Deprecated), typeText: a.TypeText(),
		}
		for _, v := range a.Enum {
			row.Values = append(row.Values, shownValue{v.Value, v.Caption, sinceOrNil(v.Deprecated)})
		}
		out.Attributes = append(out.Attributes, row)
	}
	return out
}

func printItem(w io.Writer, format string, it showable) error {
	if format == cli.JSON {
		return cli.PrintJSON(w, it)
	}
	if format != "" && format != cli.Table && format != cli.NDJSON {
		return cli.Usage(cli.Hint(fmt.Errorf("schema show has no output format %q", format), "use table, json or ndjson"))
	}
	if format == cli.Table || format == "" && cli.IsTerminal(w) {
		return it.table(w)
	}
	text, err := lineOf(it)
	if err != nil {
		return err
	}
	p, err := cli.NewPrinter(w, cli.NDJSON, nil, false)
	if err != nil {
		return err
	}
	if err := p.Row(cli.Row{JSON: text}); err != nil {
		return err
	}
	return p.Close()
}

func (it shown) table(w io.Writer) error {
	if err := printHead(w, it); err != nil {
		return err
	}
	columns := []string{"attribute", "type", "requirement", "profiles", "notes"}
	rows := itemRows(columns, it.Attributes)
	p, err := cli.NewPrinter(w, cli.Table, columns, false)
	if err != nil {
		return err
	}
	for _, row := range rows {
		if err := p.Row(row); err != nil {
			return err
		}
	}
	return p.Close()
}

func printHead(w io.Writer, it shown) error {
	what := "object"
	if it.UID != nil {
		what = fmt.Sprintf("class %d of category %s", *it.UID, it.Category)
	}
	lines := []string{fmt.Sprintf("%s (%s), %s, OCSF %s", it.Caption, it.Name, what, it.Schema)}
	if it.Deprecated != nil {
		lines = append(lines, "deprecated since "+*it.Deprecated)
	}
	if it.Extension != "" {
		lines = append(lines, "from the extension "+it.Extension)
	}
	if len(it.Profiles) > 0 {
		lines = append(lines, "profiles: "+strings.Join(it.Profiles, " "))
	}
	if len(it.Constraints) > 0 {
		lines = append(lines, "constraints: "+schema.ConstraintsText(it.Constraints))
	}
	for i, line := range lines {
		lines[i] = cli.Escape(line)
	}
	_, err := io.WriteString(w, strings.Join(lines, "\n")+"\n\n")
	return err
}

// itemRows pads the cells, because the values below a row end the columns of a
// table.
func itemRows(columns []string, attributes []shownAttribute) []cli.Row {
	rows := make([]cli.Row, len(attributes))
	cells := [][]string{columns}
	for i, a := range attributes {
		var notes []string
		if a.Sibling != "" {
			notes = append(notes, "caption in "+a.Sibling)
		}
		if a.Deprecated != nil {
			notes = append(notes, "deprecated since "+*a.Deprecated)
			rows[i].Colour = cli.Yellow
		}
		rows[i].Below = wrapValues(a.Values)
		row := []string{a.Name, a.typeText, string(a.Requirement), strings.Join(a.Profiles, " "), strings.Join(notes, ", ")}
		for len(row) > 0 && row[len(row)-1] == "" {
			row = row[:len(row)-1]
		}
		for j := range row {
			row[j] = cli.Escape(row[j])
		}
		cells = append(cells, row)
	}
	wide := widths(cells)
	for i, row := range cells {
		for j := range len(row) - 1 {
			row[j] = pad(row[j], wide[j])
		}
		if i > 0 {
			rows[i-1].Cells = row
		}
	}
	return rows
}

// wrapValues returns values as lines of at most 100 characters, if they can be.
func wrapValues(values []shownValue) []string {
	const indent, limit = "    ", 100
	var lines []string
	for i, v := range values {
		text := v.Value
		if v.Caption != v.Value {
			text += " " + v.Caption
		}
		if v.Deprecated != nil {
			text += " (deprecated since " + *v.Deprecated + ")"
		}
		if i < len(values)-1 {
			text += ","
		}
		if last := len(lines) - 1; i > 0 && len(lines[last])+1+len(text) <= limit {
			lines[last] += " " + text
		} else {
			lines = append(lines, indent+text)
		}
	}
	return lines
}
