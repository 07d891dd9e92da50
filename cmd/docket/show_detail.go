// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/docket-audit/docket/internal/profile"
)

// How much of a payload a timeline shows.
const (
	detailLines = 16
	detailWidth = 100
	detailValue = 240 // runes of one line that cannot be broken
)

// A detail is what an event tells beyond its sentence.
type detail struct {
	API struct {
		Request struct {
			Data map[string]jsontext.Value `json:"data"`
		} `json:"request"`
		Response struct {
			Data struct {
				Patches     []patch           `json:"patches"`
				Annotations map[string]string `json:"log_annotations"`
				Warnings    []string          `json:"warnings"`
				Digest      string            `json:"digest"`
				Metadata    jsontext.Value    `json:"dynamic_metadata"`
			} `json:"data"`
		} `json:"response"`
	} `json:"api"`
	StatusCode   string `json:"status_code"`
	StatusDetail string `json:"status_detail"`
	Unmapped     struct {
		Docket struct {
			Replay struct {
				Why string `json:"why"`
			} `json:"replay"`
			Visible struct {
				Attributes []string `json:"attributes"`
				Namespaces []string `json:"namespaces"`
			} `json:"visible"`
			Attributes map[string]string `json:"attributes"` // of the operation, with its outcome
			Metadata   jsontext.Value    `json:"metadata"`
			Violations []string          `json:"violations"`
			Redactions []redaction       `json:"redactions"`
			More       int               `json:"redactions_more"`
			Would      string            `json:"would"`
			Broken     string            `json:"broken"`
		} `json:"docket"`
	} `json:"unmapped"`
}

type patch struct {
	Op    string         `json:"op"`
	Path  string         `json:"path"`
	From  string         `json:"from"`
	Value jsontext.Value `json:"value"`

	Withheld string `json:"withheld"`
}

// A redaction says what was left out of an event, and by which rule.
type redaction struct {
	At      string `json:"at"`
	Pointer string `json:"pointer"`
	Rule    string `json:"rule"`
	Do      string `json:"do"`
	Failed  bool   `json:"failed"`
	N       int    `json:"n"`
}

// String gives "proposed_operation/spec/key by rule keys (drop)".
func (r redaction) String() string {
	s := fmt.Sprintf("%s%s by rule %s (%s)", r.At, r.Pointer, r.Rule, or(r.Do, "drop"))
	if r.N > 1 {
		s += fmt.Sprintf(", %d times", r.N)
	}
	if r.Failed {
		s += "; the rule failed, the value was replaced"
	}
	return s
}

// A setting is what the other events of a timeline tell about one of them.
type setting struct {
	asked      map[string]string // the binding of an evaluation, by its uid
	attributes map[string]string // of the operation
}

// detailsOf returns lines about an event of a timeline: what a binding was
// shown, what it changed, why it said what it said.
func detailsOf(h profile.Header, raw []byte, c setting) []string {
	var d detail
	if err := json.Unmarshal(raw, &d); err != nil {
		// A timeline is read when something is wrong: what is strange in one
		// event must not hide the others, and -o json has its bytes.
		return []string{"(its details cannot be read: " + err.Error() + ")"}
	}
	return append(d.told(h, c), d.leftOut()...)
}

func (d *detail) told(h profile.Header, c setting) []string {
	switch h.Kind {
	case profile.KindEvaluation:
		return append(d.shown(h, c.asked), d.granted(h, c)...)
	case profile.KindResult:
		return append(append(d.would(), d.said()...), d.values("sets     ", d.API.Response.Data.Metadata, h)...)
	case profile.KindFailure:
		return append(d.would(), fmt.Sprintf("cause    %s (%s), under %s: %s", h.FailureKind, or(d.StatusCode, "no status"), h.FailurePolicy, or(d.StatusDetail, "no words for it")))
	}
	return nil
}

// granted says what the binding saw of the attributes and of the metadata.
func (d *detail) granted(h profile.Header, c setting) []string {
	var lines []string
	for _, name := range d.Unmapped.Docket.Visible.Attributes {
		line := "granted  attribute " + name
		if v, ok := c.attributes[name]; ok {
			quoted, _ := jsontext.AppendQuote(nil, v)
			line += " " + string(quoted)
		}
		lines = append(lines, clip(line))
	}
	metadata := d.Unmapped.Docket.Metadata
	var same struct {
		As string `json:"same_as"`
	}
	switch {
	case len(metadata) == 0:
		for _, name := range d.Unmapped.Docket.Visible.Namespaces {
			lines = append(lines, clip("granted  metadata "+name+", not recorded"))
		}
	case json.Unmarshal(metadata, &same) == nil && same.As != "":
		lines = append(lines, "granted  metadata, the same as "+or(c.asked[same.As], "evaluation "+same.As))
	default:
		lines = append(lines, clipped("granted  metadata ", metadata, h.OperationUID)...)
	}
	return lines
}

func (d *detail) values(label string, v jsontext.Value, h profile.Header) []string {
	if len(v) == 0 {
		return nil
	}
	return clipped(label, v, h.OperationUID)
}

// would says what a shadow would have decided.
func (d *detail) would() []string {
	if d.Unmapped.Docket.Would == "" {
		return nil
	}
	return []string{"shadow   would be: " + clip(d.Unmapped.Docket.Would)}
}

// leftOut says what is not in the event, and why.
func (d *detail) leftOut() []string {
	var lines []string
	if why := d.Unmapped.Docket.Broken; why != "" {
		lines = append(lines, "broken   "+clip(why))
	}
	for _, r := range d.Unmapped.Docket.Redactions {
		lines = append(lines, "redacted "+clip(r.String()))
	}
	if n := d.Unmapped.Docket.More; n > 0 {
		lines = append(lines, fmt.Sprintf("redacted %d more", n))
	}
	return lines
}

// shown says what the binding was shown.
func (d *detail) shown(h profile.Header, asked map[string]string) []string {
	var lines []string
	// In the order of the names, so that the same event reads the same always.
	for _, name := range slices.Sorted(maps.Keys(d.API.Request.Data)) {
		v := d.API.Request.Data[name]
		label := "shown"
		if strings.HasPrefix(name, "current_state") {
			label = "state"
		}
		label = fmt.Sprintf("%-8s ", label)
		var text string
		isText := json.Unmarshal(v, &text) == nil
		switch {
		case strings.HasSuffix(name, "same_as"):
			lines = append(lines, label+"the same as "+or(asked[text], "evaluation "+text))
		case strings.HasSuffix(name, "_bytes"):
		case isText && strings.HasSuffix(name, "_digest"):
			lines = append(lines, label+"not recorded, only its digest: "+text)
		default:
			lines = append(lines, clipped(label, v, h.OperationUID)...)
		}
	}
	if len(lines) == 0 {
		lines = []string{"shown    not recorded: " + or(d.Unmapped.Docket.Replay.Why, "no words for it")}
	}
	return lines
}

// said says what a result holds.
func (d *detail) said() []string {
	var lines []string
	data := d.API.Response.Data
	if d.StatusDetail != "" {
		lines = append(lines, "reason   "+d.StatusDetail)
	}
	for _, v := range d.Unmapped.Docket.Violations {
		lines = append(lines, clip("violates "+v))
	}
	for _, p := range data.Patches {
		lines = append(lines, "change   "+clip(p.String()))
	}
	if data.Digest != "" {
		lines = append(lines, "change   not recorded, only its digest: "+data.Digest)
	}
	for _, name := range slices.Sorted(maps.Keys(data.Annotations)) {
		lines = append(lines, clip("note     "+name+": "+data.Annotations[name]))
	}
	for _, w := range data.Warnings {
		lines = append(lines, clip("warning  "+w))
	}
	return lines
}

// String gives `replace /sandbox/name "web-1"`.
func (p patch) String() string {
	s := p.Op
	if p.From != "" {
		s += " " + p.From + " to"
	}
	s += " " + p.Path
	switch {
	case len(p.Value) > 0:
		s += " " + oneLine(p.Value)
	case p.Withheld != "":
		s += " (withheld: " + p.Withheld + ")"
	}
	return s
}

// clipped lays a value out behind a label, and says how to see what it left out.
func clipped(label string, v jsontext.Value, operation string) []string {
	all := layOut(v, detailWidth)
	kept := all[:min(len(all), detailLines)]
	var lines []string
	cut := len(kept) < len(all)
	for i, line := range kept {
		short := clip(line)
		cut = cut || short != line
		if i > 0 {
			label = strings.Repeat(" ", len(label))
		}
		lines = append(lines, label+short)
	}
	if cut {
		lines = append(lines, strings.Repeat(" ", len(label))+fmt.Sprintf("(%d of %d lines; all of it: docket show %s -o json)", len(kept), len(all), operation))
	}
	return lines
}

func clip(s string) string {
	if utf8.RuneCountInString(s) <= detailValue {
		return s
	}
	return string([]rune(s)[:detailValue]) + " ..."
}

// layOut writes a value in lines: what fits into width in one, members of what
// does not below each other.
func layOut(v jsontext.Value, width int) []string {
	line := oneLine(v)
	if utf8.RuneCountInString(line) <= width || v.Kind() != '{' && v.Kind() != '[' {
		return []string{line}
	}
	dec := jsontext.NewDecoder(strings.NewReader(string(v)), jsontext.AllowDuplicateNames(true))
	open, err := dec.ReadToken()
	if err != nil {
		return []string{line}
	}
	lines, shared := []string{open.String()}, false
	for dec.PeekKind() != '}' && dec.PeekKind() != ']' {
		name := ""
		if v.Kind() == '{' {
			token, err := dec.ReadValue()
			if err != nil {
				return []string{line}
			}
			name = string(token) + ": "
		}
		member, err := dec.ReadValue()
		if err != nil {
			return []string{line}
		}
		inner := layOut(member.Clone(), width-2)
		inner[0] = name + inner[0]
		if k := dec.PeekKind(); k != '}' && k != ']' {
			inner[len(inner)-1] += ","
		}
		// Short members share a line: a payload is looked over, not edited.
		last := len(lines) - 1
		if len(inner) == 1 && shared && utf8.RuneCountInString(lines[last])+1+utf8.RuneCountInString(inner[0]) <= width {
			lines[last] += " " + inner[0]
			continue
		}
		shared = len(inner) == 1
		for _, l := range inner {
			lines = append(lines, "  "+l)
		}
	}
	return append(lines, map[jsontext.Kind]string{'{': "}", '[': "]"}[v.Kind()])
}

func oneLine(v jsontext.Value) string {
	b := v.Clone()
	if err := b.Format(jsontext.AllowDuplicateNames(true), jsontext.SpaceAfterColon(true), jsontext.SpaceAfterComma(true), jsontext.PreserveRawStrings(true)); err != nil {
		return string(v)
	}
	return string(b)
}

// widths is how many runes each column of cells takes.
func widths(rows [][]string) []int {
	var w []int
	for _, cells := range rows {
		for i, c := range cells {
			if i == len(w) {
				w = append(w, 0)
			}
			w[i] = max(w[i], utf8.RuneCountInString(c))
		}
	}
	return w
}
