// SPDX-License-Identifier: Apache-2.0

package collector

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/docket-audit/docket/collector/lake"
	"github.com/docket-audit/docket/collector/store"
	"github.com/docket-audit/docket/collector/store/storetest"
	"github.com/docket-audit/docket/internal/profile"
)

// A book is a ledger in memory, which outlives collectors.
type book struct {
	mu     sync.Mutex
	leaves [][32]byte
}

func (b *book) Add(_ context.Context, statement []byte) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.leaves = append(b.leaves, sha256.Sum256(statement))
	return nil
}

func (b *book) Ensure(_ context.Context, statements iter.Seq2[[]byte, error]) (n int, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for s, err := range statements {
		if err != nil {
			return n, err
		}
		if d := sha256.Sum256(s); !slices.Contains(b.leaves, d) {
			b.leaves = append(b.leaves, d)
			n++
		}
	}
	return n, nil
}

var errKilled = errors.New("killed")

// A collector that is killed between any two steps, again and again, stores
// each event once, and the ledger has each statement.
func TestKilledAtEachStep(t *testing.T) {
	r := newRig(t)
	var b book
	e := storetest.NewEpoch(t, "acme", "gateway-0")
	sent := []store.Entry{e.Start()}
	r.publish(sent...)
	var places []string
	for _, when := range []string{"before", "after"} {
		for _, step := range []string{"plans", "commit", "ledger", "watermarks", "ack", "follow"} {
			places = append(places, when+" "+step)
		}
	}
	for i, place := range places {
		more := e.Operation()
		r.publish(more...)
		r.send("docket.activity.garbage", fmt.Appendf(nil, "garbage %d", i), nil)
		sent = append(sent, more...)
		run := r.start(func(c *Config) {
			c.Ledger = &b
			c.reached = func(p string) error {
				if p == place {
					return errKilled
				}
				return nil
			}
		})
		<-run.done
		if err := run.stop(); !errors.Is(err, errKilled) {
			t.Fatalf("%s: Run returned %v", place, err)
		}
	}
	r.publish(e.Stop())
	run := r.start(func(c *Config) { c.Ledger = &b })
	r.drained(run)
	if err := run.stop(); err != nil {
		t.Fatal(err)
	}
	reader, err := lake.OpenReader(r.dir + "/lake")
	if err != nil {
		t.Fatal(err)
	}
	if n := len(r.stored()); n != len(sent)+1 {
		t.Errorf("%d events stored of %d", n, len(sent)+1)
	}
	quarantined := int64(0)
	for _, q := range reader.Manifest().Quarantined {
		quarantined += q.Count
	}
	if quarantined != int64(len(places)) {
		t.Errorf("%d messages in quarantine, not %d", quarantined, len(places))
	}
	for s, err := range lake.Statements(r.dir+"/lake", 1) {
		if err != nil || !slices.Contains(b.leaves, sha256.Sum256(s)) {
			t.Errorf("a statement is not in the ledger (%v)", err)
		}
	}
	if m := r.mark(e.UID); m != fmt.Sprint(e.Sequence()) {
		t.Errorf("watermark is %s, not %d", m, e.Sequence())
	}
}

// What the stream sends again, and what an emitter publishes again, is stored
// once.
func TestDuplicatesOnTheStream(t *testing.T) {
	r := newRig(t)
	e := storetest.NewEpoch(t, "acme", "gateway-0")
	sent := append([]store.Entry{e.Start()}, e.Operation()...)
	r.publish(sent...)
	r.publish(sent...)
	run := r.start()
	r.drained(run)
	r.publish(sent[2:]...)
	r.drained(run)
	if err := run.stop(); err != nil {
		t.Fatal(err)
	}
	r.wantExactly(sent)
}

// Messages that are no events of their sender are put aside with the reason,
// and the collector goes on.
func TestQuarantine(t *testing.T) {
	r := newRig(t)
	e, other := storetest.NewEpoch(t, "acme", "gateway-0"), storetest.NewEpoch(t, "acme", "gateway-1")
	r.publish(e.Start(), other.Start())

	own := func(h profile.Header) (string, map[string]string) {
		return profile.Subject(profile.Prefix, h), map[string]string{
			profile.HeaderEventUID: h.MetadataUID, profile.HeaderEpoch: h.Epoch, profile.HeaderSequence: fmt.Sprint(h.Sequence),
		}
	}
	r.send("docket.activity.x", []byte("{"), nil)
	tampered := e.API(profile.KindOutcome, storetest.NewUID(), "") // sequence 2
	subject, headers := own(tampered.Header)
	r.send(subject, []byte(strings.Replace(string(tampered.Raw), "user-1", "user-2", 1)), headers)
	wrongSubject := e.Fork().API(profile.KindOutcome, storetest.NewUID(), "")
	_, headers = own(wrongSubject.Header)
	r.send(strings.Replace(subject, ".acme.", ".other.", 1), wrongSubject.Raw, headers)
	wrongHeader := e.Fork().API(profile.KindOutcome, storetest.NewUID(), "")
	subject, headers = own(wrongHeader.Header)
	headers[profile.HeaderSequence] = "77"
	r.send(subject, wrongHeader.Raw, headers)
	thief := e.Fork()
	thief.Emitter = "gateway-1"
	r.publish(thief.API(profile.KindOutcome, storetest.NewUID(), "")) // sequence 3 of another's epoch
	last := e.Stop()                                                  // sequence 3
	r.publish(last)

	run := r.start()
	r.drained(run)
	status := run.Status()
	if err := run.stop(); err != nil {
		t.Fatal(err)
	}
	reader, err := lake.OpenReader(r.dir + "/lake")
	if err != nil {
		t.Fatal(err)
	}
	var reasons []string
	for _, q := range reader.Manifest().Quarantined {
		messages, err := lake.ReadQuarantine(reader.Dir(), q.Path)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range messages {
			reasons = append(reasons, m.Reason)
		}
	}
	for i, want := range []string{"malformed event", "fingerprint mismatch", "subject", "headers", "another emitter's"} {
		if i >= len(reasons) || !strings.Contains(reasons[i], want) {
			t.Errorf("reason %d is not about %q: %q", i, want, reasons)
		}
	}
	// The tampered one came by its emitter's subject, so it accounts for its
	// sequence, which the epoch has passed; the one with a false header claims
	// what is still to come.
	for _, s := range status.Epochs {
		if s.Epoch != e.UID {
			continue
		}
		if s.Stored != 2 || s.Sequenced != 3 || s.Quarantined != 1 || s.Missing != 0 {
			t.Errorf("account is %+v", s)
		}
	}
}
