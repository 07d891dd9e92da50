// SPDX-License-Identifier: Apache-2.0

package config

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/docket-audit/docket/cmd/internal/duration"
	"github.com/docket-audit/docket/internal/profile"
)

// A Duration is written as "1m30s" or "2d", as package duration reads it.
type Duration time.Duration

// UnmarshalText implements encoding.TextUnmarshaler.
func (d *Duration) UnmarshalText(b []byte) error {
	v, err := duration.Parse(string(b))
	if err != nil {
		return fmt.Errorf("%q is not a duration such as \"500ms\", \"2s\" or \"7d\"", b)
	}
	*d = Duration(v)
	return nil
}

// Bytes is an amount, written as "64MiB", "1GB" or a plain number.
type Bytes int64

var units = []struct {
	suffix string
	factor int64
}{
	{"KiB", 1 << 10},
	{"MiB", 1 << 20},
	{"GiB", 1 << 30},
	{"TiB", 1 << 40},
	{"kB", 1e3},
	{"MB", 1e6},
	{"GB", 1e9},
	{"TB", 1e12},
	{"B", 1},
	{"", 1},
}

// UnmarshalText implements encoding.TextUnmarshaler.
func (n *Bytes) UnmarshalText(b []byte) error {
	for _, u := range units {
		digits, ok := strings.CutSuffix(string(b), u.suffix)
		if !ok {
			continue
		}
		v, err := strconv.ParseInt(strings.TrimSpace(digits), 10, 64)
		if err != nil || v < 0 || v > (1<<62)/u.factor {
			break
		}
		*n = Bytes(v * u.factor)
		return nil
	}
	return fmt.Errorf("%q is not an amount such as \"256MiB\"", b)
}

// words are those that the texts of some keys are one of.
var words = map[string][]string{
	"gateway.unmatched": {"allow", "deny"},
	"audit.mode":        {"auto", "durable", "best_effort"},
	"audit.answer":      {"release", "withhold"},
	"emitter.wal_full":  {"custody", "deny"},
	"emitter.trim_by":   {"stores", "stream"},
	"ocsf.version":      profile.Versions(),
	"telemetry.traces":  {"otlp", "none"},
}

// checkWord refuses a text that is none of its key's words.
func checkWord(key, text string) error {
	if known := words[key]; known != nil && !slices.Contains(known, text) {
		return fmt.Errorf("%q is none of %s", text, strings.Join(known, ", "))
	}
	return nil
}
