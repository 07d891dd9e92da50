// SPDX-License-Identifier: Apache-2.0

package collector

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"

	"github.com/docket-audit/docket/collector/store"
	"github.com/docket-audit/docket/collector/store/storetest"
	"github.com/docket-audit/docket/internal/profile"
	"github.com/docket-audit/docket/internal/stream"
	"github.com/docket-audit/docket/ocsf"
)

// A clock stands until it is moved.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func newClock() *clock { return &clock{now: time.UnixMilli(storetest.Start)} }

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) move(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// A gateway answers questions as an emitter does, by what a test says.
type gateway struct {
	rig   *rig
	conn  *nats.Conn
	sub   *nats.Subscription
	clock *clock

	mu    sync.Mutex
	asked []stream.Question // guarded by mu
}

// gateway listens for questions to gateway-0. answer is called for each, by one
// goroutine.
func (r *rig) gateway(clock *clock, answer func(q stream.Question, m *nats.Msg) []stream.Answered) *gateway {
	r.t.Helper()
	g := &gateway{rig: r, conn: r.nats.Conn(r.t), clock: clock}
	var err error
	if g.sub, err = g.conn.Subscribe(stream.HolesSubject("gateway-0"), func(m *nats.Msg) {
		q, err := stream.ParseQuestion(m.Data)
		if err != nil {
			r.t.Errorf("question %s: %v", m.Data, err)
			return
		}
		g.mu.Lock()
		g.asked = append(g.asked, q)
		g.mu.Unlock()
		if parts := answer(q, m); len(parts) > 0 {
			b, err := stream.Answer{Ranges: parts}.Encode()
			if err == nil {
				err = m.Respond(b)
			}
			if err != nil {
				r.t.Error(err)
			}
		}
	}); err != nil {
		r.t.Fatal(err)
	}
	if err := g.conn.Flush(); err != nil {
		r.t.Fatal(err)
	}
	return g
}

func (g *gateway) questions() []stream.Question {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Clone(g.asked)
}

// same answers every range of a question alike.
func same(answer, why string) func(stream.Question, *nats.Msg) []stream.Answered {
	return func(q stream.Question, _ *nats.Msg) (parts []stream.Answered) {
		for _, r := range q.Ranges {
			parts = append(parts, stream.Answered{Range: r, Answer: answer, Why: why})
		}
		return parts
	}
}

// watching starts a collector that looks at holes all the time, by a clock.
func (r *rig) watching(c *clock, change ...func(*Config)) *running {
	return r.start(append([]func(*Config){func(cfg *Config) {
		cfg.Now, cfg.pollHoles = c.Now, 2*time.Millisecond
	}}, change...)...)
}

// holed publishes an epoch of whole operations but for the sequences that drop
// names: an administrator deletes them before a store has them.
func (r *rig) holed(operations int, drop ...int64) (e *storetest.Epoch, all []store.Entry) {
	r.t.Helper()
	e = storetest.NewEpoch(r.t, "acme", "gateway-0")
	all = append(all, e.Start())
	for range operations {
		all = append(all, e.Operation()...)
	}
	s, err := r.js.Stream(r.t.Context(), "DOCKET")
	if err != nil {
		r.t.Fatal(err)
	}
	for i := range all {
		r.publish(all[i])
		if slices.Contains(drop, all[i].Header.Sequence) {
			info, err := s.Info(r.t.Context())
			if err != nil {
				r.t.Fatal(err)
			}
			if err := s.DeleteMsg(r.t.Context(), info.State.LastSeq); err != nil {
				r.t.Fatal(err)
			}
		}
	}
	return e, all
}

// aged waits until the collector knows how far its epochs have come, and has it
// be old.
func (r *rig) aged(run *running, c *clock) {
	r.t.Helper()
	r.drained(run)
	eventually(r.t, "a look at the holes", func() bool {
		run.holes.mu.Lock()
		defer run.holes.mu.Unlock()
		for _, q := range run.holes.asking {
			if len(q.grown) == 0 && q.ripe == 0 {
				return false
			}
		}
		return true
	})
	c.move(holeAge)
}

func (r *rig) account(run *running, epoch string) EpochStatus {
	for _, e := range run.Status().Epochs {
		if e.Epoch == epoch {
			return e
		}
	}
	return EpochStatus{}
}

// missing returns the findings about missing events that were told, each as its
// activity, answer and ranges.
func (r *rig) missing() (told []string) {
	for _, f := range r.found() {
		if f.FindingInfo.Types[0] != findingMissing {
			continue
		}
		data := f.Evidences[0].Data.(map[string]any)
		state := "new"
		if f.ActivityID == ocsf.DetectionFindingClose {
			state = "closed"
		}
		told = append(told, fmt.Sprint(state, " ", data["answer"], " ", data["ranges"]))
	}
	return told
}

func (r *rig) wantMissing(what string, want ...string) {
	r.t.Helper()
	if diff := cmp.Diff(want, r.missing()); diff != "" {
		r.t.Errorf("%s: findings (-want +got):\n%s", what, diff)
	}
}

// What an administrator deleted from the stream is asked for and comes again:
// everything is stored, nothing is found.
func TestHoleIsFilled(t *testing.T) {
	r := newRig(t)
	e, all := r.holed(5, 3, 8, 9)
	c := newClock()
	g := r.gateway(c, func(q stream.Question, m *nats.Msg) []stream.Answered {
		for _, x := range q.Ranges {
			r.publish(all[x.First-1 : x.Last]...)
		}
		return same(stream.AnswerResent, "")(q, m)
	})
	run := r.watching(c)
	r.aged(run, c)
	eventually(t, "everything stored", func() bool { return r.account(run, e.UID).Stored == 16 })
	eventually(t, "nothing asked for", func() bool { return r.account(run, e.UID).Asking == nil })
	want := []stream.Question{{Ranges: []stream.Range{{Epoch: e.UID, First: 3, Last: 3}, {Epoch: e.UID, First: 8, Last: 9}}}}
	if diff := cmp.Diff(want, g.questions()); diff != "" {
		t.Errorf("questions (-want +got):\n%s", diff)
	}
	// It follows upon the commit: a stop between the two leaves it to the next start.
	eventually(t, "the watermark", func() bool { return r.mark(e.UID) == "16" })
	if err := run.stop(); err != nil {
		t.Fatal(err)
	}
	r.wantExactly(all)
	if len(r.found()) > 0 {
		t.Errorf("found %v", r.missing())
	}
}

// A hole that is young is not asked for, nor what is behind one that an emitter
// is still sending.
func TestYoungHolesAreLeftAlone(t *testing.T) {
	r := newRig(t)
	e, all := r.holed(3, 4)
	c := newClock()
	g := r.gateway(c, same(stream.AnswerLater, ""))
	run := r.watching(c)
	r.drained(run)
	eventually(t, "a look at the hole", func() bool {
		run.holes.mu.Lock()
		defer run.holes.mu.Unlock()
		q := run.holes.asking[e.UID]
		return q != nil && len(q.grown) > 0
	})
	c.move(holeAge - time.Millisecond)
	r.publish(all[3])
	r.drained(run)
	eventually(t, "no hole", func() bool { return r.account(run, e.UID).Stored == 10 })
	c.move(time.Hour)
	r.drained(run)
	if q := g.questions(); len(q) > 0 {
		t.Errorf("asked %v", q)
	}
}

// What the emitter says is gone is missing: told once, over restarts and kills,
// accounted for in the watermark, and gone over by those who judge the epoch.
// When it comes after all, the finding is closed.
func TestGoneIsMissing(t *testing.T) {
	r := newRig(t)
	e, all := r.holed(4, 3, 4) // a result and an outcome
	c := newClock()
	emitter := echo(r)
	g := r.gateway(c, same(stream.AnswerGone, "trimmed: the WAL does not go back to it"))
	run := r.watching(c, emitter)
	r.aged(run, c)
	eventually(t, "the mark to pass", func() bool { return r.mark(e.UID) == "13" })
	r.wantMissing("gone", "new gone [{3 4}]")
	if s := r.account(run, e.UID); s.Missing != 2 || s.InFlight != 0 || s.Stored != 11 || s.Sequenced != 13 || s.Asking != nil {
		t.Errorf("account %+v", s)
	}
	r.publish(e.Stop())
	r.drained(run)
	// The operation in the hole is dangling, for all that is known.
	eventually(t, "the end of the epoch", func() bool { return len(r.danglingFindings()) == 2 })
	for kill := range 4 {
		if err := run.stop(); err != nil {
			t.Fatal(err)
		}
		if kill == 2 {
			for _, name := range []string{holesName, snapshotName} { // as if it never wrote them
				if err := os.Remove(filepath.Join(r.dir, name)); err != nil {
					t.Fatal(err)
				}
			}
		}
		run = r.watching(c, emitter)
		r.drained(run)
		c.move(2 * lastWait)
	}
	r.wantMissing("after restarts", "new gone [{3 4}]")
	if n := len(g.questions()); n != 1 {
		t.Errorf("asked %d times", n)
	}
	r.publish(all[2])
	r.drained(run)
	if s := r.account(run, e.UID); s.Missing != 1 || s.Stored != 13 {
		t.Errorf("account with one of two %+v", s)
	}
	r.wantMissing("one of two came", "new gone [{3 4}]")
	r.publish(all[3])
	r.drained(run)
	eventually(t, "the finding closed", func() bool { return len(r.missing()) == 2 })
	r.wantMissing("both came", "new gone [{3 4}]", "closed gone [{3 4}]")
	eventually(t, "the dangling intent closed", func() bool { return r.danglingFindings()["dangling:"+all[1].Header.OperationUID] == 2 })
	if s := r.account(run, e.UID); s.Missing != 0 || s.InFlight != 0 || s.Stored != s.Sequenced {
		t.Errorf("account %+v", s)
	}
	r.drained(run)
	if err := run.stop(); err != nil {
		t.Fatal(err)
	}
	if got := r.missingStored(); got != 0 {
		t.Errorf("%d findings about missing events are open in the store", got)
	}
}

// missingStored counts the sequences that findings in the store say are missing.
func (r *rig) missingStored() (n int64) {
	open := map[string]int64{}
	for _, e := range r.stored() {
		if t, ok := readLoss(e.Raw); ok {
			open[t.UID] = t.Ranges.Count()
			if t.Closed {
				delete(open, t.UID)
			}
		}
	}
	for _, count := range open {
		n += count
	}
	return n
}

// An emitter that is away has a day, from the first question and over restarts
// of the collector. Its watermark does not pass what it alone may have. When it
// comes back, it is asked, and the finding is closed.
func TestSilence(t *testing.T) {
	r := newRig(t)
	e, all := r.holed(2, 2)
	c := newClock()
	emitter := echo(r)
	run := r.watching(c, emitter)
	r.aged(run, c)
	asking := func() bool { return r.account(run, e.UID).Asking != nil }
	eventually(t, "the first question", asking)
	since := r.account(run, e.UID).Asking.Since
	for range 3 {
		c.move(7 * time.Hour)
		if err := run.stop(); err != nil {
			t.Fatal(err)
		}
		run = r.watching(c, emitter)
		r.drained(run)
		eventually(t, "a question", asking)
	}
	if again := r.account(run, e.UID).Asking.Since; !again.Equal(since) {
		t.Errorf("asked since %v, after a restart since %v", since, again)
	}
	r.wantMissing("after 21 hours")
	if s := r.account(run, e.UID); s.Missing != 0 || s.InFlight != 1 {
		t.Errorf("account %+v", s)
	}
	c.move(3 * time.Hour)
	eventually(t, "a finding", func() bool { c.move(time.Second); return len(r.missing()) > 0 })
	r.wantMissing("after a day", "new none [{2 2}]")
	r.drained(run)
	eventually(t, "the account", func() bool { return r.account(run, e.UID).Missing == 1 })
	if m := r.mark(e.UID); m != "1" {
		t.Errorf("watermark is %q: the emitter would drop what only it has", m)
	}
	r.gateway(c, func(q stream.Question, m *nats.Msg) []stream.Answered {
		r.publish(all[1])
		return same(stream.AnswerResent, "")(q, m)
	})
	eventually(t, "the finding closed", func() bool { c.move(time.Minute); return len(r.missing()) == 2 })
	r.wantMissing("when it is back", "new none [{2 2}]", "closed none [{2 2}]")
	eventually(t, "the mark", func() bool { return r.mark(e.UID) == "7" })
	if s := r.account(run, e.UID); s.Missing != 0 || s.Stored != 7 {
		t.Errorf("account %+v", s)
	}
}

// A collector that was away itself for days asks first.
func TestCollectorAway(t *testing.T) {
	r := newRig(t)
	e, all := r.holed(2, 2)
	c := newClock()
	run := r.watching(c)
	r.aged(run, c)
	eventually(t, "the first question", func() bool { return r.account(run, e.UID).Asking != nil })
	if err := run.stop(); err != nil {
		t.Fatal(err)
	}
	c.move(72 * time.Hour)
	r.gateway(c, func(q stream.Question, m *nats.Msg) []stream.Answered {
		r.publish(all[1])
		return same(stream.AnswerResent, "")(q, m)
	})
	run = r.watching(c)
	eventually(t, "everything stored", func() bool { return r.account(run, e.UID).Stored == 7 })
	r.wantMissing("what came when it was asked for")
}

// Who does not know the epoch leaves the word to others of its name; when none
// has spoken for a day, the event is missing. What is promised and does not come
// is missing too.
func TestAnswersThatFillNothing(t *testing.T) {
	for _, answer := range []string{stream.AnswerNotMine, stream.AnswerLater, stream.AnswerResent} {
		t.Run(answer, func(t *testing.T) {
			r := newRig(t)
			_, _ = r.holed(2, 2)
			c := newClock()
			g := r.gateway(c, same(answer, ""))
			run := r.watching(c)
			r.aged(run, c)
			eventually(t, "a question", func() bool { return len(g.questions()) > 0 })
			c.move(silence - time.Hour)
			r.wantMissing("before a day has passed")
			c.move(time.Hour)
			eventually(t, "a finding", func() bool { c.move(time.Second); return len(r.missing()) > 0 })
			r.wantMissing("after a day", fmt.Sprintf("new %s [{2 2}]", answer))
			if n := len(g.questions()); n > 1000 {
				t.Errorf("asked %d times", n)
			}
		})
	}
}

// Answers that are none, about something else or from somebody else do no harm,
// and do not keep the true one out.
func TestHostileAnswers(t *testing.T) {
	r := newRig(t)
	e, all := r.holed(2, 2)
	victim, _ := r.holed(2)
	c := newClock()
	stranger := r.nats.Conn(t)
	run := func() *running {
		r.gateway(c, func(q stream.Question, m *nats.Msg) []stream.Answered {
			encode := func(parts ...stream.Answered) string {
				b, err := stream.Answer{Ranges: parts}.Encode()
				if err != nil {
					t.Error(err)
				}
				return string(b)
			}
			gone := stream.Answered{Range: stream.Range{Epoch: e.UID, First: 2, Last: 2}, Answer: stream.AnswerGone}
			more, other := gone, gone
			more.Last = 1 << 40
			other.Epoch, other.First, other.Last = victim.UID, 1, 7
			for _, bad := range []string{
				"garbage", "{}", "[]", strings.Repeat("[", 100_000), encode(more), encode(other), encode(gone, other), encode(gone, gone),
				`{"type":"io.nats.jetstream.api.v1.pub_ack_response","stream":"DOCKET","seq":9}`,
			} {
				if err := stranger.Publish(m.Reply, []byte(bad)); err != nil {
					t.Error(err)
				}
			}
			// One that has seen the inbox and has no token.
			inbox := m.Reply[:strings.LastIndexByte(m.Reply, '.')]
			for _, token := range []string{"x", e.UID, "*"} {
				_ = stranger.Publish(inbox+"."+token, []byte(encode(gone)))
			}
			if err := stranger.Flush(); err != nil {
				t.Error(err)
			}
			r.publish(all[1])
			return same(stream.AnswerResent, "")(q, m)
		})
		return r.watching(c)
	}()
	r.aged(run, c)
	eventually(t, "everything stored", func() bool { return r.account(run, e.UID).Stored == 7 })
	eventually(t, "nothing asked for", func() bool { return r.account(run, e.UID).Asking == nil })
	r.wantMissing("hostile answers")
	if s := r.account(run, victim.UID); s.Missing != 0 || s.Stored != 7 {
		t.Errorf("account of another epoch %+v", s)
	}
}

// A finding about missing events that another emitter sends is not believed: it
// fills no hole and moves no watermark.
func TestForgedMissing(t *testing.T) {
	r := newRig(t)
	e, _ := r.holed(2, 2)
	x := loss{UID: missingPrefix + e.UID + ":2-2:1", Ranges: store.Intervals{{First: 2, Last: 2}}, Answer: stream.AnswerGone}
	found := x.finding(e.UID, owner{"acme", "gateway-0"})
	r.publish(e.Seal(found.event(storetest.NewUID(), storetest.Start)))
	c := newClock()
	g := r.gateway(c, same(stream.AnswerGone, "trimmed"))
	run := r.watching(c)
	r.drained(run)
	if m := r.mark(e.UID); m != "1" {
		t.Errorf("watermark is %q", m)
	}
	r.aged(run, c)
	eventually(t, "a question", func() bool { return len(g.questions()) == 1 })
	eventually(t, "a finding", func() bool { return len(r.missing()) == 1 })
}

// All that ever came of an epoch is the word of the next one where it ended.
func TestAnEpochOfHolesOnly(t *testing.T) {
	r := newRig(t)
	lost := storetest.NewUID()
	next := storetest.NewEpoch(t, "acme", "gateway-0")
	r.publish(next.Start(store.Closed{Epoch: lost, LastSequence: 5, Fingerprint: strings.Repeat("0", 64)}))
	c := newClock()
	g := r.gateway(c, same(stream.AnswerGone, "beyond"))
	run := r.watching(c, echo(r))
	r.aged(run, c)
	eventually(t, "a finding", func() bool { return len(r.missing()) == 1 })
	r.wantMissing("all of it", "new gone [{1 5}]")
	if diff := cmp.Diff([]stream.Question{{Ranges: []stream.Range{{Epoch: lost, First: 1, Last: 5}}}}, g.questions()); diff != "" {
		t.Errorf("questions (-want +got):\n%s", diff)
	}
	eventually(t, "the account", func() bool { return r.account(run, lost).Missing == 5 })
}

func TestMissingIsOCSF(t *testing.T) {
	x := loss{UID: missingPrefix + "e:2-2:1", Ranges: store.Intervals{{First: 2, Last: 2}, {First: 5, Last: 9}}, Answer: stream.AnswerGone, Why: "trimmed"}
	for _, closed := range []bool{false, true} {
		for _, version := range profile.Versions() {
			e := storetest.NewEpoch(t, "acme", "collector-0")
			e.Version, x.Closed = version, closed
			f := x.finding(e.UID, owner{"acme", "gateway-0"})
			entry := e.Seal(f.event(storetest.NewUID(), storetest.Start))
			report, err := ocsf.Validate(entry.Raw, version, ocsf.ModeServer)
			if err != nil || len(report.Errors)+len(report.Warnings) > 0 {
				t.Errorf("OCSF %s: %+v, %v", version, report, err)
			}
			got, ok := readLoss(entry.Raw)
			want := toldLoss{epoch: e.UID, loss: x}
			want.Stored = true
			if diff := cmp.Diff(want, got, cmp.AllowUnexported(toldLoss{}, loss{})); !ok || diff != "" {
				t.Errorf("read back (-want +got):\n%s", diff)
			}
		}
	}
}
