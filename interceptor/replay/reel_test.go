// SPDX-License-Identifier: Apache-2.0

package replay

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/docket-audit/docket/internal/profile"
)

// TestLongLines: a line without an end does not fill the memory.
func TestLongLines(t *testing.T) {
	for name, c := range map[string]struct {
		content string
		line    int
		want    error
	}{
		"first":        {strings.Repeat("x", 3000), 1, errLong},
		"second":       {"\n" + strings.Repeat("x", 3000) + "\n", 2, errLong},
		"just fits":    {strings.Repeat(" ", 999) + "\n" + strings.Repeat(" ", 1000), 0, nil},
		"one too long": {strings.Repeat(" ", 1000) + "\n", 1, errLong},
	} {
		for _, packed := range []bool{false, true} {
			content := []byte(c.content)
			if packed {
				content = zip(t, content)
			}
			r := reel{path: "x.ndjson", limit: 1000}
			err := r.read(context.Background(), bytes.NewReader(content), func([]byte) bool { return true })
			if !errors.Is(err, c.want) || c.want != nil && r.line != c.line {
				t.Errorf("%s: line %d, %v", name, r.line, err)
			}
		}
	}
}

func zip(t testing.TB, content []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if _, err := z.Write(content); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// FuzzFile: whatever a file holds, reading it ends, with an error or with
// sealed events; and what passes as a cassette is one, whole.
func FuzzFile(f *testing.F) {
	for _, name := range []string{"cancelled", "violation"} { // the short ones
		content, err := os.ReadFile(filepath.Join("testdata", "corpus", "v1", name+".ndjson"))
		if err != nil {
			f.Fatal(err)
		}
		lines := bytes.SplitAfter(content, []byte("\n"))
		f.Add(content)
		f.Add(bytes.Join(lines[1:], nil))
		f.Add(bytes.Join(lines[:2], nil))
		f.Add(bytes.Join(slices.Concat(lines[:1], lines[len(lines)-2:]), nil))
		f.Add(bytes.Replace(content, []byte(`"cassette":1`), []byte(`"cassette":1e9`), 1))
		row, _ := json.Marshal(map[string]string{"_raw": string(bytes.TrimSpace(lines[0]))})
		f.Add(append(row, '\n'))
		f.Add(zip(f, lines[0]))
	}
	f.Add([]byte("{\"_raw\":1}\n\xff"))
	f.Fuzz(func(t *testing.T, content []byte) {
		for _, verify := range []bool{false, true} {
			r := reel{path: "x.ndjson", verify: verify, limit: 1 << 20}
			var events [][]byte
			err := r.read(context.Background(), bytes.NewReader(content), func(raw []byte) bool {
				if _, err := profile.Parse(raw); err != nil {
					t.Fatalf("an event that is none: %v", err)
				}
				events = append(events, raw)
				return true
			})
			if err != nil {
				if !strings.Contains(err.Error(), "x.ndjson") {
					t.Fatalf("an error that does not say of which file: %v", err)
				}
				continue
			}
			if r.cassette == nil {
				continue
			}
			own, err := ownOf(events[len(events)-1])
			if err != nil {
				t.Fatal(err)
			}
			var n int
			if err := json.Unmarshal(own[ownEvents], &n); err != nil || n != len(events)-2 {
				t.Fatalf("a cassette of %d lines says %d events: %v", len(events), n, err)
			}
		}
	})
}

// TestUUIDs are of the one canonical form, and tell the things apart.
func TestUUIDs(t *testing.T) {
	seen := map[string]bool{}
	for _, uid := range []string{
		uuid(0, 0, [32]byte{}), uuid(1<<47, 1, [32]byte{255, 255}), uuid(946684801000, 1<<40, [32]byte{1}), uuid(946684801000, 1<<40, [32]byte{2}),
		uuid(946684801000, 1, [32]byte{1}), orderly(946684801000, 1, 0), orderly(946684801000, 1, 1), orderly(946684802000, 2, 0),
	} {
		h := profile.Header{MetadataUID: uid, Epoch: uid, Sequence: 1}
		if err := h.Admit(); err != nil || seen[uid] {
			t.Errorf("%s: %v", uid, err)
		}
		seen[uid] = true
	}
}
