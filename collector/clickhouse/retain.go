// SPDX-License-Identifier: Apache-2.0

package clickhouse

import (
	"fmt"
	"strings"
	"sync"

	"github.com/docket-audit/docket/collector/retention"
	catalog "github.com/docket-audit/docket/ocsf/schema"
)

// longest is the longest period that a TTL can have, in days: what it is added to
// ends in 2106. Longer ones are for ever.
const longest = 10_000

// lastSecond is the last one that a DateTime has.
const lastSecond = 1<<32 - 1

// classes are the uids of classes by their names, of the newest version of OCSF that
// has them.
var classes = sync.OnceValue(func() map[string]int {
	uids := make(map[string]int)
	for _, version := range catalog.Versions() {
		s, err := catalog.Load(version)
		if err != nil {
			continue // one of the versions that Versions names
		}
		for name, c := range s.Classes {
			if _, bare, found := strings.Cut(name, "/"); found {
				name = bare // without the extension
			}
			uids[name] = c.UID
		}
	}
	return uids
})

// days returns how many a period has, 0 if it is for ever.
func days(p retention.Period) int64 {
	if p == retention.Forever || int64(p/retention.Day) > longest {
		return 0
	}
	return int64(p / retention.Day)
}

// ttl returns the TTL of events under a policy; "" if nothing ever expires.
//
// The clock of an event runs from when it was stored, if that is later than what it
// says itself: a server lets go of expired rows as they come in, and what came late
// must not be gone before its commit is made.
func ttl(p retention.Policy) (string, error) {
	def := days(p.For("", "").Keep)
	most := def
	var terms, forever strings.Builder
	// The most telling rules come first, as [retention.Policy.For] has it.
	for _, both := range []struct{ tenant, class bool }{{true, true}, {true, false}, {false, true}, {false, false}} {
		for _, r := range p.Rules {
			if (r.Tenant != "") != both.tenant || (r.Class != "") != both.class {
				continue
			}
			condition, err := ruleCondition(r)
			if err != nil {
				return "", err
			}
			n := days(r.Keep)
			most = max(most, n)
			fmt.Fprintf(&terms, "%s, %d, ", condition, max(n, 1))
			fmt.Fprintf(&forever, "%s, %t, ", condition, n > 0)
		}
	}
	if most == 0 {
		return "", nil
	}
	period, expires := fmt.Sprint(max(def, 1)), fmt.Sprint(def > 0)
	if terms.Len() > 0 {
		period, expires = "multiIf("+terms.String()+period+")", "multiIf("+forever.String()+expires+")"
	}
	out := fmt.Sprintf("toDateTime(least(greatest(intDiv(greatest(time, _stored_time), 1000), 0), %d)) + toIntervalDay(%s)", lastSecond-most*86400, period)
	if expires != "true" {
		out += " DELETE WHERE " + expires
	}
	return out, nil
}

// ruleCondition is which rows a rule is about.
func ruleCondition(r retention.Rule) (string, error) {
	var terms []string
	if r.Tenant != "" {
		terms = append(terms, "tenant = "+text(r.Tenant))
	}
	if r.Class != "" {
		uid, ok := classes()[r.Class]
		if !ok {
			return "", fmt.Errorf("the rule %q is about a class that there is not", r)
		}
		terms = append(terms, fmt.Sprintf("class_uid = %d", uid))
	}
	if len(terms) == 0 {
		return "true", nil
	}
	return strings.Join(terms, " AND "), nil
}
