// SPDX-License-Identifier: Apache-2.0

package replay_test

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

	"github.com/docket-audit/docket/interceptor/replay"
	"github.com/docket-audit/docket/internal/profile"
	"github.com/docket-audit/docket/ocsf"
)

// TestDamagedCassettes: each kind of damage is refused, with the line and the event.
func TestDamagedCassettes(t *testing.T) {
	var b bytes.Buffer
	(&screenplay{plan: oldPlan}).cassette(t, &b)
	whole := slices.Collect(bytes.Lines(b.Bytes()))
	uid := func(n int) string {
		h, err := profile.Parse(bytes.TrimSpace(whole[n-1]))
		if err != nil {
			t.Fatal(err)
		}
		return h.MetadataUID
	}
	n := len(whole)
	edit := func(f func(l [][]byte) [][]byte) []byte { return bytes.Join(f(slices.Clone(whole)), nil) }
	other := bytes.Replace(b.Bytes(), []byte("0"), []byte("0"), 1)
	for name, c := range map[string]struct {
		content []byte
		line    int
		event   string
		want    string
	}{
		"last line missing":  {edit(func(l [][]byte) [][]byte { return l[:n-1] }), n - 1, uid(n - 1), "cut off"},
		"cut in the middle":  {edit(func(l [][]byte) [][]byte { return l[:5] }), 5, uid(5), "cut off"},
		"cut in a line":      {edit(func(l [][]byte) [][]byte { return append(l[:5], l[5][:100]) }), 6, uid(5), "malformed"},
		"no newline":         {edit(func(l [][]byte) [][]byte { return append(l[:5], bytes.TrimSpace(l[5])) }), 6, uid(6), "cut off"},
		"first line missing": {edit(func(l [][]byte) [][]byte { return l[1:] }), 1, uid(2), "first line of the cassette is missing"},
		"only the end":       {edit(func(l [][]byte) [][]byte { return l[n-1:] }), 1, "", "first line of the cassette is missing"},
		"a line missing":     {edit(func(l [][]byte) [][]byte { return slices.Delete(l, 6, 7) }), 7, uid(8), "sequence 8 where 7"},
		"a line twice":       {edit(func(l [][]byte) [][]byte { return slices.Insert(l, 6, l[5]) }), 7, uid(6), "sequence 6 where 7"},
		"two lines swapped":  {edit(func(l [][]byte) [][]byte { l[6], l[7] = l[7], l[6]; return l }), 7, uid(8), "sequence 8 where 7"},
		"a line changed": {edit(func(l [][]byte) [][]byte {
			l[2] = bytes.Replace(l[2], []byte(`"status_id":1`), []byte(`"status_id":2`), 1)
			return l
		}), 3, uid(3), "fingerprint mismatch"},
		"the end changed": {edit(func(l [][]byte) [][]byte {
			l[n-1] = bytes.Replace(l[n-1], []byte(`"events":`), []byte(`"events":1`), 1)
			return l
		}), n, uid(n), "fingerprint mismatch"},
		"something behind the end": {edit(func(l [][]byte) [][]byte { return append(l, l[1]) }), n + 1, uid(n), "behind the end"},
		"two cassettes":            {append(bytes.Clone(b.Bytes()), other...), n + 1, uid(n), "behind the end"},
		"not UTF-8":                {edit(func(l [][]byte) [][]byte { l[3] = append([]byte{0xff}, l[3]...); return l }), 4, uid(3), "not UTF-8"},
		"format is no number": {edit(func(l [][]byte) [][]byte {
			l[0] = bytes.Replace(l[0], []byte(`"cassette":1`), []byte(`"cassette":"one"`), 1)
			return l
		}), 1, "", "no positive integer"},
		"format zero": {edit(func(l [][]byte) [][]byte {
			l[0] = bytes.Replace(l[0], []byte(`"cassette":1`), []byte(`"cassette":0`), 1)
			return l
		}), 1, "", "no positive integer"},
		// By somebody who knows how events are sealed.
		"resealed without an operation": {reseal(t, whole, func(l [][]byte) [][]byte { return slices.Delete(l, 1, 9) }), n - 8, "", "states something else"},
		"resealed with another end": {reseal(t, whole, func(l [][]byte) [][]byte {
			l[n-1] = bytes.Replace(l[n-1], []byte(`"operations":8`), []byte(`"operations":7`), 1)
			return l
		}), n, "", "states something else"},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "x.ndjson")
			if err := os.WriteFile(path, c.content, 0o600); err != nil {
				t.Fatal(err)
			}
			_, err := replay.Run(t.Context(), replay.File(path), oldPlan())
			verified := replay.File(path).(interface {
				Verified(ctx context.Context) error
			}).Verified(t.Context())
			for _, err := range []error{err, verified} {
				var damage *replay.CassetteError
				if !errors.As(err, &damage) {
					t.Fatalf("not refused as damaged: %v", err)
				}
				if damage.Line != c.line || c.event != "" && damage.Event != c.event || damage.Path != path || !strings.Contains(err.Error(), c.want) || damage.Hint() == "" {
					t.Errorf("%v; want line %d, event %s, %q", err, c.line, c.event, c.want)
				}
			}
		})
	}
}

// reseal makes a history of its own of lines that were edited.
func reseal(t *testing.T, whole [][]byte, f func([][]byte) [][]byte) []byte {
	t.Helper()
	var link profile.Link
	var out bytes.Buffer
	for i, raw := range f(slices.Clone(whole)) {
		raw = bytes.TrimSpace(raw)
		h, err := profile.Parse(raw)
		if err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			link = profile.Link{Emitter: h.Emitter, Epoch: h.Epoch, Sequence: 1}
		}
		e, err := ocsf.Decode(raw)
		if err != nil {
			t.Fatal(err)
		}
		sealed, h, err := profile.SealHeader(e, link)
		if err != nil {
			t.Fatal(err)
		}
		link.Sequence++
		link.PrevUID, link.PrevFingerprint = h.MetadataUID, h.Fingerprint
		out.Write(append(sealed, '\n'))
	}
	return out.Bytes()
}

// TestFutureCassette: what a later Docket wrote is not guessed at.
func TestFutureCassette(t *testing.T) {
	var b bytes.Buffer
	(&screenplay{plan: oldPlan}).cassette(t, &b)
	for name, content := range map[string][]byte{
		"a later format":                  bytes.Replace(b.Bytes(), []byte(`"cassette":1`), []byte(`"cassette":7`), 1),
		"and of events that nobody knows": []byte(`{"metadata":{"version":"3.0.0"},"unmapped":{"docket":{"cassette":7}}}` + "\n" + `something else` + "\n"),
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "x.ndjson")
			if err := os.WriteFile(path, content, 0o600); err != nil {
				t.Fatal(err)
			}
			for _, opts := range [][]replay.Option{nil, {replay.RequireVerified()}} {
				_, err := replay.Run(t.Context(), replay.File(path), oldPlan(), opts...)
				var future *replay.CassetteVersionError
				if !errors.As(err, &future) {
					t.Fatalf("%v", err)
				}
				want := "written by a newer Docket: cassette format 7, this one reads up to 1"
				if future.Format != 7 || future.Path != path || !strings.Contains(err.Error(), want) || !strings.Contains(future.Hint(), "update") {
					t.Errorf("%v (%s)", err, future.Hint())
				}
			}
		})
	}
}

// TestLenientReading: blank lines, the line ends of other systems, rows of a
// query: as the lines of an export.
func TestLenientReading(t *testing.T) {
	var b bytes.Buffer
	(&screenplay{plan: oldPlan}).cassette(t, &b)
	var rows bytes.Buffer
	for line := range bytes.Lines(b.Bytes()) {
		row, _ := json.Marshal(map[string]string{"_raw": string(bytes.TrimSpace(line))})
		rows.Write(append(row, '\n'))
	}
	for name, content := range map[string][]byte{
		"carriage returns": bytes.ReplaceAll(b.Bytes(), []byte("\n"), []byte("\r\n")),
		"blank lines":      append([]byte("\n"), bytes.ReplaceAll(b.Bytes(), []byte("\n"), []byte("\n\n"))...),
		"no last newline":  bytes.TrimSpace(b.Bytes()),
		"rows":             rows.Bytes(),
	} {
		path := filepath.Join(t.TempDir(), "x.ndjson")
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		if r, err := replay.Run(t.Context(), replay.File(path), oldPlan(), replay.RequireVerified()); err != nil || r.Same != len(requests) {
			t.Errorf("%s: %v, %v", name, r, err)
		}
	}
}

func TestTruncatedGzip(t *testing.T) {
	var b, z bytes.Buffer
	(&screenplay{plan: oldPlan}).cassette(t, &b)
	w := gzip.NewWriter(&z)
	if _, err := w.Write(b.Bytes()); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "x.ndjson.gz")
	for _, n := range []int{11, z.Len() / 2, z.Len() - 9, z.Len() - 1} {
		if err := os.WriteFile(path, z.Bytes()[:n], 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := replay.Run(t.Context(), replay.File(path), oldPlan())
		if err == nil || !strings.Contains(err.Error(), "unexpected EOF") || !strings.Contains(err.Error(), "line ") {
			t.Errorf("%d of %d bytes: %v", n, z.Len(), err)
		}
	}
}
