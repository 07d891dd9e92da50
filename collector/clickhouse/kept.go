// SPDX-License-Identifier: Apache-2.0

package clickhouse

import (
	"cmp"
	"context"
	"fmt"
	"iter"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/docket-audit/docket/collector/evidence"
	"github.com/docket-audit/docket/collector/retention"
)

// Kept gives what docket_retention says, in order of time. It fails with
// [ErrCorrupt] at a row that no collector has put: the text in it would let go of
// who knows what.
func (r *Reader) Kept(ctx context.Context) ([]evidence.Kept, error) {
	var all []evidence.Kept
	for k, err := range r.kept(ctx) {
		if err != nil {
			return nil, err
		}
		if n := len(all); n > 0 {
			all[n-1].Until = k.From
		}
		all = append(all, k)
	}
	return all, nil
}

func (r *Reader) kept(ctx context.Context) iter.Seq2[evidence.Kept, error] {
	return rowsOf(ctx, r.s, "retention", "SELECT set, ttl FROM "+evidence.TableRetention+" ORDER BY set", func(scan func(...any) error) (k evidence.Kept, err error) {
		var ttl string
		if err := scan(&k.From, &ttl); err != nil {
			return k, err
		}
		if k.Policy, err = parseTTL(ttl); err != nil {
			return k, fmt.Errorf("%w: %s: %w", ErrCorrupt, evidence.TableRetention, err)
		}
		return k, nil
	})
}

// expires returns the rule of a policy for events of a tenant and class, which is known by
// its number only, and when such as were stored then expire at the earliest: zero if
// never. It is what the TTL of that policy does.
func expires(p *retention.Policy, tenant string, class int32, stored time.Time) (r retention.Rule, at time.Time) {
	r = ruleFor(p, tenant, class)
	if days(r.Keep) == 0 {
		return r, time.Time{}
	}
	return r, stored.Truncate(time.Second).Add(time.Duration(r.Keep))
}

// ruleFor is [retention.Policy.For] of a class by its uid.
func ruleFor(p *retention.Policy, tenant string, class int32) retention.Rule {
	for _, name := range namesOf()[class] {
		// The one that tells more, by whichever name it knows the class.
		if found := p.For(tenant, name); found.Class != "" {
			return found
		}
	}
	return p.For(tenant, "")
}

// namesOf are the names of classes by their uids, sorted.
var namesOf = sync.OnceValue(func() map[int32][]string {
	names := make(map[int32][]string)
	for name, uid := range classes() {
		names[int32(uid)] = append(names[int32(uid)], name)
	}
	for uid := range names {
		slices.Sort(names[uid])
	}
	return names
})

var (
	ttlPattern  = regexp.MustCompile(`^toDateTime\(least\(greatest\(intDiv\(greatest\(time, _stored_time\), 1000\), 0\), \d+\)\) \+ toIntervalDay\((.*?)\)((?: DELETE)? WHERE (.*))?$`)
	lastPattern = regexp.MustCompile(`^(toDateTime\(least\(greatest\(intDiv\(greatest\(time, _stored_time\), 1000\), 0\), )(\d+)`)
	termPattern = regexp.MustCompile(`\(?(?:tenant = '((?:[^'\\]|\\.)*)')?(?:\)? AND \(?)?(?:class_uid = (\d+))?\)?, (\d+|true|false), `)
	hexPattern  = regexp.MustCompile(`\\(?:x[0-9A-F]{2}|['\\])`)
)

// parseTTL reads what [ttl] has written, and nothing else: what it reads makes the
// same text again.
func parseTTL(text string) (p retention.Policy, err error) {
	p, ok := readTTL(text)
	if again, err := ttl(p); !ok || err != nil || again != text {
		return p, fmt.Errorf("%.200q is not how long events are kept", text)
	}
	return p, nil
}

// readTTL reads what [ttl] has written, as that is or as a server words it; of other
// text it makes anything. So write again what it reads, and compare.
func readTTL(text string) (p retention.Policy, ok bool) {
	if text == "" {
		p.Default = retention.Forever
		return p, true
	}
	m := ttlPattern.FindStringSubmatch(text)
	if m == nil {
		return p, false
	}
	periods, def := terms(m[1])
	expires, defExpires := terms(m[3])
	for i, t := range periods {
		r := retention.Rule{Tenant: unquoted(t[1]), Keep: period(t[3])}
		if t[2] != "" {
			uid, _ := strconv.ParseInt(t[2], 10, 32) // digits; of one that is too long there is no name
			names := namesOf()[int32(uid)]
			if len(names) == 0 {
				return p, false
			}
			r.Class = names[0]
		}
		if i < len(expires) && expires[i][3] == "false" {
			r.Keep = retention.Forever
		}
		p.Rules = append(p.Rules, r)
	}
	if p.Default = period(def); defExpires == "false" {
		p.Default = retention.Forever
	}
	return p, true
}

// terms cuts a multiIf, or what stands there alone.
func terms(s string) (list [][]string, last string) {
	inner, ok := strings.CutPrefix(s, "multiIf(")
	if !ok {
		return nil, s
	}
	inner = strings.TrimSuffix(inner, ")")
	for {
		at := termPattern.FindStringSubmatchIndex(inner)
		if at == nil || at[0] != 0 {
			return list, inner
		}
		list = append(list, termPattern.FindStringSubmatch(inner))
		inner = inner[at[1]:]
	}
}

func unquoted(s string) string {
	return hexPattern.ReplaceAllStringFunc(s, func(c string) string {
		if len(c) == 2 {
			return c[1:]
		}
		b, _ := strconv.ParseUint(c[2:], 16, 8) // two digits
		return string([]byte{byte(b)})
	})
}

func period(days string) retention.Period {
	n, _ := strconv.ParseInt(days, 10, 32) // else it is 0, and not written again
	return retention.Period(cmp.Or(n, 1)) * retention.Day
}
