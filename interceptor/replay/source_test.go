// SPDX-License-Identifier: Apache-2.0

package replay_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/docket-audit/docket/interceptor/replay"
	"github.com/docket-audit/docket/internal/profile"
	"github.com/docket-audit/docket/ocsf"
)

func (h *history) write(t *testing.T, name string, line func(raw []byte) []byte) string {
	t.Helper()
	var b bytes.Buffer
	for _, raw := range h.raw {
		b.Write(line(raw))
		b.WriteString("\n\n")
	}
	path := filepath.Join(t.TempDir(), name)
	out := b.Bytes()
	if strings.HasSuffix(name, ".gz") {
		var z bytes.Buffer
		w := gzip.NewWriter(&z)
		if _, err := w.Write(out); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		out = z.Bytes()
	}
	if err := os.WriteFile(path, out, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestFile(t *testing.T) {
	h := record(t, oldPlan())
	plain := func(raw []byte) []byte { return raw }
	column := func(raw []byte) []byte {
		b, _ := json.Marshal(map[string]any{"_raw": string(raw), "_pos": 1})
		return b
	}
	for name, path := range map[string]string{
		"plain": h.write(t, "h.ndjson", plain), "gzip": h.write(t, "h.ndjson.gz", plain), "columns": h.write(t, "c.ndjson", column),
	} {
		report := replayed(t, replay.File(path), oldPlan, replay.RequireVerified())
		if report.Same != len(requests) {
			t.Errorf("%s: %s", name, report)
		}
	}
	tampered := func(old, by string) string {
		return h.write(t, "t.ndjson", func(raw []byte) []byte { return bytes.Replace(raw, []byte(old), []byte(by), 1) })
	}
	dropping := func(places ...int) func([]byte) []byte {
		n := -1
		return func(raw []byte) []byte {
			if n++; slices.Contains(places, n) {
				return nil
			}
			return raw
		}
	}
	missing := filepath.Join(t.TempDir(), "none")
	for name, c := range map[string]struct {
		source replay.Source
		opts   []replay.Option
		want   string
	}{
		"missing":    {replay.File(missing), nil, "no such file"},
		"where":      {replay.File(h.write(t, "h.ndjson", plain)), []replay.Option{replay.Where("kind = 'outcome'")}, "no conditions"},
		"not JSON":   {replay.File(tampered(`{"action"`, `{action`)), nil, "malformed"},
		"changed":    {replay.File(tampered(`evil:1`, `base:1`)), []replay.Option{replay.RequireVerified()}, "fingerprint mismatch"},
		"a gap":      {replay.File(h.write(t, "g.ndjson", dropping(5, 6, 9))), []replay.Option{replay.RequireVerified()}, "events of epoch 0199d0aa-0000-7000-8000-00000000e001 are missing: sequences 6 to 7, the first of so many gaps: 2"},
		"twice":      {replay.File(h.write(t, "d.ndjson", func(raw []byte) []byte { return slices.Concat(raw, []byte("\n"), raw) })), []replay.Option{replay.RequireVerified()}, "sequence 1 of epoch 0199d0aa-0000-7000-8000-00000000e001 is there twice"},
		"no verdict": {h, []replay.Option{replay.RequireVerified()}, "cannot tell"},
		"on fire":    {h, []replay.Option{replay.Where("broken")}, "on fire"},
	} {
		if _, err := replay.Run(context.Background(), c.source, oldPlan(), c.opts...); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := replay.Run(ctx, h, oldPlan()); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

// TestExportInAnyOrder: what is there is judged by the hash chain in whichever order
// it is stored, and one event that somebody sealed anew breaks it.
func TestExportInAnyOrder(t *testing.T) {
	h := record(t, oldPlan())
	mix := rand.New(rand.NewPCG(7, 7))
	for range 20 {
		mix.Shuffle(len(h.raw), func(i, j int) { h.raw[i], h.raw[j] = h.raw[j], h.raw[i] })
		path := h.write(t, "h.ndjson", func(raw []byte) []byte { return raw })
		if r, err := replay.Run(t.Context(), replay.File(path), oldPlan(), replay.RequireVerified()); err != nil || r.Same != len(requests) {
			t.Fatalf("%v, %v", r, err)
		}
		forged := h.write(t, "f.ndjson", func(raw []byte) []byte {
			head, err := profile.Parse(raw)
			if err != nil || head.Sequence != 9 {
				return raw
			}
			e, err := ocsf.Decode(raw)
			if err != nil {
				t.Fatal(err)
			}
			e.Common().Time++
			raw, _, err = profile.SealHeader(e, profile.Link{Emitter: head.Emitter, Epoch: head.Epoch, Sequence: 9, PrevUID: "0199d0aa-0000-7000-8000-000000000001", PrevFingerprint: head.PrevFingerprint})
			if err != nil {
				t.Fatal(err)
			}
			return raw
		})
		if _, err := replay.Run(t.Context(), replay.File(forged), oldPlan(), replay.RequireVerified()); err == nil || !strings.Contains(err.Error(), "breaks before sequence 10") {
			t.Fatalf("an event was sealed anew: %v", err)
		}
	}
}
