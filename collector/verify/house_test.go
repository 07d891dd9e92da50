// SPDX-License-Identifier: Apache-2.0

package verify

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/docket-audit/docket/collector/lake"
	"github.com/docket-audit/docket/collector/ledger"
	"github.com/docket-audit/docket/collector/store"
	"github.com/docket-audit/docket/internal/profile"
	"github.com/docket-audit/docket/ocsf"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		for _, m := range []*made{&furnished, &compacted, &small} {
			_ = os.RemoveAll(m.dir) // of the tests, in a directory for temporary ones
		}
		os.Exit(code)
	}))
}

// A house is a data directory in the making: a lake, a ledger, and an emitter's
// hand that seals events into them.
type house struct {
	t      testing.TB
	dir    string
	key    *ledger.Key
	lake   *lake.Lake
	ledger *ledger.Ledger
	signer ed25519.PrivateKey
	// tables is instead of lake.
	tables     tableStore
	openTables func() (tableStore, error)
	sql        func(sql string, to ...any) error //nolint:unused // as an administrator of the database; of tests that have one
	// options are those of the lake, beside its clock; thief lets events leave without
	// a word to the ledger.
	options lake.Options
	thief   bool

	now    int64
	uids   int
	epochs int
	stream uint64
	batch  store.Batch
}

// A tableStore is a store in tables.
type tableStore interface {
	store.Writer
	Close() error
}

type hashChain struct {
	epoch, tenant, emitter string
	version                string // of OCSF
	sequence               int64
	uid, fingerprint       string
}

func newHouse(t *testing.T) *house {
	t.Helper()
	h := newEmpty(t, filepath.Join(t.TempDir(), "data"))
	h.open()
	return h
}

func newEmpty(t testing.TB, dir string) *house {
	t.Helper()
	h := &house{t: t, dir: dir, now: 1_793_215_000_000}
	seed := bytes.Repeat([]byte{7}, ed25519.SeedSize)
	h.signer = ed25519.NewKeyFromSeed(seed)
	public := h.signer.Public().(ed25519.PublicKey)
	h.write("FORMAT", []byte("1\n"))
	h.write("keys/emitter.vkey", []byte(base64.StdEncoding.EncodeToString(public)+"\n"))
	t.Cleanup(h.close)
	return h
}

// A made is a house that many tests begin with. It is made once, because a ledger
// takes its time; they take copies.
type made struct {
	once sync.Once
	dir  string
	house
}

// copy returns a copy of it, closed. The first one to ask has it made, in a directory
// that is empty.
func (m *made) copy(t *testing.T, build func(dir string) *house) *house {
	t.Helper()
	m.once.Do(func() {
		dir, err := os.MkdirTemp("", "docket-verify-")
		if err != nil {
			t.Fatal(err)
		}
		m.dir = dir
		h := build(filepath.Join(dir, "data"))
		h.close()
		m.house = *h
	})
	if m.house.dir == "" {
		t.Fatal("what this test begins with could not be made")
	}
	h := m.house
	h.t, h.dir = t, filepath.Join(t.TempDir(), "data")
	copyDir(t, h.dir, m.house.dir)
	t.Cleanup(h.close)
	return &h
}

// furnished is the story that most tests begin with.
var furnished made

// newFurnished returns a copy of it, closed.
func newFurnished(t *testing.T) *house {
	t.Helper()
	return furnished.copy(t, func(dir string) *house {
		h := newEmpty(t, dir)
		h.open()
		return h.furnish()
	})
}

// open begins or goes on.
func (h *house) open() {
	h.t.Helper()
	var err error
	if h.key, err = ledger.OpenKey(filepath.Join(h.dir, "keys", "ledger.key"), filepath.Join(h.dir, "keys", "ledger.vkey")); err != nil {
		h.t.Fatal(err)
	}
	o := h.options
	o.Now = func() time.Time { return time.UnixMilli(h.now) }
	if !h.thief {
		o.Warrant = func(statement []byte) error { return h.ledger.Warrant(statement) }
	}
	if h.openTables != nil {
		h.tables, err = h.openTables()
	} else {
		h.lake, err = lake.Open(filepath.Join(h.dir, "lake"), o)
	}
	if err != nil {
		h.t.Fatal(err)
	}
	if h.ledger, err = h.openLedger(); err != nil {
		h.t.Fatal(err)
	}
}

// openLedger opens it over whatever statements there are, as some tests bring
// about what a docket would never begin with.
func (h *house) openLedger() (*ledger.Ledger, error) {
	o := ledger.Options{Kept: filepath.Join(h.dir, keptPath), Removes: lake.Removes, Warrants: filepath.Join(h.dir, warrantPath)}
	if h.openTables != nil {
		o.Removes = nil // nothing leaves tables by a statement
	}
	return ledger.Open(context.Background(), filepath.Join(h.dir, "ledger"), h.key, o)
}

func (h *house) close() {
	if h.lake == nil && h.tables == nil {
		return
	}
	if err := h.ledger.Close(context.Background()); err != nil {
		h.t.Error(err)
	}
	var err error
	if h.tables != nil {
		err = h.tables.Close()
	} else {
		err = h.lake.Close()
	}
	if err != nil {
		h.t.Error(err)
	}
	h.lake, h.tables = nil, nil
}

func (h *house) write(path string, b []byte) {
	h.t.Helper()
	full := filepath.Join(h.dir, filepath.FromSlash(path))
	if err := os.MkdirAll(filepath.Dir(full), 0o750); err != nil {
		h.t.Fatal(err)
	}
	if err := os.WriteFile(full, b, 0o600); err != nil {
		h.t.Fatal(err)
	}
}

func (h *house) read(path string) []byte {
	h.t.Helper()
	b, err := os.ReadFile(filepath.Join(h.dir, filepath.FromSlash(path)))
	if err != nil {
		h.t.Fatal(err)
	}
	return b
}

// begin opens an epoch with its start event. Every other epoch is of the newer
// OCSF, as if the emitters were configured anew now and then.
func (h *house) begin(tenant, emitter string, closes ...*hashChain) *hashChain {
	h.t.Helper()
	c := &hashChain{epoch: h.uid(), tenant: tenant, emitter: emitter, version: profile.Versions()[h.epochs%2]}
	h.epochs++
	docket := map[string]any{"lifecycle": "start"}
	var list []any
	for _, old := range closes {
		list = append(list, map[string]any{"epoch": old.epoch, "last_sequence": old.sequence, "fingerprint": old.fingerprint})
	}
	if list != nil {
		docket["closes"] = list
	}
	h.lifecycle(c, ocsf.ApplicationLifecycleStart, docket)
	return c
}

func (h *house) uid() string {
	h.uids++
	return fmt.Sprintf("0199c1f2-7a10-7c3e-9b1d-%012d", h.uids)
}

func (h *house) lifecycle(c *hashChain, activity ocsf.ApplicationLifecycleActivityID, docket map[string]any) {
	h.put(c, &ocsf.ApplicationLifecycle{
		ActivityID: activity,
		Base:       ocsf.Base{SeverityID: ocsf.SeverityInformational, Metadata: ocsf.Metadata{EventCode: profile.KindLifecycle}, Unmapped: map[string]any{profile.Unmapped: docket}},
		App:        &ocsf.Product{Name: "docket"},
	})
}

func (h *house) head(c *hashChain) map[string]any {
	m := &head{Epoch: c.epoch, Sequence: c.sequence, Fingerprint: c.fingerprint}
	return map[string]any{
		"epoch": m.Epoch, "sequence": m.Sequence, "fingerprint": m.Fingerprint, "algorithm": "Ed25519",
		"key":       keyName(h.signer.Public().(ed25519.PublicKey)),
		"signature": base64.StdEncoding.EncodeToString(ed25519.Sign(h.signer, m.message())),
	}
}

func (h *house) stop(c *hashChain) {
	h.lifecycle(c, ocsf.ApplicationLifecycleStop, map[string]any{"lifecycle": "stop", "head": h.head(c)})
}

func (h *house) state(c *hashChain) {
	h.lifecycle(c, ocsf.ApplicationLifecycleOther, map[string]any{"lifecycle": "head", "head": h.head(c)})
}

// outcomes seals n outcomes, every other one a deny.
func (h *house) outcomes(c *hashChain, n int) {
	for i := range n {
		h.put(c, &ocsf.APIActivity{
			ActivityID: ocsf.APIActivityCreate, StatusID: ocsf.StatusSuccess,
			Base: ocsf.Base{
				SeverityID: ocsf.SeverityInformational,
				ActionID:   ocsf.ActionAllowed + ocsf.ActionID(i%2), DispositionID: ocsf.DispositionAllowed + ocsf.DispositionID(i%2),
				Metadata: ocsf.Metadata{EventCode: profile.KindOutcome, CorrelationUID: h.uid(), Profiles: []string{"security_control"}},
				API:      &ocsf.API{Operation: "CreateSandbox", Service: &ocsf.Service{Name: "sandbox.v1.Sandboxes"}},
				Actor:    &ocsf.Actor{User: &ocsf.User{UID: "alice"}},
			},
			SrcEndpoint: &ocsf.NetworkEndpoint{IP: "192.0.2.7"},
		})
	}
}

// put seals an event and puts it into the batch.
func (h *house) put(c *hashChain, e ocsf.Event) {
	h.t.Helper()
	raw := h.seal(c, e)
	header, err := profile.Parse(raw)
	if err != nil {
		h.t.Fatal(err)
	}
	h.stream++
	h.batch.Entries = append(h.batch.Entries, store.Entry{Raw: raw, Header: header, StreamSeq: h.stream})
}

func (h *house) seal(c *hashChain, e ocsf.Event) []byte {
	h.t.Helper()
	h.now += 3
	b := e.Common()
	b.Time, b.Metadata.TenantUID, b.Metadata.UID, b.Metadata.Version = h.now, c.tenant, h.uid(), c.version
	b.Metadata.Product = &ocsf.Product{Name: "docket"}
	raw, fingerprint, err := profile.Seal(e, profile.Link{Emitter: c.emitter, Epoch: c.epoch, Sequence: c.sequence + 1, PrevUID: c.uid, PrevFingerprint: c.fingerprint})
	if err != nil {
		h.t.Fatal(err)
	}
	c.sequence, c.uid, c.fingerprint = c.sequence+1, b.Metadata.UID, fingerprint
	return raw
}

// commit stores the batch, as a collector does.
func (h *house) commit() {
	h.t.Helper()
	h.add(h.store())
}

// add gives the ledger a statement.
func (h *house) add(number uint64) {
	h.t.Helper()
	if h.ledger == nil {
		return // it will be made of all statements at once
	}
	if h.tables != nil {
		for raw, err := range h.tables.Statements(number) {
			if err == nil {
				err = h.ledger.Add(context.Background(), raw)
			}
			if err != nil {
				h.t.Fatal(err)
			}
		}
		return
	}
	if err := h.ledger.Add(context.Background(), h.read(statementPlace(number).File)); err != nil {
		h.t.Fatal(err)
	}
}

// store is commit without the ledger.
func (h *house) store() uint64 {
	h.t.Helper()
	h.batch.StreamSeq = h.stream
	var to store.Writer = h.lake
	if h.tables != nil {
		to = h.tables
	}
	done, err := to.Commit(context.Background(), h.batch)
	if err != nil {
		h.t.Fatal(err)
	}
	h.batch = store.Batch{}
	return done.Number
}

// furnish stores a story: a stopped epoch, a crashed one, two open ones, and
// something in quarantine.
func (h *house) furnish() *house {
	h.t.Helper()
	a := h.begin("acme", "gw-0")
	h.outcomes(a, 5)
	h.commit()
	b := h.begin("globex", "gw-0")
	h.outcomes(a, 4)
	h.outcomes(b, 3)
	h.commit()
	h.stop(a)
	h.outcomes(b, 2)
	h.batch.Quarantined = []store.Quarantined{{Subject: "docket.activity.x", Data: []byte("garbage"), StreamSeq: 99, Reason: "undecodable"}}
	h.stream = 99
	h.commit()
	// The emitter crashes and comes back.
	h.now += 500
	c := h.begin("globex", "gw-0", b)
	h.outcomes(c, 3)
	h.state(c)
	h.outcomes(c, 1)
	h.commit()
	d := h.begin("initech", "gw-1")
	h.outcomes(d, 2)
	h.commit()
	return h
}

func (h *house) run(opts Options) *Report {
	h.t.Helper()
	r, err := Run(h.t.Context(), h.dir, opts)
	if err != nil {
		h.t.Fatal(err)
	}
	return r
}

// copyDir copies a directory.
func copyDir(t *testing.T, to, from string) {
	t.Helper()
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
}

// files returns the files below a directory of the house whose names have a
// suffix.
func (h *house) files(dir, suffix string) []string {
	h.t.Helper()
	var list []string
	err := fs.WalkDir(os.DirFS(h.dir), dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() && strings.HasSuffix(path, suffix) {
			list = append(list, path)
		}
		return err
	})
	if err != nil {
		h.t.Fatal(err)
	}
	slices.Sort(list)
	return list
}

// expect runs both kinds of verification, wants code 3 from each, and each of
// the phrases in one problem.
func (h *house) expect(opts Options, phrases ...string) {
	h.t.Helper()
	for _, opts.Deep = range []bool{false, true} {
		r := h.run(opts)
		if r.Code() != CodeFound {
			h.t.Errorf("deep %v: code %d, problems %v", opts.Deep, r.Code(), r.Problems)
		}
		h.find(r, phrases...)
	}
}

// expectDeep wants of a verification of all rows what expect wants, and of one
// that believes the statements, which are signed, that it finds nothing.
func (h *house) expectDeep(opts Options, phrases ...string) {
	h.t.Helper()
	if r := h.run(opts); r.Code() != CodeFine {
		h.t.Errorf("not deep: %v; see expect", r.Problems)
	}
	opts.Deep = true
	r := h.run(opts)
	if r.Code() != CodeFound {
		h.t.Errorf("code %d, problems %v", r.Code(), r.Problems)
	}
	h.find(r, phrases...)
}

// find wants a problem with all of the phrases.
func (h *house) find(r *Report, phrases ...string) {
	h.t.Helper()
	if !slices.ContainsFunc(r.Problems, func(p Problem) bool {
		return !slices.ContainsFunc(phrases, func(s string) bool { return !strings.Contains(p.String(), s) })
	}) {
		var b strings.Builder
		for _, p := range r.Problems {
			fmt.Fprintf(&b, "\n  %s", p)
		}
		h.t.Errorf("deep %v: no problem with %q; there are:%s", r.Deep, phrases, b.String())
	}
}

func lines(r *Report) map[string]string {
	m := map[string]string{}
	for i := range r.Epochs {
		m[r.Epochs[i].UID] = r.Epochs[i].Line()
	}
	return m
}

func sortedLines(r *Report) []string { return slices.Sorted(maps.Values(lines(r))) }
