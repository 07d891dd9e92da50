// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/pflag"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/docket-audit/docket/cmd/internal/cli"
	"github.com/docket-audit/docket/cmd/internal/duration"
)

// parseSince is [parseTime] of --since.
func parseSince(text string, now time.Time) (time.Time, error) { return parseTime("since", text, now) }

// parseTime reads a time as people give one to a flag: a day or a moment, of UTC
// where it does not say, a word, or how long before now. "" is the zero time.
func parseTime(flag, text string, now time.Time) (time.Time, error) {
	today := now.UTC().Truncate(24 * time.Hour)
	switch text {
	case "":
		return time.Time{}, nil
	case "now":
		return now, nil
	case "today":
		return today, nil
	case "yesterday":
		return today.AddDate(0, 0, -1), nil
	}
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04:05", time.DateTime, "2006-01-02T15:04", time.DateOnly} {
		if t, err := time.Parse(layout, text); err == nil {
			return t, nil
		}
	}
	// What would be before the year 1 is no time: that is the zero of our bounds.
	if d, err := duration.Parse(text); err == nil && now.Add(-d).Year() >= 1 {
		return now.Add(-d), nil
	}
	return time.Time{}, cli.Usage(cli.Hint(fmt.Errorf("--%s %s: not a time", flag, text), "give 2026-10-28, 2026-10-28T06:00:00Z, yesterday, or 24h, 30d or 2w for that long ago"))
}

// A span is --since and --until: since <= time < until.
type span struct {
	since, until string // as they were given
	from, to     time.Time
}

func newSpan(f *pflag.FlagSet) *span {
	s := &span{}
	f.StringVar(&s.since, "since", "", "only events of this time and later: 10m (ago), 7d, 2w, yesterday, 2026-10-28, 2026-10-28T06:00:00Z")
	f.StringVar(&s.until, "until", "", "only events before this time")
	return s
}

func (s *span) parse(now time.Time) (err error) {
	if s.from, err = parseTime("since", s.since, now); err != nil {
		return err
	}
	if s.to, err = parseTime("until", s.until, now); err != nil {
		return err
	}
	if !s.from.IsZero() && !s.to.IsZero() && !s.from.Before(s.to) {
		return cli.Usage(cli.Hint(fmt.Errorf("--until %s is not after --since %s", s.until, s.since), "no event is in between"))
	}
	return nil
}

// stamps returns the bounds for a request; nil is open.
func (s *span) stamps() (since, until *timestamppb.Timestamp) {
	if !s.from.IsZero() {
		since = timestamppb.New(s.from)
	}
	if !s.to.IsZero() {
		until = timestamppb.New(s.to)
	}
	return since, until
}

// within adds the bounds to a filter.
func (s *span) within(expression string) string {
	var all []string
	// An instant within a millisecond is after the events of that millisecond's
	// beginning.
	ms := func(t time.Time) string { return strconv.FormatInt(t.Add(time.Millisecond-1).UnixMilli(), 10) }
	if !s.from.IsZero() {
		all = append(all, "time >= "+ms(s.from))
	}
	if !s.to.IsZero() {
		all = append(all, "time < "+ms(s.to))
	}
	if len(all) == 0 {
		return expression
	}
	if expression != "" {
		all = append(all, "("+expression+")")
	}
	return strings.Join(all, " && ")
}
