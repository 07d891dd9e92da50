// SPDX-License-Identifier: Apache-2.0

package stream

import (
	"testing"
	"time"
)

// A pace changes with the speed of what comes, and no sooner than it can be told.
func TestPace(t *testing.T) {
	const mib = 1 << 20
	type answered struct {
		after           time.Duration
		messages, bytes int
	}
	for _, tc := range []struct {
		name    string
		near    bool
		answers []answered
		want    int64 // distance
	}{
		{name: "nothing came"},
		{name: "too soon to tell", answers: []answered{{100 * time.Millisecond, 1000, 16 * mib}}},
		{name: "slow", answers: []answered{{time.Second, 1000, 7 * mib}}},
		{name: "fast", answers: []answered{{time.Second, 1000, 8 * mib}}, want: 1001},
		{name: "fast, in several answers", answers: []answered{{300 * time.Millisecond, 500, 3 * mib}, {300 * time.Millisecond, 500, 2 * mib}}, want: 2001},
		{name: "a few after long", answers: []answered{{20 * time.Second, 10_000, 16 * mib}}},
		{name: "long messages", answers: []answered{{time.Second, 2, 16 * mib}}, want: 2},
		{name: "no data at all", answers: []answered{{time.Second, 1000, 0}}},
		{name: "wanted at once", near: true, answers: []answered{{time.Second, 1000, 16 * mib}}},
		{name: "still fast enough", answers: []answered{{time.Second, 1000, 16 * mib}, {time.Second, 500, 4 * mib}}, want: 1001},
		{name: "slower", answers: []answered{{time.Second, 1000, 16 * mib}, {time.Second, 500, 3 * mib}}},
		{name: "over", answers: []answered{{time.Second, 1000, 16 * mib}, {time.Millisecond, 0, 0}}},
		{name: "fast again", answers: []answered{{time.Second, 1000, 16 * mib}, {time.Millisecond, 0, 0}, {time.Second, 1000, 32 * mib}}, want: 251},
	} {
		now := time.UnixMilli(1_700_000_000_000)
		p := pace{near: tc.near, since: now}
		for _, a := range tc.answers {
			now = now.Add(a.after)
			p.answered(now, a.messages, a.bytes)
		}
		if got := p.distance(); got != tc.want {
			t.Errorf("%s: %d messages behind, want %d", tc.name, got, tc.want)
		}
	}
}
