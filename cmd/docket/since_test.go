// SPDX-License-Identifier: Apache-2.0

package main

import (
	"testing"
	"time"
)

func TestParseSince(t *testing.T) {
	now := time.Date(2026, 10, 28, 12, 0, 0, 0, time.UTC)
	for text, want := range map[string]time.Time{
		"":                          {},
		"2026-10-27":                time.Date(2026, 10, 27, 0, 0, 0, 0, time.UTC),
		"2026-10-27T06:30":          time.Date(2026, 10, 27, 6, 30, 0, 0, time.UTC),
		"2026-10-27 06:30:01":       time.Date(2026, 10, 27, 6, 30, 1, 0, time.UTC),
		"2026-10-27T06:30:01+02:00": time.Date(2026, 10, 27, 4, 30, 1, 0, time.UTC),
		"90m":                       now.Add(-90 * time.Minute),
		"0s":                        now,
		"30d":                       now.AddDate(0, 0, -30),
		"2w":                        now.AddDate(0, 0, -14),
		"1d12h":                     now.Add(-36 * time.Hour),
		"now":                       now,
		"today":                     time.Date(2026, 10, 28, 0, 0, 0, 0, time.UTC),
		"yesterday":                 time.Date(2026, 10, 27, 0, 0, 0, 0, time.UTC),
	} {
		if got, err := parseSince(text, now); err != nil || !got.Equal(want) {
			t.Errorf("%q: %v, %v, want %v", text, got, err, want)
		}
	}
	for _, text := range []string{"tomorrow", "-1h", "7", "-3d", "d", "1.5d", "999999d", "106000w", "1h1d", "2026-13-01"} {
		if got, err := parseSince(text, now); err == nil {
			t.Errorf("%q: %v", text, got)
		}
	}
}
