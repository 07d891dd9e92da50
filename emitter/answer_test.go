// SPDX-License-Identifier: Apache-2.0

package emitter

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/docket-audit/docket/internal/natstest"
	"github.com/docket-audit/docket/internal/stream"
)

// asked is a server with a stream, and who asks an emitter on it.
type asked struct {
	t  *testing.T
	s  *natstest.Server
	js jetstream.JetStream
	nc *nats.Conn
}

func newAsked(t *testing.T) *asked {
	t.Helper()
	a := &asked{t: t, s: natstest.Run(t)}
	a.js, a.nc = a.s.JetStream(t), a.s.Conn(t)
	if err := stream.Apply(t.Context(), a.js); err != nil {
		t.Fatal(err)
	}
	return a
}

// ask asks until the emitter listens, and returns what it says: each part as
// first-last: answer, and the reason's first word.
func (a *asked) ask(ranges ...stream.Range) []string {
	a.t.Helper()
	q := stream.Question{Ranges: ranges}
	b, err := q.Encode()
	if err != nil {
		a.t.Fatal(err)
	}
	var m *nats.Msg
	until(a.t, "an answer", func() bool {
		m, err = a.nc.Request(stream.HolesSubject("gateway-0"), b, time.Minute)
		return !errors.Is(err, nats.ErrNoResponders)
	})
	if err != nil {
		a.t.Fatal(err)
	}
	answer, err := stream.ParseAnswer(m.Data, q)
	if err != nil {
		a.t.Fatal(err)
	}
	var said []string
	for _, p := range answer.Ranges {
		why, _, _ := strings.Cut(p.Why, ":")
		said = append(said, strings.TrimRight(fmt.Sprintf("%d-%d: %s %s", p.First, p.Last, p.Answer, why), " "))
	}
	return said
}

func (a *asked) wantSaid(what string, got []string, want ...string) {
	a.t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		a.t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

// filled emits n events, waits until they are on the stream, and returns their
// epoch: of n+1 events, with the start event.
func (a *asked) filled(e *fixture, n int) (epoch string) {
	a.t.Helper()
	var last Receipt
	for i := range n {
		last = e.Emit(a.t.Context(), event("acme", fmt.Sprint("payload-", i)))
		if err := last.Spooled(within(a.t)); err != nil {
			a.t.Fatal(err)
		}
	}
	if err := last.Streamed(within(a.t)); err != nil {
		a.t.Fatal(err)
	}
	return last.group.places[last.index].epoch
}

func (a *asked) purge() {
	a.t.Helper()
	s, err := a.js.Stream(a.t.Context(), "DOCKET")
	if err != nil {
		a.t.Fatal(err)
	}
	if err := s.Purge(a.t.Context()); err != nil {
		a.t.Fatal(err)
	}
}

// sequences returns those of an epoch on the stream, in its order.
func (a *asked) sequences(epoch string) (list []int64) {
	a.t.Helper()
	for _, m := range onStream(a.t, a.js) {
		if m.Epoch == epoch {
			list = append(list, m.Sequence)
		}
	}
	return list
}

// What was purged from the stream before a store had it is sent again, in order
// and with the same bytes; asked twice, it is sent once.
func TestAnswerResends(t *testing.T) {
	a := newAsked(t)
	var now atomic.Int64
	now.Store(time.Now().UnixNano())
	e := start(t, t.TempDir(), a.s.Conn(t), func(c *Config) {
		c.WALFileBytes = minFileBytes // so that ranges lie in many files
		c.Now = func() time.Time { return time.Unix(0, now.Load()) }
	})
	epoch := a.filled(e, 40)
	before := onStream(t, a.js)
	a.purge()
	want := []string{"3-5: resent", "8-30: resent"}
	ranges := []stream.Range{{Epoch: epoch, First: 8, Last: 30}, {Epoch: epoch, First: 3, Last: 5}}
	a.wantSaid("the first time", a.ask(ranges...), want...)
	if got := e.State().Resent; got != 26 {
		t.Errorf("%d events were sent again", got)
	}
	after := onStream(t, a.js)
	for i, n := range append([]int{3, 4, 5}, sequence(8, 30)...) {
		if i >= len(after) || string(after[i].raw) != string(before[n-1].raw) || after[i].subject != before[n-1].subject {
			t.Fatalf("place %d of the stream does not have sequence %d again", i, n)
		}
	}
	// Within a while it is told and not done again, except what is new.
	a.wantSaid("the second time", a.ask(stream.Range{Epoch: epoch, First: 3, Last: 9}),
		"3-5: resent a moment ago", "6-7: resent", "8-9: resent a moment ago")
	if got := e.State().Resent; got != 28 {
		t.Errorf("%d events were sent again", got)
	}
	now.Add(int64(resendAgain) + 1)
	a.purge()
	a.wantSaid("a while later", a.ask(stream.Range{Epoch: epoch, First: 3, Last: 3}), "3-3: resent")
	if got := a.sequences(epoch); !cmp.Equal(got, []int64{3}) {
		t.Errorf("on the stream: %v", got)
	}
	if troubles := e.State().Troubles; len(troubles) > 0 {
		t.Errorf("troubles %v", troubles)
	}
	e.close()
}

func sequence(first, last int) (list []int) {
	for n := first; n <= last; n++ {
		list = append(list, n)
	}
	return list
}

// The next start answers for the epochs of the one before, as far as the WAL
// goes back to them.
func TestAnswerAfterARestart(t *testing.T) {
	a := newAsked(t)
	dir := t.TempDir()
	e := start(t, dir, a.s.Conn(t))
	epoch := a.filled(e, 10)
	e.close()
	e = start(t, dir, a.s.Conn(t))
	// What an earlier start left is sent again first; then it may be asked for.
	until(t, "everything on the stream", func() bool { return e.State().Behind == 0 })
	a.purge()
	a.wantSaid("an earlier epoch", a.ask(stream.Range{Epoch: epoch, First: 2, Last: 4}), "2-4: resent")
	a.wantSaid("beyond its end", a.ask(stream.Range{Epoch: epoch, First: 12, Last: 14}), "12-12: resent", "13-14: gone beyond sequence 12, the last of the epoch that is known here")
	if got := a.sequences(epoch); !cmp.Equal(got, []int64{2, 3, 4, 12}) {
		t.Errorf("on the stream: %v", got)
	}
	e.close()
}

func TestAnswerGone(t *testing.T) {
	a := newAsked(t)
	dir := t.TempDir()
	e := start(t, dir, a.s.Conn(t), func(c *Config) { c.WALFileBytes, c.TrimBy = minFileBytes, TrimByStream })
	epoch := a.filled(e, 40)
	until(t, "trimming", func() bool { _, n := e.wal.size(); return n <= 2 })
	a.wantSaid("trimmed", a.ask(stream.Range{Epoch: epoch, First: 1, Last: 20}), "1-20: gone trimmed")
	a.wantSaid("another's", a.ask(stream.Range{Epoch: newUID(), First: 1, Last: 20}), "1-20: not_mine")
	a.wantSaid("not there yet", a.ask(stream.Range{Epoch: epoch, First: 42, Last: 50}), "42-50: later the epoch has come to sequence 41")
	e.close()
}

// A record that a disk lost, behind sound ones, is gone; what is around it is not.
func TestAnswerDamaged(t *testing.T) {
	a := newAsked(t)
	dir := t.TempDir()
	e := start(t, dir, a.s.Conn(t))
	epoch := a.filled(e, 10)
	path := onlyFile(t, dir)
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	at := strings.Index(string(b), "payload-4")
	if _, err := f.WriteAt([]byte{b[at] ^ 4}, int64(at)); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	a.wantSaid("damaged", a.ask(stream.Range{Epoch: epoch, First: 3, Last: 9}), "3-5: resent", "6-6: gone damaged", "7-9: resent")
	until(t, "the notice on the stream", func() bool {
		for _, m := range onStream(t, a.js) {
			if strings.Contains(string(m.raw), `"lifecycle":"recovery"`) {
				return true
			}
		}
		return false
	})
	e.close()
}

// What cannot be sent now is not gone.
func TestAnswerLater(t *testing.T) {
	a := newAsked(t)
	e := start(t, t.TempDir(), a.s.Conn(t))
	epoch := a.filled(e, 10)
	s, err := a.js.Stream(t.Context(), "DOCKET")
	if err != nil {
		t.Fatal(err)
	}
	was := s.CachedInfo().Config
	for _, tt := range []struct {
		name   string
		change func(*jetstream.StreamConfig)
	}{
		{"full", func(c *jetstream.StreamConfig) { c.MaxMsgs = 11 }},
		{"weaker", func(c *jetstream.StreamConfig) { c.MaxAge = time.Hour }},
	} {
		c := was
		tt.change(&c)
		if _, err := a.js.UpdateStream(t.Context(), c); err != nil {
			t.Fatal(err)
		}
		got := a.ask(stream.Range{Epoch: epoch, First: 3, Last: 5})
		if len(got) != 1 || !strings.HasPrefix(got[0], "3-5: later ") {
			t.Errorf("%s: %q", tt.name, got)
		}
	}
	if _, err := a.js.UpdateStream(t.Context(), was); err != nil {
		t.Fatal(err)
	}
	a.wantSaid("sound again", a.ask(stream.Range{Epoch: epoch, First: 3, Last: 5}), "3-5: resent")
	e.close()
}

// A message that is no question gets no answer and does no harm, and a flood of
// questions costs the stream what one does.
func TestAnswerHostileQuestions(t *testing.T) {
	a := newAsked(t)
	e := start(t, t.TempDir(), a.s.Conn(t))
	epoch := a.filled(e, 100)
	all := stream.Range{Epoch: epoch, First: 1, Last: 101}
	a.wantSaid("a question", a.ask(all), "1-101: resent")
	b, err := stream.Question{Ranges: []stream.Range{all}}.Encode()
	if err != nil {
		t.Fatal(err)
	}
	for i := range 2000 {
		for _, data := range []string{"", "x", `{"ranges":[]}`, `{"ranges":[{"epoch":"e","first":-1,"last":5}]}`, strings.Repeat("[", 1<<16)}[i%5 : i%5+1] {
			if err := a.nc.Publish(stream.HolesSubject("gateway-0"), []byte(data)); err != nil {
				t.Fatal(err)
			}
		}
		if err := a.nc.PublishRequest(stream.HolesSubject("gateway-0"), a.nc.NewInbox(), b); err != nil {
			t.Fatal(err)
		}
	}
	if err := a.nc.Flush(); err != nil {
		t.Fatal(err)
	}
	until(t, "an answer after the flood", func() bool {
		m, err := a.nc.Request(stream.HolesSubject("gateway-0"), b, 100*time.Millisecond)
		return err == nil && len(m.Data) > 0
	})
	if got := e.State().Resent; got != 101 {
		t.Errorf("%d events were sent again", got)
	}
	a.filled(e, 10) // it goes on
	e.close()
	audit(t, onStream(t, a.js))
}

// While events are being published, others are asked for: no event comes before
// one of its epoch with a lower sequence, repetitions aside, and every question
// is answered.
func TestAnswerBesidePublishing(t *testing.T) {
	a := newAsked(t)
	now := time.Now()
	var asked atomic.Int64
	e := start(t, t.TempDir(), a.s.Conn(t), func(c *Config) {
		c.WALFileBytes = 64 << 10
		c.Now = func() time.Time { return now.Add(time.Duration(asked.Load()) * time.Minute) } // nothing is recent
	})
	epoch := a.filled(e, 200)
	done := make(chan Receipt)
	go func() {
		var last Receipt
		for i := range 4000 {
			last = e.Emit(t.Context(), event([]string{"acme", "globex"}[i%2], fmt.Sprint("more-", i)))
			if i%50 == 0 {
				_ = last.Spooled(t.Context())
			}
		}
		done <- last
	}()
	for i := range int64(20) {
		asked.Add(1)
		a.wantSaid("meanwhile", a.ask(stream.Range{Epoch: epoch, First: 2 + i, Last: 180}), fmt.Sprintf("%d-180: resent", 2+i))
	}
	last := <-done
	if err := last.Streamed(within(t)); err != nil {
		t.Fatal(err)
	}
	if got := e.State().Retries; got != 0 {
		t.Errorf("%d retries", got)
	}
	e.close()
	audit(t, onStream(t, a.js))
}

func TestMergeAndWithout(t *testing.T) {
	r := func(first, last int64) stream.Range { return stream.Range{Epoch: "e", First: first, Last: last} }
	if diff := cmp.Diff([]stream.Range{r(1, 6), r(8, 9)}, merge([]stream.Range{r(8, 9), r(3, 6), r(1, 2), r(4, 5)})); diff != "" {
		t.Errorf("merge (-want +got):\n%s", diff)
	}
	var lately recent
	now := time.Unix(100, 0)
	lately.add([]stream.Range{r(3, 4), r(8, 20)}, now)
	rest, again := lately.without(r(1, 10))
	if diff := cmp.Diff([]stream.Range{r(1, 2), r(5, 7)}, rest); diff != "" {
		t.Errorf("rest (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]stream.Range{r(3, 4), r(8, 10)}, again); diff != "" {
		t.Errorf("again (-want +got):\n%s", diff)
	}
	for i := range int64(2 * maxRecent) {
		lately.add([]stream.Range{r(100+2*i, 100+2*i)}, now)
	}
	if len(lately.list) != maxRecent {
		t.Errorf("%d stretches are remembered", len(lately.list))
	}
	if lately.forget(now.Add(1)); len(lately.list) != 0 {
		t.Errorf("%d stretches are not forgotten", len(lately.list))
	}
}
