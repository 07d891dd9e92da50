// SPDX-License-Identifier: Apache-2.0

package prove

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/mod/sumdb/note"

	"github.com/docket-audit/docket/collector/lake"
	"github.com/docket-audit/docket/collector/ledger"
	"github.com/docket-audit/docket/collector/ledger/proof"
	"github.com/docket-audit/docket/collector/store"
	"github.com/docket-audit/docket/internal/profile"
	"github.com/docket-audit/docket/ocsf"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A house is a data directory in the making.
type house struct {
	t      *testing.T
	dir    string
	vkey   string
	lake   *lake.Lake
	ledger *ledger.Ledger
	uids   int
	stream uint64
	batch  store.Batch
	all    []string // uids of the events, in the order of the stream
}

func newHouse(t *testing.T) *house {
	t.Helper()
	h := &house{t: t, dir: t.TempDir()}
	key, err := ledger.OpenKey(filepath.Join(h.dir, "keys", "ledger.key"), filepath.Join(h.dir, "keys", "ledger.vkey"))
	if err != nil {
		t.Fatal(err)
	}
	h.vkey = key.Verifier()
	if h.lake, err = lake.Open(filepath.Join(h.dir, "lake"), lake.Options{}); err != nil {
		t.Fatal(err)
	}
	if h.ledger, err = ledger.Open(t.Context(), filepath.Join(h.dir, "ledger"), key, ledger.Options{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(h.close)
	return h
}

func (h *house) close() {
	if h.lake == nil {
		return
	}
	if err := errors.Join(h.lake.Close(), h.ledger.Close(context.Background())); err != nil {
		h.t.Error(err)
	}
	h.lake = nil
}

func (h *house) uid() string {
	h.uids++
	return fmt.Sprintf("0199c1f2-7a10-7c3e-9b1d-%012d", h.uids)
}

// event seals an event of its own epoch into the batch.
func (h *house) event(tenant, version string, day int, uid string, e ocsf.Event) {
	h.t.Helper()
	b := e.Common()
	b.SeverityID = ocsf.SeverityInformational
	b.Time = 1_793_215_000_000 + int64(day)*24*60*60*1000 + int64(h.uids)
	b.Metadata.TenantUID, b.Metadata.UID, b.Metadata.Version, b.Metadata.Product = tenant, uid, version, &ocsf.Product{Name: "docket"}
	raw, _, err := profile.Seal(e, profile.Link{Emitter: "gw", Epoch: h.uid(), Sequence: 1})
	if err != nil {
		h.t.Fatal(err)
	}
	header, err := profile.Parse(raw)
	if err != nil {
		h.t.Fatal(err)
	}
	h.stream++
	h.all = append(h.all, uid)
	h.batch.Entries = append(h.batch.Entries, store.Entry{Raw: raw, Header: header, StreamSeq: h.stream})
}

func outcome(principal string) ocsf.Event {
	return &ocsf.APIActivity{
		ActivityID: ocsf.APIActivityCreate, StatusID: ocsf.StatusSuccess,
		Base: ocsf.Base{
			ActionID: ocsf.ActionDenied, DispositionID: ocsf.DispositionBlocked,
			Metadata: ocsf.Metadata{EventCode: profile.KindOutcome, Profiles: []string{"security_control"}},
			API:      &ocsf.API{Operation: "CreateSandbox"}, Actor: &ocsf.Actor{User: &ocsf.User{UID: principal}},
		},
		SrcEndpoint: &ocsf.NetworkEndpoint{IP: "192.0.2.7"},
	}
}

func lifecycle() ocsf.Event {
	return &ocsf.ApplicationLifecycle{
		ActivityID: ocsf.ApplicationLifecycleStart, App: &ocsf.Product{Name: "docket"},
		Base: ocsf.Base{Metadata: ocsf.Metadata{EventCode: profile.KindLifecycle}, Unmapped: map[string]any{profile.Unmapped: map[string]any{"lifecycle": "start"}}},
	}
}

// commit stores the batch, as a collector does; the ledger may be left behind.
func (h *house) commit(ledgered bool) {
	h.t.Helper()
	h.batch.StreamSeq = h.stream
	done, err := h.lake.Commit(context.Background(), h.batch)
	if err != nil {
		h.t.Fatal(err)
	}
	h.batch = store.Batch{}
	if ledgered {
		h.enter(done.Number)
	}
}

// enter puts a statement into the ledger.
func (h *house) enter(number uint64) {
	h.t.Helper()
	statement, err := lake.ReadStatement(h.lake.Dir(), number)
	if err != nil {
		h.t.Fatal(err)
	}
	if err := h.ledger.Add(context.Background(), statement); err != nil {
		h.t.Fatal(err)
	}
}

// furnish stores a few commits of several tenants, classes and days.
func (h *house) furnish() *house {
	for n := range 4 {
		for i := range 1 + 3*n {
			h.event([]string{"acme", "globex", "ev\til"}[i%3], profile.Versions()[i%2], i%2, h.uid(), outcome("al\x1b[31mice"))
			if i%4 == 0 {
				h.event("acme", profile.Versions()[i%2], 0, h.uid(), lifecycle())
			}
		}
		h.commit(true)
	}
	return h
}

// expect proves every event, and checks the proofs.
func (h *house) expect() {
	h.t.Helper()
	for _, uid := range h.all {
		m, err := Make(h.t.Context(), h.dir, uid, Options{})
		if err != nil {
			h.t.Fatal(err)
		}
		p, err := Check(m.Proof, h.vkey)
		if err != nil || p.UID != uid || p.Header.MetadataUID != uid || m.Others != 0 {
			h.t.Fatalf("the proof of %s: %+v, %v", uid, p, err)
		}
		if _, err := Check(m.Proof, strings.Replace(h.vkey, "A", "B", 1)); err == nil {
			h.t.Error("another key will do")
		}
	}
}

func TestMake(t *testing.T) {
	h := newHouse(t).furnish()
	h.expect() // beside the writer
	h.close()
	h.expect()
	if _, err := Make(t.Context(), h.dir, "no-such-event", Options{}); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("no event: %v", err)
	}
	if _, err := Make(t.Context(), t.TempDir(), h.all[0], Options{Key: h.vkey}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no directory: %v", err)
	}
}

// Rows that compaction moved to other files, sorted otherwise, are proven by the
// statement of the commit that added them; and those that come after as well.
func TestAfterCompaction(t *testing.T) {
	h := newHouse(t).furnish()
	done, err := h.lake.Compact(t.Context(), true, func(put func(fence uint64) error) error { return put(0) })
	if err != nil || done.Rows != int64(len(h.all)) {
		t.Fatalf("compacted %+v, %v", done, err)
	}
	h.enter(done.Number)
	if hot, err := filepath.Glob(filepath.Join(h.dir, "lake", lake.HotDir, "*.parquet")); err != nil || len(h.lake.Files()) == len(hot) {
		t.Fatalf("nothing was compacted: %v, %v", hot, err)
	}
	h.expect()
	h.event("acme", "", 0, h.uid(), lifecycle())
	h.commit(true)
	h.close()
	h.expect()
}

func TestNotYetInTheLedger(t *testing.T) {
	h := newHouse(t).furnish()
	uid := h.uid()
	h.event("acme", "", 0, uid, lifecycle())
	h.commit(false)
	if _, err := Make(t.Context(), h.dir, uid, Options{}); !errors.Is(err, ledger.ErrNotYet) {
		t.Errorf("an event whose statement has no leaf: %v", err)
	}
}

// An emitter may give one uid to two events.
func TestOneUIDTwice(t *testing.T) {
	h := newHouse(t).furnish()
	h.event("acme", "", 0, h.all[0], lifecycle())
	h.commit(true)
	m, err := Make(t.Context(), h.dir, h.all[0], Options{})
	if err != nil || m.Others != 1 || m.Commit != 1 {
		t.Errorf("%+v, %v", m, err)
	}
}

// A damaged directory gives no proof: neither of what was changed nor of what
// was made of it.
func TestDamage(t *testing.T) {
	h := newHouse(t).furnish()
	h.close()
	uid := h.all[0] // which is in the first of the commits and of the segments
	damage := func(what, path string, change func(b []byte) []byte) {
		t.Helper()
		good, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, change(bytes.Clone(good)), 0o600); err != nil {
			t.Fatal(err)
		}
		if m, err := Make(t.Context(), h.dir, uid, Options{}); err == nil {
			t.Errorf("%s: proven: %+v", what, m.Proven)
		}
		if err := os.WriteFile(path, good, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	statement := filepath.Join(h.dir, "lake", lake.StatementPath(1))
	damage("a root", statement, func(b []byte) []byte {
		at := bytes.Index(b, []byte(`"root":"`)) + 8
		b[at] ^= 1
		return b
	})
	damage("a stored time", statement, func(b []byte) []byte {
		at := bytes.LastIndex(b, []byte(`"time":`)) + 8
		b[at] ^= 1
		return b
	})
	damage("a checkpoint", filepath.Join(h.dir, "ledger", "checkpoint"), func(b []byte) []byte {
		b[len(b)/2] ^= 1
		return b
	})
	tiles, err := filepath.Glob(filepath.Join(h.dir, "ledger", "tile", "0", "000.p", "4"))
	if err != nil || len(tiles) != 1 {
		t.Fatalf("tiles %v, %v", tiles, err)
	}
	damage("a tile", tiles[0], func(b []byte) []byte {
		b[40] ^= 1
		return b
	})
	damage("the key", filepath.Join(h.dir, "keys", "ledger.vkey"), func(b []byte) []byte { return []byte("nonsense") })
	h.expect()
}

// signed makes a proof of any event at all, in a ledger of its own: what two
// readers take for the event's tenant, class and day is the caller's to say.
func signed(t *testing.T, raw []byte, h *profile.Header) (file []byte, vkey string) {
	t.Helper()
	skey, vkey, err := note.GenerateKey(bytes.NewReader(bytes.Repeat([]byte{7}, 64)), "docket/test")
	if err != nil {
		t.Fatal(err)
	}
	signer, err := note.NewSigner(skey)
	if err != nil {
		t.Fatal(err)
	}
	fingerprint, err := hex.DecodeString(h.Fingerprint)
	if err != nil {
		t.Fatal(err)
	}
	root := proof.LeafHash(fingerprint)
	p := &proof.EventProof{Event: raw}
	if p.Statement, err = json.Marshal(map[string]any{"number": 1, "time": 1, "counts": []any{map[string]any{
		"tenant": h.Tenant, "class_uid": h.ClassUID, "day": time.UnixMilli(h.Time).UTC().Format("20060102"), "count": 1, "root": hex.EncodeToString(root[:]),
	}}}); err != nil {
		t.Fatal(err)
	}
	digest, err := hex.DecodeString(lake.Digest(p.Statement))
	if err != nil {
		t.Fatal(err)
	}
	root = proof.LeafHash(digest)
	if p.Checkpoint, err = note.Sign(&note.Note{Text: "docket/test\n1\n" + base64.StdEncoding.EncodeToString(root[:]) + "\n"}, signer); err != nil {
		t.Fatal(err)
	}
	return p.Encode(), vkey
}

// agree wants of any bytes that both readers of events take them for the same,
// or that there is no proof of them.
func agree(t *testing.T, raw []byte) {
	t.Helper()
	h, herr := profile.Check(raw)
	if herr != nil {
		h = profile.Header{Fingerprint: strings.Repeat("00", 32), Tenant: "acme", ClassUID: 6003, Time: 1}
		if parsed, err := profile.Parse(raw); err == nil {
			h = parsed
		}
	}
	file, vkey := signed(t, raw, &h)
	p, err := Check(file, vkey)
	switch {
	case herr != nil && err == nil:
		t.Errorf("%q is no event (%v), and is proven to be %+v", raw, herr, p)
	case herr == nil && err != nil:
		t.Errorf("%q is an event, and there is no proof of it: %v", raw, err)
	}
}

// corpus is what emitters sealed in both versions.
func corpus(t testing.TB) [][]byte {
	t.Helper()
	files, err := filepath.Glob("../../internal/profile/testdata/*.ndjson")
	if err != nil || len(files) < 2 {
		t.Fatalf("no events: %v, %v", files, err)
	}
	var all [][]byte
	for _, name := range files {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for line := range bytes.Lines(b) {
			all = append(all, bytes.TrimSpace(line))
		}
	}
	return all
}

func TestReadersAgree(t *testing.T) {
	sealed := 0
	for _, raw := range corpus(t) {
		agree(t, raw)
		if _, err := profile.Check(raw); err == nil {
			sealed++
		}
	}
	if sealed < 10 {
		t.Errorf("%d sealed events are no test", sealed)
	}
}

func FuzzReadersAgree(f *testing.F) {
	for _, raw := range corpus(f) {
		f.Add(raw)
	}
	f.Fuzz(agree)
}
