// SPDX-License-Identifier: Apache-2.0

package retention

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestPolicy(t *testing.T) {
	p, err := ParsePolicy("", "tenant=acme 30d", "class=api_activity 40d", "tenant=acme class=api_activity forever")
	if err != nil {
		t.Fatal(err)
	}
	for at, want := range map[[2]string]string{
		{"acme", "api_activity"}: "tenant=acme class=api_activity forever", {"acme", "x"}: "tenant=acme 30d",
		{"globex", "api_activity"}: "class=api_activity 40d", {"globex", "x"}: "400d",
	} {
		r := p.For(at[0], at[1])
		if r.String() != want {
			t.Errorf("%v: %s, not %s", at, r, want)
		}
		if keep, err := Kept(r.String()); err != nil || keep != r.Keep {
			t.Errorf("%s is read as %s: %v", r, keep, err)
		}
	}
	terms := Terms{Policy: p, Now: time.UnixMilli(0).Add(30 * 24 * time.Hour)}
	if rule := p.For("acme", "x"); !terms.Over(rule, 0) || terms.Over(rule, 1) || terms.Over(Rule{Keep: Forever}, -1<<50) {
		t.Error("the moment at which it is over")
	}
	for _, bad := range []string{"30d", "tenant=a", "tenant=a 3h", "tenant=a tenant=b 3d", "who=a 3d", "tenant=acme 31d"} {
		if _, err := ParsePolicy("", "tenant=acme 30d", bad); err == nil {
			t.Errorf("%q is a rule", bad)
		}
	}
}

func TestSubject(t *testing.T) {
	s, err := ParseSubject("user:al<ice")
	if err != nil {
		t.Fatal(err)
	}
	for raw, want := range map[string]bool{
		`{"actor":{"user":{"uid":"al<ice"}}}`:                true,
		`{"user":{"email_addr":"al<ice"}}`:                   true,
		`{"a":[{"user":{"name":"al<ice"}}]}`:                 true,
		`{"actor":{"user":{"uid":"al<ice2"}}}`:               false,
		`{"message":"al<ice"}`:                               false,
		`{"api":{"data":{"user":{"name":"al<ice"}}}}`:        false,
		`{"unmapped":{"user":{"name":"al<ice"}}}`:            false,
		`{"actor":{"user":{"uid":"bob","domain":"al<ice"}}}`: false,
	} {
		if s.Of([]byte(raw)) != want {
			t.Errorf("%s: %v", raw, !want)
		}
	}
	for _, bad := range []string{"", "alice", "user:", "host:x"} {
		if _, err := ParseSubject(bad); err == nil {
			t.Errorf("%q is a subject", bad)
		}
	}
}

func TestErasureNamesNobody(t *testing.T) {
	s, err := ParseSubject("user:alice")
	if err != nil {
		t.Fatal(err)
	}
	e := Erasure{Selection: Selection{Subject: s}, Reference: "Alice asked"}
	if err := e.Validate(); !errors.Is(err, ErrNamed) {
		t.Errorf("the reason names her: %v", err)
	}
	e.Reference = "ticket 7"
	if err := e.Validate(); err != nil {
		t.Error(err)
	}
	if err := (&Erasure{Selection: Selection{Since: 1}}).Validate(); err == nil {
		t.Error("everybody's events may be erased")
	}
}

// A clock that leaps lets nothing expire, until somebody says that it is right.
func TestClock(t *testing.T) {
	path := filepath.Join(t.TempDir(), "retention.json")
	open := func() *Book {
		b, err := Open(path, Policy{}, Options{})
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	now := time.UnixMilli(1_793_215_000_000)
	b := open()
	if _, err := b.Terms(now, time.Time{}, false); err != nil {
		t.Errorf("an empty store: %v", err)
	}
	for range 3 {
		now = now.Add(MaxLeap)
		if _, err := b.Terms(now, time.Time{}, false); err != nil {
			t.Errorf("within the leap: %v", err)
		}
	}
	b = open()
	ahead := now.Add(365 * 24 * time.Hour)
	// That events come by the wrong clock does not make it right.
	for range 2 {
		if _, err := b.Terms(ahead, ahead, false); !errors.Is(err, ErrClock) {
			t.Errorf("a year ahead: %v", err)
		}
	}
	if terms, err := b.Terms(now, ahead, false); err != nil || !terms.Now.Equal(now) {
		t.Errorf("set right again: %v, %v", terms.Now, err)
	}
	if _, err := b.Terms(ahead, now, true); err != nil {
		t.Errorf("trusted: %v", err)
	}
	if _, err := open().Terms(ahead, now, false); err != nil {
		t.Errorf("afterwards: %v", err)
	}
	fresh, err := Open(path+"2", Policy{}, Options{})
	if err != nil || fresh.Begin(now) != nil {
		t.Fatal(err)
	}
	if _, err := fresh.Terms(ahead, ahead, false); !errors.Is(err, ErrClock) {
		t.Errorf("the first time, over an old store: %v", err)
	}
}

// Which orders are wrong, and which come too late.
func TestOrdersOfHolds(t *testing.T) {
	now := time.UnixMilli(1_793_215_000_000)
	b, err := Open(filepath.Join(t.TempDir(), "retention.json"), Policy{}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	alice, err := ParseSubject("user:alice")
	if err != nil {
		t.Fatal(err)
	}
	of := func(change func(*Hold)) Hold {
		h := Hold{Selection: Selection{Tenant: "acme", Subject: alice, Since: 1, Until: 9}, Reason: "case 1", By: "root"}
		change(&h)
		return h
	}
	first, err := b.Add(of(func(*Hold) {}), now)
	if err != nil {
		t.Fatal(err)
	}
	var order *OrderError
	for field, h := range map[string]Hold{
		"":       of(func(h *Hold) { h.Selection = Selection{} }),
		"until":  of(func(h *Hold) { h.Until = h.Since }),
		"reason": of(func(h *Hold) { h.Reason = "" }),
	} {
		if _, err := b.Add(h, now); !errors.As(err, &order) || order.Field != field {
			t.Errorf("add without %q: %v", field, err)
		}
	}
	if _, err := b.Add(of(func(h *Hold) { h.Reason = "Alice is sued" }), now); !errors.Is(err, ErrNamed) || !errors.As(err, &order) || order.Field != "reason" {
		t.Errorf("a reason that names the subject: %v", err)
	}
	var at *HoldError
	again, err := b.Add(of(func(h *Hold) { h.By = "somebody else" }), now.Add(time.Hour))
	if !errors.Is(err, ErrHoldExists) || !errors.As(err, &at) || at.ID != first.ID || again.ID != first.ID || again.By != "root" {
		t.Errorf("added twice: %+v, %v", again, err)
	}
	for what, change := range map[string]func(*Hold){
		"another reason":    func(h *Hold) { h.Reason = "case 2" },
		"another tenant":    func(h *Hold) { h.Tenant = "globex" },
		"nobody":            func(h *Hold) { h.Subject = Subject{} },
		"another operation": func(h *Hold) { h.Operation = "op" },
		"another time":      func(h *Hold) { h.Since = 2 },
		"without an end":    func(h *Hold) { h.Until = 0 },
	} {
		if _, err := b.Add(of(change), now); err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	if n := len(b.Holds()); n != 7 {
		t.Errorf("%d holds", n)
	}
	if _, err := b.Remove(first.ID, "", "root", now); !errors.As(err, &order) || order.Field != "reason" {
		t.Errorf("remove without a reason: %v", err)
	}
	if _, err := b.Remove("none", "closed", "root", now); !errors.Is(err, ErrNoHold) || !errors.As(err, &at) || at.ID != "none" || at.Hint() == "" {
		t.Errorf("remove what is not there: %v", err)
	}
	// What was taken away can be placed again.
	if _, err := b.Remove(first.ID, "closed", "root", now); err != nil {
		t.Fatal(err)
	}
	if h, err := b.Add(of(func(*Hold) {}), now); err != nil || h.ID == first.ID {
		t.Errorf("placed again: %+v, %v", h, err)
	}
}

// A hold is there or not, whenever the process ends, and each change is told once
// it is told.
func TestHoldsOutlastCrashes(t *testing.T) {
	killed := errors.New("killed")
	now := time.UnixMilli(1_793_215_000_000)
	for _, point := range []string{"book begin", "book written", "book renamed", ""} {
		path := filepath.Join(t.TempDir(), "retention.json")
		b, err := Open(path, Policy{}, Options{})
		if err != nil {
			t.Fatal(err)
		}
		first, err := b.Add(Hold{Selection: Selection{Tenant: "acme"}, Reason: "case 1", By: "root"}, now)
		if err != nil {
			t.Fatal(err)
		}
		if b, err = Open(path, Policy{}, Options{Fault: func(p string) error {
			if p == point {
				return killed
			}
			return nil
		}}); err != nil {
			t.Fatal(err)
		}
		_, err = b.Add(Hold{Selection: Selection{Operation: "op"}, Reason: "case 2"}, now)
		if (err != nil) != (point != "") {
			t.Fatalf("%s: %v", point, err)
		}
		if b, err = Open(path, Policy{}, Options{}); err != nil {
			t.Fatal(err)
		}
		holds := b.Holds()
		want := 1
		if point == "" || point == "book renamed" {
			want = 2
		}
		changes, _ := b.Untold()
		if len(holds) != want || len(changes) != want || holds[0].ID != first.ID || holds[0].Tenant != "acme" {
			t.Errorf("%s: holds %+v, changes %+v", point, holds, changes)
		}
		if err := b.Tell(changes, 7); err != nil {
			t.Fatal(err)
		}
		if _, err := b.Remove(first.ID, "closed", "root", now); err != nil {
			t.Fatal(err)
		}
		if _, err := b.Remove(first.ID, "closed", "root", now); !errors.Is(err, ErrNoHold) {
			t.Errorf("removed twice: %v", err)
		}
		changes, told := b.Untold()
		if len(changes) != 1 || changes[0].Added || told != 7 || len(b.Holds()) != want-1 {
			t.Errorf("%s: then %+v, told to %d", point, changes, told)
		}
	}
	path := filepath.Join(t.TempDir(), "retention.json")
	if err := os.WriteFile(path, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(path, Policy{}, Options{}); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("a damaged book: %v", err)
	}
}

// A policy is written as it was read.
func TestPolicyString(t *testing.T) {
	for want, rules := range map[string][]string{"400d": {""}, "forever; class=api_activity 3d; tenant=acme class=http_activity 30d": {"forever", "class=api_activity 3d", "tenant=acme class=http_activity 30d"}} {
		p, err := ParsePolicy(rules[0], rules[1:]...)
		if err != nil || p.String() != want {
			t.Errorf("%q is written as %q, %v", want, p, err)
		}
	}
}
