// SPDX-License-Identifier: Apache-2.0

package retention

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// DefaultPeriod is how long events are kept where nothing else is configured.
const DefaultPeriod = 400 * Day

// Day is what periods are counted in.
const Day = Period(24 * time.Hour)

// Forever is the period of what never expires.
const Forever = Period(math.MaxInt64)

// A Period is how long something is kept: whole days, or [Forever].
type Period time.Duration

// ParsePeriod reads "400d" or "forever".
func ParsePeriod(s string) (Period, error) {
	if s == "forever" {
		return Forever, nil
	}
	digits, ok := strings.CutSuffix(s, "d")
	days, err := strconv.Atoi(digits)
	if !ok || err != nil || days < 1 || days > 100_000 {
		return 0, fmt.Errorf("%q is not a time to keep events, such as \"400d\" or \"forever\"", s)
	}
	return Period(days) * Day, nil
}

func (p Period) String() string {
	if p == Forever {
		return "forever"
	}
	return strconv.FormatInt(int64(p/Day), 10) + "d"
}

// UnmarshalText implements encoding.TextUnmarshaler.
func (p *Period) UnmarshalText(b []byte) (err error) {
	*p, err = ParsePeriod(string(b))
	return err
}

// A Rule says how long events of a tenant, a class, or both are kept; "" is any.
type Rule struct {
	Tenant, Class string // Class is the name of a class of OCSF, such as api_activity
	Keep          Period
}

// String returns the rule as ParseRule reads it.
func (r Rule) String() string {
	var b strings.Builder
	if r.Tenant != "" {
		fmt.Fprintf(&b, "tenant=%s ", r.Tenant)
	}
	if r.Class != "" {
		fmt.Fprintf(&b, "class=%s ", r.Class)
	}
	return b.String() + r.Keep.String()
}

// ParseRule reads "tenant=acme class=api_activity 30d", of which either of the
// first two may be left out. Whether there is such a class is for the caller to say.
func ParseRule(s string) (r Rule, err error) {
	words := strings.Fields(s)
	if len(words) < 2 {
		return r, fmt.Errorf("%q is not a rule such as \"tenant=acme class=api_activity 30d\"", s)
	}
	for _, w := range words[:len(words)-1] {
		key, value, _ := strings.Cut(w, "=")
		to := map[string]*string{"tenant": &r.Tenant, "class": &r.Class}[key]
		if to == nil || value == "" || *to != "" {
			return r, fmt.Errorf("%q in the rule %q is neither tenant=NAME nor class=NAME", w, s)
		}
		*to = value
	}
	if r.Keep, err = ParsePeriod(words[len(words)-1]); err != nil {
		return r, err
	}
	return r, nil
}

// A Policy says how long each event is kept. The zero value keeps all for
// [DefaultPeriod].
type Policy struct {
	Default Period // 0 means DefaultPeriod
	Rules   []Rule
}

// ParsePolicy makes a policy of a default, "" for [DefaultPeriod], and rules. No
// two rules may be about the same.
func ParsePolicy(period string, rules ...string) (p Policy, err error) {
	if period != "" {
		if p.Default, err = ParsePeriod(period); err != nil {
			return p, err
		}
	}
	for _, text := range rules {
		r, err := ParseRule(text)
		if err != nil {
			return p, err
		}
		if slices.ContainsFunc(p.Rules, func(o Rule) bool { return o.Tenant == r.Tenant && o.Class == r.Class }) {
			return p, fmt.Errorf("two rules are about the same as %q", text)
		}
		p.Rules = append(p.Rules, r)
	}
	return p, nil
}

// String returns the policy as people write it, the default first.
func (p Policy) String() string {
	parts := []string{cmp.Or(p.Default, DefaultPeriod).String()}
	for _, r := range p.Rules {
		parts = append(parts, r.String())
	}
	return strings.Join(parts, "; ")
}

// For returns the rule for events of a tenant and class: the one that names
// both, else the one that names the tenant, else the class, else the default.
func (p *Policy) For(tenant, class string) Rule {
	best, found := -1, Rule{Keep: p.Default}
	if found.Keep == 0 {
		found.Keep = DefaultPeriod
	}
	for _, r := range p.Rules {
		if r.Tenant != "" && r.Tenant != tenant || r.Class != "" && r.Class != class {
			continue
		}
		specific := 0
		if r.Class != "" {
			specific++
		}
		if r.Tenant != "" {
			specific += 2
		}
		if specific > best {
			best, found = specific, r
		}
	}
	return found
}

// Terms are what a store is to go by when it lets events expire.
type Terms struct {
	Policy Policy
	Holds  []Hold
	Now    time.Time
}

// Over says whether a time, in ms, is as long ago as r says, by the clock of t.
func (t *Terms) Over(r Rule, ms int64) bool {
	return r.Keep != Forever && t.Now.UnixMilli()-ms >= time.Duration(r.Keep).Milliseconds()
}

// Kept returns the period at the end of the text of a rule, as a stub file
// names it.
func Kept(rule string) (Period, error) {
	words := strings.Fields(rule)
	if len(words) == 0 {
		return 0, errors.New("no rule")
	}
	return ParsePeriod(words[len(words)-1])
}

// Why events leave a store.
const (
	Expired = "retention"
	Erased  = "erasure"
)

// A Leaving is what left by statements that follow each other and have the
// reason in common.
type Leaving struct {
	Reason        string           // Expired or Erased
	Reference, By string           // of an [Erasure]
	First, Last   uint64           // statements
	Events        map[string]int64 // by the text of the rule; "" for an erasure
}

// A Left tells what left a store by one statement; the zero value is nothing.
type Left struct {
	Number uint64 `json:"commit,omitempty"` // of the statement
	Rows   int64  `json:"events"`           // that left
	Held   int64  `json:"held"`             // that would have, and stayed under a hold
	// Removed and Rewritten count the files that went as they were, and those of
	// which some rows were written anew.
	Removed   int `json:"files_removed"`
	Rewritten int `json:"files_rewritten"`
}
