// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/docket-audit/docket/cmd/internal/cli"
	"github.com/docket-audit/docket/ocsf/schema"
)

// shownProfile is a profile as JSON. Its attributes are those that classes and
// objects have only with it; who has them differs from one to the next.
type shownProfile struct {
	Schema     string                  `json:"schema"`
	Kind       string                  `json:"kind"`
	Name       string                  `json:"name"`
	Caption    string                  `json:"caption"`
	Extension  string                  `json:"extension,omitempty"`
	Classes    int                     `json:"classes"` // that can have it
	Objects    int                     `json:"objects"`
	Attributes []shownProfileAttribute `json:"attributes"`
}

type shownProfileAttribute struct {
	Name         string               `json:"name"`
	Caption      string               `json:"caption"`
	Type         string               `json:"type"` // as people read it
	Requirements []schema.Requirement `json:"requirements"`
	Classes      int                  `json:"classes"`
	Objects      int                  `json:"objects"`
}

func shownProfileOf(s *schema.Schema, p *schema.Profile) shownProfile {
	out := shownProfile{Schema: s.Version, Kind: kindProfile, Name: p.Name, Caption: p.Caption, Extension: p.Extension}
	type key struct{ name, typ string }
	rows := map[key]*shownProfileAttribute{}
	count := func(it *schema.Item, all *int, one func(*shownProfileAttribute) *int) {
		if slices.Contains(it.Profiles, p.Name) {
			*all++
		}
		for _, a := range it.Attributes {
			if !slices.Contains(a.Profiles, p.Name) {
				continue
			}
			k := key{a.Name, a.TypeText()}
			if rows[k] == nil {
				rows[k] = &shownProfileAttribute{Name: a.Name, Caption: a.Caption, Type: k.typ}
			}
			*one(rows[k])++
			if !slices.Contains(rows[k].Requirements, a.Requirement) {
				rows[k].Requirements = append(rows[k].Requirements, a.Requirement)
			}
			rows[k].Caption = min(rows[k].Caption, a.Caption) // the same one each time
		}
	}
	for _, c := range s.Classes {
		count(&c.Item, &out.Classes, func(a *shownProfileAttribute) *int { return &a.Classes })
	}
	for _, o := range s.Objects {
		count(&o.Item, &out.Objects, func(a *shownProfileAttribute) *int { return &a.Objects })
	}
	out.Attributes = []shownProfileAttribute{}
	for _, a := range slices.SortedFunc(maps.Values(rows), func(a, b *shownProfileAttribute) int {
		return cmp.Or(cmp.Compare(b.Classes, a.Classes), cmp.Compare(b.Objects, a.Objects), cmp.Compare(a.Name, b.Name), cmp.Compare(a.Type, b.Type))
	}) {
		slices.Sort(a.Requirements)
		out.Attributes = append(out.Attributes, *a)
	}
	return out
}

func (p shownProfile) table(w io.Writer) error {
	head := fmt.Sprintf("%s (%s), profile, OCSF %s\n", p.Caption, p.Name, p.Schema)
	if p.Extension != "" {
		head += "from the extension " + p.Extension + "\n"
	}
	head += fmt.Sprintf("%d classes and %d objects can have it\n\n", p.Classes, p.Objects)
	rows := make([][]string, len(p.Attributes))
	for i, a := range p.Attributes {
		requirements := make([]string, len(a.Requirements))
		for j, r := range a.Requirements {
			requirements[j] = string(r)
		}
		rows[i] = []string{a.Name, a.Type, strings.Join(requirements, " "), strconv.Itoa(a.Classes), strconv.Itoa(a.Objects)}
	}
	return headedTable(w, head, []string{"attribute", "type", "requirement", "classes", "objects"}, rows)
}

// shownType is a data type as JSON, with the rules of the primitive that it
// narrows where it has none of its own.
type shownType struct {
	Schema  string `json:"schema"`
	Kind    string `json:"kind"`
	Name    string `json:"name"`
	Caption string `json:"caption"`
	Extends string `json:"extends,omitempty"`
	JSON    string `json:"json"` // what the values are in JSON
	shownRules
}

type shownRules struct {
	Range  *[2]int64 `json:"range,omitempty"` // both allowed
	MaxLen int       `json:"max_len,omitempty"`
	Regex  string    `json:"regex,omitempty"`
	Values []any     `json:"values,omitempty"` // the only ones
}

// jsonOf says what the values of a primitive are in JSON.
var jsonOf = map[string]string{
	"boolean_t": "true or false", "integer_t": "an integer of 64 bits", "long_t": "an integer of 64 bits",
	"float_t": "a number with a fraction", "string_t": "a string", "json_t": "any value",
}

func shownTypeOf(s *schema.Schema, t *schema.Type) shownType {
	rules := shownRules{t.Range, t.MaxLen, t.Regex, t.Values}
	if super := s.Types[t.Super]; super != nil {
		rules.Range = cmp.Or(rules.Range, super.Range)
		rules.MaxLen = cmp.Or(rules.MaxLen, super.MaxLen)
		rules.Regex = cmp.Or(rules.Regex, super.Regex)
		if rules.Values == nil {
			rules.Values = super.Values
		}
	}
	return shownType{s.Version, kindType, t.Name, t.Caption, t.Super, jsonOf[cmp.Or(t.Super, t.Name)], rules}
}

func (t shownType) table(w io.Writer) error {
	head := fmt.Sprintf("%s (%s), data type, OCSF %s\n", t.Caption, t.Name, t.Schema)
	if t.Extends != "" {
		head += "narrows " + t.Extends + "\n"
	}
	rows := [][]string{{"json", t.JSON}}
	if t.Range != nil {
		rows = append(rows, []string{"range", fmt.Sprintf("%d to %d", t.Range[0], t.Range[1])})
	}
	if t.MaxLen > 0 {
		rows = append(rows, []string{"longest", number(t.MaxLen, "character")})
	}
	if t.Regex != "" {
		rows = append(rows, []string{"regex", t.Regex})
	}
	if t.Values != nil {
		values := make([]string, len(t.Values))
		for i, v := range t.Values {
			text, err := json.Marshal(v)
			if err != nil {
				return err
			}
			values[i] = string(text)
		}
		rows = append(rows, []string{"values", strings.Join(values, ", ")})
	}
	return headedTable(w, head+"\n", []string{"rule", "value"}, rows)
}

// headedTable prints a table below a text, which is of lines.
func headedTable(w io.Writer, head string, columns []string, rows [][]string) error {
	if _, err := io.WriteString(w, cli.EscapeText(head)); err != nil {
		return err
	}
	p, err := cli.NewPrinter(w, cli.Table, columns, false)
	if err != nil {
		return err
	}
	for _, cells := range rows {
		if err := p.Row(cli.Row{Cells: cells}); err != nil {
			return err
		}
	}
	return p.Close()
}
