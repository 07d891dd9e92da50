// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestFormatsOfSomeVerbs(t *testing.T) {
	upper := Lines(func(b []byte) (string, error) {
		if len(b) == 0 {
			return "", errors.New("nothing to read")
		}
		return strings.ToUpper(string(b)) + "\x1b", nil
	})
	o := Options{Columns: []string{"a"}, Wide: []string{"a", "b"}, Formats: map[string]func(io.Writer) (RowWriter, error){"upper": upper}}
	row := Row{Cells: []string{"1"}, Wide: []string{"1", "two\nlines"}, JSON: []byte(`{"a":1}`), Short: "one"}
	for format, want := range map[string]string{
		Wide:    "A  B\n1  two\\nlines\n--- note ---\n1  two\\nlines\n",
		Table:   "A\n1\n--- note ---\n1\n",
		Short:   "one\n--- note ---\none\n",
		NDJSON:  "{\"a\":1}\n{\"a\":1}\n",
		"upper": "{\"A\":1}\\x1b\n{\"A\":1}\\x1b\n",
	} {
		var out, beside bytes.Buffer
		o.Format = format
		p, err := Print(&out, o)
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(p.Row(row), p.Note(&beside, "--- note ---"), p.Row(row), p.Close()); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, out.String()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", format, diff)
		}
		if said := strings.Contains(want, "note"); said == (beside.String() == "--- note ---\n") {
			t.Errorf("%s: beside it is %q", format, beside.String())
		}
		if p.Rows() != 2 {
			t.Errorf("%s: %d rows", format, p.Rows())
		}
	}
	if p, err := Print(io.Discard, Options{Format: "upper", Formats: o.Formats}); err != nil || p.Row(Row{}) == nil {
		t.Errorf("an error of a format is lost: %v", err)
	}
	_, err := Print(io.Discard, Options{Format: Wide})
	var h interface{ Hint() string }
	if !errors.As(err, &h) || strings.Contains(h.Hint(), Wide) {
		t.Errorf("wide where there is none: %v", err)
	}
}

func TestCount(t *testing.T) {
	for n, want := range map[int64]string{
		0: "0 events", 1: "1 event", 12: "12 events", 999: "999 events", 1000: "1,000 events", 2311: "2,311 events", 1234567: "1,234,567 events",
		-1: "-1 event", -12345: "-12,345 events", math.MinInt64: "-9,223,372,036,854,775,808 events",
	} {
		if got := Count(n, "event"); got != want {
			t.Errorf("%d: %s, want %s", n, got, want)
		}
	}
	var out bytes.Buffer
	Interrupted(t.Context(), &out, 5, "event")
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	Interrupted(ended, &out, 2311, "event")
	if out.String() != "2,311 events\n" {
		t.Errorf("%q", out.String())
	}
}

// --color wins over NO_COLOR, and that over CLICOLOR_FORCE.
func TestColours(t *testing.T) {
	for _, tc := range []struct {
		mode, no, force string
		want            bool
	}{
		{"auto", "", "", false}, // not a terminal
		{"auto", "", "1", true},
		{"auto", "", "0", false},
		{"auto", "1", "1", false},
		{"always", "1", "", true},
		{"never", "", "1", false},
	} {
		t.Setenv("NO_COLOR", tc.no)
		t.Setenv("CLICOLOR_FORCE", tc.force)
		if err := SetColour(tc.mode); err != nil {
			t.Fatal(err)
		}
		if got := Colours(io.Discard); got != tc.want {
			t.Errorf("%+v: %v", tc, got)
		}
	}
	if err := SetColour("purple"); err == nil {
		t.Error("took purple")
	}
}
