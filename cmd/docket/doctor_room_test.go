// SPDX-License-Identifier: Apache-2.0

package main

import (
	"testing"
	"time"

	"github.com/docket-audit/docket/cmd/internal/datadir"
	"github.com/docket-audit/docket/collector/lake"
)

// Little room, a full or weaker stream, and clocks that differ are told.
func TestDoctorRoom(t *testing.T) {
	days := func(n float64) *float64 { return &n }
	const gib = 1 << 30
	for name, test := range map[string]struct {
		say  func(*diagnosis)
		want []string // states
	}{
		"room": {func(d *diagnosis) {
			d.disk(&costReport{Disk: datadir.Disk{Free: 50 * gib, Total: 100 * gib}, DaysUntilFull: days(90), Growth: lake.Growth{Day: 1}})
		}, []string{stateOK}},
		"unknown growth": {func(d *diagnosis) { d.disk(&costReport{Disk: datadir.Disk{Free: 50 * gib, Total: 100 * gib}}) }, []string{stateOK}},
		"full in a week": {func(d *diagnosis) {
			d.disk(&costReport{Disk: datadir.Disk{Free: 50 * gib, Total: 100 * gib}, DaysUntilFull: days(7)})
		}, []string{stateWarning}},
		"a small part":      {func(d *diagnosis) { d.disk(&costReport{Disk: datadir.Disk{Free: 4 * gib, Total: 100 * gib}}) }, []string{stateWarning}},
		"full":              {func(d *diagnosis) { d.disk(&costReport{Disk: datadir.Disk{Free: 1 << 20, Total: 100 * gib}}) }, []string{stateProblem}},
		"stream":            {func(d *diagnosis) { d.stream(&streamStatus{Name: "DOCKET", Bytes: 5, MaxBytes: 100}) }, []string{stateOK, stateOK}},
		"stream is full":    {func(d *diagnosis) { d.stream(&streamStatus{Name: "DOCKET", Bytes: 95, MaxBytes: 100}) }, []string{stateWarning, stateOK}},
		"stream is weaker":  {func(d *diagnosis) { d.stream(&streamStatus{Name: "DOCKET", Error: "weaker"}) }, []string{stateProblem}},
		"clock of NATS":     {func(d *diagnosis) { d.stream(&streamStatus{Name: "DOCKET", MaxBytes: -1, ClockMS: -60_000}) }, []string{stateOK, stateWarning}},
		"clock of the past": {func(d *diagnosis) { d.clock("the newest commit is ahead of this clock by", time.Hour) }, []string{stateWarning}},
	} {
		d := &diagnosis{}
		test.say(d)
		if len(d.Checks) != len(test.want) {
			t.Errorf("%s: %+v", name, d.Checks)
			continue
		}
		for i, want := range test.want {
			if d.Checks[i].State != want || want != stateOK && d.Checks[i].Hint == "" && test.want[i] != stateProblem {
				t.Errorf("%s: %+v, want %s", name, d.Checks[i], want)
			}
		}
	}
}

func TestSize(t *testing.T) {
	for n, want := range map[int64]string{0: "0 B", 1023: "1023 B", 1024: "1.0 KiB", 1536: "1.5 KiB", 5 << 40: "5.0 TiB", 1 << 62: "4096.0 PiB"} {
		if got := size(n); got != want {
			t.Errorf("%d: %s, want %s", n, got, want)
		}
	}
}
