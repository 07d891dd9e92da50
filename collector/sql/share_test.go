// SPDX-License-Identifier: Apache-2.0

package sql

import (
	"errors"
	"testing"
)

// One tenant's queries leave a place to others, by whatever door they come.
func TestShares(t *testing.T) {
	p := NewProcesses("none", []string{"none"}, Limits{Running: 2})
	acme, both, all := &Scope{Tenants: []string{"acme"}}, &Scope{Tenants: []string{"acme", "globex"}}, &Scope{}
	leave, err := p.enter(t.Context(), acme)
	if err != nil {
		t.Fatal(err)
	}
	var busy *BusyError
	if _, err := p.enter(t.Context(), acme); !errors.As(err, &busy) {
		t.Errorf("a second one of the same tenant: %v", err)
	}
	other, err := p.enter(t.Context(), both)
	if err != nil {
		t.Fatal(err)
	}
	other()
	for range 2 { // who sees all tenants has no share
		l, err := p.enter(t.Context(), all)
		if err != nil {
			t.Fatal(err)
		}
		l()
	}
	leave()
	if leave, err = p.enter(t.Context(), acme); err != nil {
		t.Fatal(err)
	}
	leave()
	if len(p.shares) != 0 || len(p.running) != 0 || len(p.places) != 0 {
		t.Errorf("left: %v, %d run, %d wait", p.shares, len(p.running), len(p.places))
	}
}
