// SPDX-License-Identifier: Apache-2.0

package main

import (
	"strings"
	"testing"
	"time"

	"github.com/docket-audit/docket/internal/profile"
)

// An event has a date where it is not of today; in a table there is room for it
// from there on, so that columns stay below each other.
func TestEventRowsHaveDates(t *testing.T) {
	raw := recordedEvents(t)[4]
	h, err := profile.Parse(raw)
	if err != nil {
		t.Fatal(err)
	}
	at := time.UnixMilli(h.Time)
	day, clock := at.Format(time.DateOnly), at.Format("15:04:05")
	midnight := time.Date(at.Year(), at.Month(), at.Day(), 0, 0, 0, 0, time.Local)
	pads := strings.Repeat(" ", len(day)+1)
	var now time.Time
	rows := &eventRows{now: func() time.Time { return now }}
	for _, tc := range []struct {
		name         string
		now          time.Time
		short, table string
	}{
		{"of this moment", at, clock, at.Format("15:04:05.000")},
		{"as today began", midnight, clock, at.Format("15:04:05.000")},
		{"as today ended", midnight.AddDate(0, 0, 1).Add(-1), clock, at.Format("15:04:05.000")},
		{"as tomorrow began", midnight.AddDate(0, 0, 1), day + " " + clock, day + " " + at.Format("15:04:05.000")},
		{"among those with a date", at, clock, at.Format("15:04:05.000") + pads},
		{"a year later", at.AddDate(1, 0, 0), day + " " + clock, day + " " + at.Format("15:04:05.000")},
		{"of tomorrow, by a clock that is behind", midnight.Add(-1), day + " " + clock, day + " " + at.Format("15:04:05.000")},
	} {
		now = tc.now
		row, err := rows.row(raw)
		if err != nil {
			t.Fatal(err)
		}
		if want := tc.short + " " + profile.Sentence(h); row.Short != want {
			t.Errorf("%s: short %q, want %q", tc.name, row.Short, want)
		}
		if row.Cells[0] != tc.table {
			t.Errorf("%s: table %q, want %q", tc.name, row.Cells[0], tc.table)
		}
	}
}
