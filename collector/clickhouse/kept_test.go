// SPDX-License-Identifier: Apache-2.0

package clickhouse

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/docket-audit/docket/collector/retention"
)

// What a collector says of retention is read as it was meant, and what it would not
// say is not read.
func TestKept(t *testing.T) {
	for _, c := range []struct {
		period string
		rules  []string
	}{
		{"", nil},
		{"30d", nil},
		{"forever", nil},
		{"forever", []string{"tenant=acme 7d"}},
		{"90d", []string{"tenant=acme class=api_activity 7d", "class=http_activity forever", "tenant=a'b\\,c)é 20d"}},
		{"100000d", []string{"class=detection_finding 400d"}},
	} {
		p, err := retention.ParsePolicy(c.period, c.rules...)
		if err != nil {
			t.Fatal(err)
		}
		text, err := ttl(p)
		if err != nil {
			t.Fatal(err)
		}
		got, err := parseTTL(text)
		if err != nil {
			t.Errorf("%v: %v", c, err)
			continue
		}
		stored := time.UnixMilli(1_793_215_000_000)
		for _, tenant := range []string{"acme", "globex", "a'b\\,c)é"} {
			for _, class := range []int32{6003, 4002, 2004, 99} {
				_, want := expires(&p, tenant, class, stored)
				if _, have := expires(&got, tenant, class, stored); !have.Equal(want) {
					t.Errorf("%v: of %s, class %d: expires %v, not %v", c, tenant, class, have, want)
				}
			}
		}
	}
	for _, text := range []string{
		"now()", "toDateTime(0)",
		"toDateTime(least(greatest(intDiv(greatest(time, _stored_time), 1000), 0), 4292374495)) + toIntervalDay(0)",
		"toDateTime(least(greatest(intDiv(greatest(time, _stored_time), 1000), 0), 1)) + toIntervalDay(30)",
		"toDateTime(least(greatest(intDiv(greatest(time, _stored_time), 1000), 0), 4292374495)) + toIntervalDay(multiIf(message = 'x', 1, 30))",
	} {
		if p, err := parseTTL(text); err == nil {
			t.Errorf("%s: read as %v", text, p)
		}
	}
	p, _ := retention.ParsePolicy("90d", "tenant=acme class=api_activity 7d", "class=http_activity forever")
	stored := time.UnixMilli(1_793_215_000_999)
	r, at := expires(&p, "acme", 6003, stored)
	if d := cmp.Diff(retention.Rule{Tenant: "acme", Class: "api_activity", Keep: 7 * retention.Day}, r); d != "" || !at.Equal(time.UnixMilli(1_793_215_000_000).Add(7*24*time.Hour)) {
		t.Errorf("rule %v, expires %v", r, at)
	}
	if _, at := expires(&p, "globex", 4002, stored); !at.IsZero() {
		t.Errorf("what is kept for ever expires %v", at)
	}
}
