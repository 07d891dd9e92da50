// SPDX-License-Identifier: Apache-2.0

package replay

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/docket-audit/docket/internal/profile"
)

// Golden lets a [Test] pass with just those differences that a file lists, one
// operation in a line. Nothing else is allowed, and what the file lists has to be
// there. `go test -replay.update` writes the file; who reviews the change reviews
// each flip. Empty lines and lines that begin with "#" say nothing.
func Golden(path string) Option { return func(o *options) { o.golden = path } }

const goldenHead = "# The operations that come out otherwise; `go test -replay.update` writes this file.\n"

// line is what a golden file says of an operation.
func (d *Diff) line() string {
	line := d.Operation + " " + string(d.Comparison)
	if d.From != d.To {
		line += " " + d.From + "->" + d.To
	}
	if d.Interceptor != "" {
		line += " " + d.Interceptor + "/" + d.Binding
	}
	if d.Reason != "" {
		line += ": " + d.Reason
	}
	return profile.Printable(line)
}

// goldenProblem compares the differences with those that a file lists, or writes
// the file. It returns why the test fails; "" when it does not.
func goldenProblem(path string, lines []string, update bool) (string, error) {
	slices.Sort(lines)
	if update {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return "", fmt.Errorf("write golden flips: %w", err)
		}
		text := goldenHead
		for _, l := range lines {
			text += l + "\n"
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			return "", fmt.Errorf("write golden flips: %w", err)
		}
		return "", nil
	}
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Sprintf("%s is not there; write it with `go test -replay.update`, and look at what it lists", path), nil
	}
	if err != nil {
		return "", fmt.Errorf("read golden flips: %w", err)
	}
	var want []string
	for l := range strings.Lines(string(text)) {
		if l = strings.TrimSpace(l); l != "" && !strings.HasPrefix(l, "#") {
			want = append(want, l)
		}
	}
	slices.Sort(want)
	return goldenText(path, without(want, lines), without(lines, want)), nil
}

// maxGolden bounds the lines of each kind that a failure shows.
const maxGolden = 20

func goldenText(path string, gone, added []string) string {
	if len(gone)+len(added) == 0 {
		return ""
	}
	var b strings.Builder
	fmt.Fprintf(&b, "other operations come out otherwise than %s lists (- listed, and not so; + so, and not listed):", path)
	for _, list := range []struct {
		mark  string
		lines []string
	}{{"-", gone}, {"+", added}} {
		for _, l := range list.lines[:min(len(list.lines), maxGolden)] {
			b.WriteString("\n  " + list.mark + " " + l)
		}
		if more := len(list.lines) - maxGolden; more > 0 {
			fmt.Fprintf(&b, "\n  %s and %s more", list.mark, thousands(more))
		}
	}
	b.WriteString("\naccept this with `go test -replay.update`; look at one with -replay.event=UID")
	return b.String()
}

// without returns the lines of a that are not in b; both are sorted.
func without(a, b []string) []string {
	var out []string
	for _, l := range a {
		if _, ok := slices.BinarySearch(b, l); !ok {
			out = append(out, l)
		}
	}
	return out
}
