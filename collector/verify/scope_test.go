// SPDX-License-Identifier: Apache-2.0

package verify

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/docket-audit/docket/collector/lake"
)

// times returns when each statement of a house was made.
func (h *house) times() []int64 {
	h.t.Helper()
	var all []int64
	for raw, err := range lake.Statements(filepath.Join(h.dir, "lake"), 1) {
		if err != nil {
			h.t.Fatal(err)
		}
		s, err := lake.ParseStatement(raw)
		if err != nil {
			h.t.Fatal(err)
		}
		all = append(all, s.Time)
	}
	return all
}

// scopes runs every combination of a time, a tenant and a depth.
func (h *house) scopes(each func(o Options, r *Report)) {
	h.t.Helper()
	for _, at := range append(h.times(), 0) {
		for _, tenant := range []string{"", "acme", "globex", "initech"} {
			for _, deep := range []bool{false, true} {
				o := Options{Tenant: tenant, Deep: deep}
				if at != 0 {
					o.Since = time.UnixMilli(at)
				}
				if !o.Since.IsZero() || tenant != "" {
					each(o, h.run(o))
				}
			}
		}
	}
}

// No part of a clean directory gives alarm, hot or compacted, and a report says
// what it is of.
func TestScopeClean(t *testing.T) {
	for _, compacted := range []bool{false, true} {
		h := newFurnished(t)
		if compacted {
			h.open()
			h.compact()
			h.close()
		}
		whole := h.run(Options{})
		lines := lines(whole)
		h.scopes(func(o Options, r *Report) {
			if r.Code() != CodeFine || r.Scope == nil || r.Statements != whole.Statements || r.Ledger != whole.Ledger {
				t.Errorf("compacted %v, %+v: code %d, scope %+v, problems %v", compacted, o, r.Code(), r.Scope, r.Problems)
				return
			}
			if r.Segments+r.Scope.Passed != whole.Segments || len(r.Epochs)+r.Scope.PassedEpochs < len(whole.Epochs) {
				t.Errorf("compacted %v, %+v: %d segments and %d passed over of %d", compacted, o, r.Segments, r.Scope.Passed, whole.Segments)
			}
			for i := range r.Epochs {
				e := &r.Epochs[i]
				if o.Tenant != "" && e.Tenant != o.Tenant {
					t.Errorf("%+v: an epoch of %s", o, e.Tenant)
				}
				// With all of its rows at hand, what is said of it is the same.
				if o.Since.IsZero() && e.Line() != lines[e.UID] {
					t.Errorf("%+v: epoch %s: %q, in whole %q", o, e.UID, e.Line(), lines[e.UID])
				}
			}
			var text strings.Builder
			if err := r.WriteText(&text); err != nil {
				t.Fatal(err)
			}
			for _, want := range []string{
				map[bool]string{true: "only what was stored since 20", false: "passed over: "}[!o.Since.IsZero()],
				map[bool]string{true: "only tenant " + o.Tenant, false: "passed over: "}[o.Tenant != ""], "\nok\n",
			} {
				if !strings.Contains(text.String(), want) {
					t.Errorf("%+v: no %q in\n%s", o, want, text.String())
				}
			}
		})
	}
}

// Damage is found by every run that has it in its scope, and what is passed over
// must still be there.
func TestScopeDamage(t *testing.T) {
	h := newFurnished(t)
	times := h.times()
	var files []lake.File
	for raw, err := range lake.Statements(filepath.Join(h.dir, "lake"), 1) {
		if err != nil {
			t.Fatal(err)
		}
		s, err := lake.ParseStatement(raw)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, s.Added...)
	}
	if len(files) != len(times) {
		t.Fatalf("%d files, %d statements", len(files), len(times))
	}
	// A commit each, and the tenants in it.
	tenants := []string{"acme", "acme globex", "acme globex", "globex", "initech"}
	for _, i := range some([]int{0, 1, 2, 3, 4}) {
		path := filepath.Join(h.dir, "lake", filepath.FromSlash(files[i].Path))
		good, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		bad := append([]byte{}, good...)
		bad[len(bad)/2] ^= 1
		if err := os.WriteFile(path, bad, 0o600); err != nil {
			t.Fatal(err)
		}
		h.scopes(func(o Options, r *Report) {
			in := (o.Since.IsZero() || o.Since.UnixMilli() <= times[i]) && (o.Tenant == "" || strings.Contains(tenants[i], o.Tenant))
			if found := r.Code() == CodeFound; found != in {
				t.Errorf("segment %d, %+v: found %v, want %v: %v", i, o, found, in, r.Problems)
			}
		})
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		h.scopes(func(o Options, r *Report) {
			if r.Code() != CodeFound {
				t.Errorf("segment %d is missing, %+v: code %d", i, o, r.Code())
			}
		})
		if err := os.WriteFile(path, good, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	// The statements and the ledger are judged in any case, and where they are
	// damaged nothing is passed over.
	path := filepath.Join(h.dir, "lake", lake.StatementPath(1))
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(strings.Replace(string(good), `"count":`, `"count":1`, 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	h.scopes(func(o Options, r *Report) {
		if r.Code() != CodeFound || r.Scope != nil {
			t.Errorf("a changed statement, %+v: code %d, scope %+v", o, r.Code(), r.Scope)
		}
	})
}

// An event that is withheld since, and a history that is not the one before, show
// by what the statements say of the time before.
func TestScopeGoesOnFromBefore(t *testing.T) {
	h := newHouse(t)
	c := h.begin("acme", "gw-0")
	h.outcomes(c, 3)
	h.commit()
	h.now += 1000
	since := time.UnixMilli(h.now)
	fork := *c
	fork.fingerprint = strings.Repeat("ab", 32)
	h.outcomes(&fork, 2) // names another event as its predecessor
	h.commit()
	h.now += 1000
	h.find(h.run(Options{Since: since, Deep: true}), "the hash chain breaks", "sequence 5")
	fork.sequence += 2
	h.outcomes(&fork, 1)
	h.commit()
	h.close()
	h.find(h.run(Options{Since: time.UnixMilli(h.now)}), "sequences 7 to 8 are missing")
	if r := h.run(Options{Since: time.UnixMilli(h.now + 5000)}); r.Scope.First != 4 || len(r.Epochs) != 0 || r.Code() != CodeFine {
		t.Errorf("nothing since: %+v, %v", r.Scope, r.Problems)
	}
	if _, err := Run(t.Context(), h.dir, Options{Tenant: "acmee"}); !errors.Is(err, ErrNoTenant) {
		t.Errorf("no such tenant: %v", err)
	}
}
