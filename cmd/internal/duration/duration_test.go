// SPDX-License-Identifier: Apache-2.0

package duration

import (
	"math"
	"testing"
	"time"

	"github.com/spf13/pflag"
)

func TestParse(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"0":      0,
		"0s":     0,
		"90s":    90 * time.Second,
		"1h30m":  90 * time.Minute,
		"1.5h":   90 * time.Minute,
		"30d":    30 * Day,
		"2w":     14 * Day,
		"1w1d1h": 8*Day + time.Hour,
		"1d12h":  36 * time.Hour,
		"0d":     0,
		"250µs":  250 * time.Microsecond,
		"15250w": 15250 * 7 * Day,
	} {
		if got, err := Parse(text); err != nil || got != want {
			t.Errorf("%q: %v, %v, want %v", text, got, err, want)
		}
	}
	for _, text := range []string{
		"", " ", "7", "d", "w", "-1h", "+1h", "-3d", "1.5d", "1d-1h", "1d+1h", "1h1d", "1d1w", "1d1d", "1d ", "1 d", "30D", "٣d", "1d1",
		"99999999999d", "106752d", "15251w", "106751d24h", "1month", "1y",
	} {
		if got, err := Parse(text); err == nil {
			t.Errorf("%q: %v", text, got)
		}
	}
}

func TestString(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0:                                "0s",
		time.Second:                      "1s",
		time.Hour:                        "1h",
		90 * time.Minute:                 "1h30m",
		time.Hour + time.Second:          "1h0m1s",
		10 * time.Minute:                 "10m",
		time.Minute + 10*time.Second:     "1m10s",
		1500 * time.Millisecond:          "1.5s",
		24 * time.Hour:                   "24h",
		36 * time.Hour:                   "36h",
		48 * time.Hour:                   "2d",
		365 * Day:                        "365d",
		30*Day + time.Hour:               "30d1h",
		2*Day + 30*time.Minute:           "2d30m",
		100*time.Hour + 20*time.Second:   "4d4h0m20s",
		110 * time.Minute:                "1h50m",
		20*time.Hour + 10*time.Minute:    "20h10m",
		math.MaxInt64:                    "106751d23h47m16.854775807s",
		250 * time.Microsecond:           "250µs",
		3*Day + 500*time.Millisecond:     "3d500ms",
		10*time.Hour + 1*time.Nanosecond: "10h0m0.000000001s",
	} {
		got := String(d)
		if got != want {
			t.Errorf("%v: %s, want %s", d, got, want)
		}
		if back, err := Parse(got); err != nil || back != d {
			t.Errorf("%s is read as %v, %v", got, back, err)
		}
	}
}

func TestVar(t *testing.T) {
	var valid, limit time.Duration
	f := pflag.NewFlagSet("x", pflag.ContinueOnError)
	Var(f, &valid, "for", 365*Day, "how long")
	Var(f, &limit, "limit", 0, "how much")
	if want := "      --for duration     how long (default 365d)\n      --limit duration   how much\n"; f.FlagUsages() != want {
		t.Errorf("help:\n%s\nwant:\n%s", f.FlagUsages(), want)
	}
	if err := f.Parse([]string{"--for", "2w", "--limit=1d"}); err != nil || valid != 14*Day || limit != Day {
		t.Errorf("%v, %v, %v", valid, limit, err)
	}
	if err := f.Parse([]string{"--for", "soon"}); err == nil {
		t.Error("soon is a length of time")
	}
}

func FuzzParse(f *testing.F) {
	for _, text := range []string{"1w1d1h", "30d", "99999999999w", "1d-1h", "1e9h", "9223372036854775807ns"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		d, err := Parse(text)
		if err != nil {
			return
		}
		if d < 0 {
			t.Fatalf("%q is %v", text, d)
		}
		if back, err := Parse(String(d)); err != nil || back != d {
			t.Fatalf("%q is %v, written %s, and read as %v, %v", text, d, String(d), back, err)
		}
	})
}
