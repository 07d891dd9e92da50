// SPDX-License-Identifier: Apache-2.0

package recordpath

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/otel/metric/noop"

	"github.com/docket-audit/docket/cmd/internal/config"
	"github.com/docket-audit/docket/cmd/internal/datadir"
	"github.com/docket-audit/docket/collector/lake"
	"github.com/docket-audit/docket/collector/ledger"
	"github.com/docket-audit/docket/collector/retention"
	"github.com/docket-audit/docket/collector/store"
	"github.com/docket-audit/docket/collector/store/storetest"
	"github.com/docket-audit/docket/collector/verify"
	"github.com/docket-audit/docket/emitter"
	"github.com/docket-audit/docket/internal/natstest"
	"github.com/docket-audit/docket/internal/stream"
)

var all = retention.Erasure{Selection: retention.Selection{Tenant: "acme"}, Reference: "ticket 7"}

// A removal is a data directory with three events, and what may befall them.
type removal struct {
	t    *testing.T
	path string
	kept []byte // the checkpoint before anything befell them
}

func newRemoval(t *testing.T) *removal {
	t.Helper()
	r := &removal{t: t, path: filepath.Join(t.TempDir(), "data")}
	r.with(func(s *Stores) {
		entries := storetest.NewEpoch(t, "acme", "gateway-0").Operation()
		if err := s.commit(t.Context())(func(uint64) error {
			_, err := s.Lake.Commit(t.Context(), store.Batch{Entries: entries})
			return err
		}); err != nil {
			t.Fatal(err)
		}
		if err := s.Compact(t.Context(), func(store.Compacted) {}); err != nil {
			t.Fatal(err)
		}
	})
	var err error
	if r.kept, err = os.ReadFile(filepath.Join(r.path, "ledger", "checkpoint")); err != nil {
		t.Fatal(err)
	}
	return r
}

// with opens the stores and closes them.
func (r *removal) with(do func(*Stores)) {
	r.t.Helper()
	dir, s, err := r.open()
	if err != nil {
		r.t.Fatal(err)
	}
	do(s)
	if err := errors.Join(s.Close(r.t.Context()), dir.Close()); err != nil {
		r.t.Fatal(err)
	}
}

func (r *removal) open() (*datadir.Dir, *Stores, error) {
	r.t.Helper()
	dir, err := datadir.Own(r.path)
	if err != nil {
		r.t.Fatal(err)
	}
	s, err := OpenStores(r.t.Context(), new(config.Config), dir, slog.New(slog.NewTextHandler(r.t.Output(), nil)))
	if err != nil {
		if err := dir.Close(); err != nil {
			r.t.Error(err)
		}
		return nil, nil, err
	}
	return dir, s, nil
}

// unsigned lets the events leave by a statement without warrant and leaf, as who
// has no key can, and as a docket before there were warrants that is killed. It
// leaves the files, if they are to stay.
func (r *removal) unsigned(stay bool) {
	r.t.Helper()
	stop := errors.New("killed")
	l, err := lake.Open(filepath.Join(r.path, "lake"), lake.Options{Fault: func(point string) error {
		if stay && point == "remove begin" {
			return stop
		}
		return nil
	}})
	if err != nil {
		r.t.Fatal(err)
	}
	_, err = l.Erase(r.t.Context(), all, nil, func(put func(uint64) error) error { return put(l.LastFence()) }, func(retention.Left) {})
	if stay != errors.Is(err, stop) || l.Manifest().Rows() != 0 {
		r.t.Fatalf("erased: %v, %d rows", err, l.Manifest().Rows())
	}
	_ = l.Close()
}

func (r *removal) verify() *verify.Report {
	r.t.Helper()
	report, err := verify.Run(r.t.Context(), r.path, verify.Options{Deep: true, Against: r.kept})
	if err != nil {
		r.t.Fatal(err)
	}
	return report
}

func (r *removal) has(kind string) bool {
	return slices.ContainsFunc(r.verify().Problems, func(p verify.Problem) bool { return p.Kind == kind })
}

// What somebody without the key let leave, while its files are there, has not left:
// the start takes it back, and verify remembers.
func TestRemovalIsTakenBack(t *testing.T) {
	r := newRemoval(t)
	r.unsigned(true)
	if !r.has(verify.Signature) {
		t.Errorf("before the start: %v", r.verify().Problems)
	}
	for range 2 {
		r.with(func(s *Stores) {
			if n := s.Lake.Manifest().Rows(); n != 3 {
				t.Errorf("%d events are there", n)
			}
		})
		report := r.verify()
		if report.Code() != verify.CodeFine || report.Events != 3 || report.Statements != 2 || report.Ledger.Size != 2 {
			t.Errorf("after the start: %+v", report)
		}
		if !slices.ContainsFunc(report.Notes, func(n string) bool { return strings.Contains(n, "taken back") }) {
			t.Errorf("notes %q", report.Notes)
		}
	}
	// Whoever may erase it still can.
	r.with(func(s *Stores) {
		if done, err := s.Erase(t.Context(), all, func(retention.Left) {}); err != nil || done.Rows != 3 {
			t.Errorf("%+v, %v", done, err)
		}
	})
	if report := r.verify(); report.Code() != verify.CodeFine || report.Erased != 3 {
		t.Errorf("after an erasure: %+v", report)
	}
}

// Where the files are gone no start signs for it, however often it is tried, and
// what is missing can be proven before and after.
func TestRemovalIsNotSigned(t *testing.T) {
	r := newRemoval(t)
	r.unsigned(false)
	for range 2 {
		_, s, err := r.open()
		var hinted *ledger.Error
		if s != nil || !errors.Is(err, ledger.ErrNoWarrant) || !errors.Is(err, lake.ErrCorrupt) || !errors.As(err, &hinted) || !strings.Contains(hinted.Hint(), "--adopt-ledger") {
			t.Fatalf("open: %v", err)
		}
		if !r.has(verify.Signature) {
			t.Errorf("problems %v", r.verify().Problems)
		}
	}
	// With the leaf written by hand, or the warrant of another statement, it is the same.
	if err := os.WriteFile(filepath.Join(r.path, "keys", "ledger.warrant"), []byte("yes\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := r.open(); !errors.Is(err, ledger.ErrNoWarrant) {
		t.Errorf("with a warrant that is none: %v", err)
	}
}

// A docket that is killed between the statement and its leaf goes on: it has signed
// the warrant before.
func TestRemovalOutlastsACrash(t *testing.T) {
	r := newRemoval(t)
	dir, s, err := r.open()
	if err != nil {
		t.Fatal(err)
	}
	stop := errors.New("killed")
	_, err = s.Lake.Erase(t.Context(), all, nil, func(put func(uint64) error) error { return errors.Join(put(s.Lake.LastFence()), stop) }, func(retention.Left) {})
	if !errors.Is(err, stop) || s.Lake.Manifest().Number != 3 {
		t.Fatalf("statement %d, %v", s.Lake.Manifest().Number, err)
	}
	_ = s.Close(t.Context())
	if err := dir.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(r.path, "unclean"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if report := r.verify(); report.Code() != verify.CodeFine || report.Erased != 3 {
		t.Errorf("before the start: %v", report.Problems)
	}
	r.with(func(s *Stores) {
		if s.Lake.Manifest().Number != 3 {
			t.Errorf("statement %d", s.Lake.Manifest().Number)
		}
	})
	if report := r.verify(); report.Code() != verify.CodeFine || report.Erased != 3 || report.Ledger.Size != 3 || len(report.Notes) > 1 {
		t.Errorf("after the start: %v, %q", report.Problems, report.Notes)
	}
}

// A docket that starts over such a directory tells it in the record: what it took
// back, and, where it was told to go on without what is gone, that.
func TestRemovalIsTold(t *testing.T) {
	for _, stay := range []bool{true, false} {
		r := newRemoval(t)
		r.unsigned(stay)
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
		defer cancel()
		w := &world{t: t, nats: natstest.Run(t), ctx: ctx}
		w.js = w.nats.JetStream(t)
		if err := stream.Apply(ctx, w.js); err != nil {
			t.Fatal(err)
		}
		dir, err := datadir.Own(r.path)
		if err != nil {
			t.Fatal(err)
		}
		own, stopOwn := w.emitter(emitter.Config{Dir: dir.Join("wal"), Name: "collector"})
		cfg := new(config.Config)
		cfg.Collector.Flush = config.Duration(50 * time.Millisecond)
		log := slog.New(slog.NewTextHandler(t.Output(), nil))
		if p, err := Open(ctx, cfg, dir, w.nats.Conn(t), Allowed{}, own, log, noop.NewMeterProvider()); !stay && (p != nil || !errors.Is(err, ledger.ErrNoWarrant)) {
			t.Fatalf("without --adopt-ledger: %v", err)
		} else if stay {
			if err != nil {
				t.Fatal(err)
			}
			if err := p.Close(ctx); err != nil {
				t.Fatal(err)
			}
		}
		p, err := Open(ctx, cfg, dir, w.nats.Conn(t), Allowed{AdoptLedger: true}, own, log, noop.NewMeterProvider())
		if err != nil {
			t.Fatal(err)
		}
		running, end := context.WithCancel(ctx)
		done := make(chan error, 1)
		go func() { done <- p.Run(running) }()
		w.until("the finding to be stored", func() bool { return len(findings(t, ctx, p.Lake)) > 0 })
		end()
		told := findings(t, ctx, p.Lake)
		want := map[bool]string{true: findingRefused, false: findingAdopted}[stay]
		if len(told) != 1 || !strings.Contains(told[0], want) || !strings.Contains(told[0], "without a warrant") {
			t.Errorf("findings %q", told)
		}
		err = <-done
		stopOwn()
		if err := errors.Join(err, p.Close(ctx), dir.Close()); err != nil {
			t.Error(err)
		}
		report := r.verify()
		note := map[bool]string{true: "was taken back", false: "begun anew"}[stay]
		if report.Code() != verify.CodeFine || stay == (report.Erased > 0) || !slices.ContainsFunc(report.Notes, func(n string) bool { return strings.Contains(n, note) }) {
			t.Errorf("files stay %v: %d erased, %v, %q", stay, report.Erased, report.Problems, report.Notes)
		}
	}
}

// A compaction is no removal: killed between its statement and the leaf, it is made up
// for without a warrant. One that somebody forged to leave events out is signed for
// like that, and contradicts what was signed before.
func TestCompactionNeedsNoWarrant(t *testing.T) {
	for _, forged := range []bool{false, true} {
		r := newRemoval(t)
		if forged {
			r.leaveOut()
		} else {
			l, err := lake.Open(filepath.Join(r.path, "lake"), lake.Options{})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := l.Commit(t.Context(), store.Batch{Entries: storetest.NewEpoch(t, "acme", "gateway-1").Operation()}); err != nil {
				t.Fatal(err)
			}
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
			r.with(func(s *Stores) {
				stop := errors.New("killed")
				_, err := s.Lake.Compact(t.Context(), true, func(put func(uint64) error) error { return errors.Join(put(s.Lake.LastFence()), stop) })
				if !errors.Is(err, stop) || s.Lake.Manifest().Number != 4 {
					t.Fatalf("statement %d, %v", s.Lake.Manifest().Number, err)
				}
			})
		}
		want := r.verify().Statements
		r.with(func(s *Stores) {})
		report := r.verify()
		if report.Ledger.Size != want || report.Statements != want {
			t.Errorf("forged %v: %d statements, %d leaves, of %d", forged, report.Statements, report.Ledger.Size, want)
		}
		if code := map[bool]int{true: verify.CodeFound, false: verify.CodeFine}[forged]; report.Code() != code {
			t.Errorf("forged %v: code %d, %v", forged, report.Code(), report.Problems)
		}
	}
}

// leaveOut writes a compaction that puts nothing in the place of the public files.
func (r *removal) leaveOut() {
	r.t.Helper()
	dir := filepath.Join(r.path, "lake")
	m, err := lake.Fold(lake.Statements(dir, 1))
	if err != nil {
		r.t.Fatal(err)
	}
	s := lake.Statement{
		Number: m.Number + 1, Prev: m.Statement, Time: m.Time, StreamSeq: m.StreamSeq, Fence: m.Fence,
		Added: []lake.File{}, Counts: []lake.Count{}, Epochs: map[string]lake.Progress{}, Quarantined: []lake.Quarantine{},
	}
	for _, f := range m.Files {
		s.Removed = append(s.Removed, lake.Removed{Path: f.Path, SHA256: f.SHA256, Reason: lake.ReasonCompaction})
	}
	b, err := s.Encode()
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, filepath.FromSlash(lake.StatementPath(s.Number))), b, 0o600)
	}
	if err != nil {
		r.t.Fatal(err)
	}
}
