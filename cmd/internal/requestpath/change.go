// SPDX-License-Identifier: Apache-2.0

package requestpath

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/docket-audit/docket/cmd/internal/config"
	"github.com/docket-audit/docket/interceptor"
	"github.com/docket-audit/docket/interceptor/chainfile"
)

// A Change is what a reload changed. Bindings are named "interceptor/id", keys
// of the plan as the plan's JSON names them.
type Change struct {
	Before string `json:"before"` // digest of the plan that was in force
	After  string `json:"after"`  // digest of the plan that is

	Added    []string          `json:"added"`
	Removed  []string          `json:"removed"`
	Changed  []ChangedBindings `json:"changed"`
	Settings []string          `json:"settings"` // keys of the plan beside its bindings

	// Restart names the keys of the file, as "table.key", that changed and take
	// effect after a restart only.
	Restart  []string `json:"restart"`
	Warnings []string `json:"warnings"` // what the file says that its operator should know
}

// ChangedBindings is a binding that is in both plans, and the keys in which it differs.
type ChangedBindings struct {
	Binding string   `json:"binding"`
	Keys    []string `json:"keys"`
}

// Plan reports whether another plan is in force.
func (c *Change) Plan() bool { return c.Before != c.After }

// compare says how two plans in force differ.
func compare(before, after *interceptor.Plan) (*Change, error) {
	c := &Change{
		Before: before.Digest(), After: after.Digest(),
		Added: []string{}, Removed: []string{}, Changed: []ChangedBindings{}, Settings: []string{}, Restart: []string{}, Warnings: []string{},
	}
	was, is := bindings(before), bindings(after)
	for name, b := range is {
		if was[name] == nil {
			c.Added = append(c.Added, name)
			continue
		}
		keys, err := differing(was[name], b)
		if err != nil {
			return nil, err
		}
		if len(keys) > 0 {
			c.Changed = append(c.Changed, ChangedBindings{Binding: name, Keys: keys})
		}
	}
	for name := range was {
		if is[name] == nil {
			c.Removed = append(c.Removed, name)
		}
	}
	slices.Sort(c.Added)
	slices.Sort(c.Removed)
	slices.SortFunc(c.Changed, func(a, b ChangedBindings) int { return strings.Compare(a.Binding, b.Binding) })
	keys, err := differing(before, after)
	c.Settings = append(c.Settings, slices.DeleteFunc(keys, func(key string) bool { return key == "bindings" })...)
	return c, err
}

// bindings are those of a plan, by name. Where an interceptor has two of one
// name, each but the first is numbered.
func bindings(p *interceptor.Plan) map[string]*interceptor.Binding {
	out := map[string]*interceptor.Binding{}
	for i := range p.Bindings {
		b := &p.Bindings[i]
		name := b.Interceptor + "/" + b.ID
		for n := 2; out[name] != nil; n++ {
			name = fmt.Sprintf("%s/%s#%d", b.Interceptor, b.ID, n)
		}
		out[name] = b
	}
	return out
}

// differing returns the keys in which two things differ, written as JSON.
func differing(a, b any) ([]string, error) {
	var members [2]map[string]any
	for i, v := range []any{a, b} {
		raw, err := json.Marshal(v)
		if err == nil {
			err = json.Unmarshal(raw, &members[i])
		}
		if err != nil {
			return nil, fmt.Errorf("compare plans: %w", err)
		}
	}
	return differences(members[0], members[1]), nil
}

func differences(a, b map[string]any) []string {
	keys := map[string]bool{}
	for _, m := range []map[string]any{a, b} {
		for key := range m {
			if !reflect.DeepEqual(a[key], b[key]) {
				keys[key] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(keys))
}

// planned are the keys outside the tables of interceptors that are part of the
// plan, and so reloaded.
var planned = []string{"audit.mode", "audit.methods", "audit.deadline", "audit.answer", "gateway.unmatched", "gateway.secret_option"}

// untaken names what changed in the file since the start and is not reloaded.
func (p *Path) untaken(now *config.Config, f *chainfile.File) []string {
	keys := slices.DeleteFunc(p.cfg.Changed(now), func(key string) bool {
		return slices.Contains(planned, key) || strings.HasPrefix(key, "audit.methods.")
	})
	// A gateway that begins to make tokens, or ends, does so at once: what it
	// makes them of is settled by the first.
	if made := p.signer.made(); made != nil && f.Tokens != nil && *made != *f.Tokens {
		keys = append(keys, "tokens")
	}
	slices.Sort(keys)
	return append([]string{}, keys...)
}

// recordKeys names the keys in which a file differs from the one of the start that
// say what is left out of the record.
func (p *Path) recordKeys(f *chainfile.File) (keys []string) {
	began := p.began
	for key, changed := range map[string]bool{
		"redact":           !reflect.DeepEqual(began.Redactions, f.Redactions),
		"capture.max":      began.Capture.Max != f.Capture.Max,
		"capture.hmac_key": began.Capture.HMACKey != f.Capture.HMACKey,
	} {
		if changed {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	return keys
}
