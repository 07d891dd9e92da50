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
	"strings"
	"testing"

	"github.com/docket-audit/docket/interceptor/replay"
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
