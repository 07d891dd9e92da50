// SPDX-License-Identifier: Apache-2.0

// Package duration reads lengths of time as people give them: to flags, in the
// configuration, and as how long ago something was. They are those of Go with days
// and weeks in front: 90s, 12h, 30d, 2w, 1d12h. A day has 24 hours, whatever the
// clocks of a place do, as that of retention has.
package duration

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/pflag"
)

// Day is 24 hours.
const Day = 24 * time.Hour

// Parse reads a length of time. It is never negative.
func Parse(text string) (time.Duration, error) {
	wrong := func() (time.Duration, error) {
		return 0, fmt.Errorf("%q is no length of time such as 90s, 12h, 30d or 2w", text)
	}
	rest, total := text, time.Duration(0)
	for _, u := range []struct {
		unit string
		is   time.Duration
	}{{"w", 7 * Day}, {"d", Day}} {
		digits, after, ok := strings.Cut(rest, u.unit)
		if !ok {
			continue
		}
		n, err := strconv.ParseUint(digits, 10, 32)
		if err != nil || n > uint64((math.MaxInt64-total)/u.is) {
			return wrong()
		}
		total += time.Duration(n) * u.is
		rest = after
	}
	if rest == "" && text != "" {
		return total, nil
	}
	d, err := time.ParseDuration(rest)
	if err != nil || d < 0 || strings.ContainsAny(rest, "+-") || d > math.MaxInt64-total {
		return wrong()
	}
	return total + d, nil
}

// String writes a length of time as Parse reads it, in as few words as are exact.
func String(d time.Duration) string {
	days, rest := d/Day, d%Day
	if days < 2 { // 24h and 36h are what people say
		days, rest = 0, d
	}
	text := rest.String()
	text, _ = strings.CutSuffix(text, "m0s")
	if text != rest.String() {
		text += "m"
	}
	if hours, ok := strings.CutSuffix(text, "h0m"); ok {
		text = hours + "h"
	}
	switch {
	case days == 0:
		return text
	case rest == 0:
		return strconv.FormatInt(int64(days), 10) + "d"
	}
	return strconv.FormatInt(int64(days), 10) + "d" + text
}

// Var is a flag that is a length of time.
func Var(f *pflag.FlagSet, to *time.Duration, name string, value time.Duration, usage string) {
	*to = value
	f.Var((*flag)(to), name, usage)
}

type flag time.Duration

var _ pflag.Value = (*flag)(nil)

func (v *flag) Type() string { return "duration" }

// String implements [pflag.Value]; help shows no default that is none.
func (v *flag) String() string {
	if *v == 0 {
		return ""
	}
	return String(time.Duration(*v))
}

func (v *flag) Set(text string) error {
	d, err := Parse(text)
	*v = flag(d)
	return err
}
