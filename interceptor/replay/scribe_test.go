// SPDX-License-Identifier: Apache-2.0

package replay_test

import (
	"context"
	"fmt"
	"slices"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/docket-audit/docket/interceptor"
	"github.com/docket-audit/docket/interceptor/activity"
	"github.com/docket-audit/docket/internal/profile"
	"github.com/docket-audit/docket/ocsf"
)

// A scribe records deeds, one at a time.
type scribe struct {
	world  *world
	chains []*interceptor.Chain
	links  map[string]*profile.Link // by tenant

	// Of the deed that is being done. What is called after the handler is called by
	// another goroutine, which the scribe waits for.
	deed           *deed
	cancel         context.CancelFunc
	events         []ocsf.Event
	uids, readings int
	over           chan struct{}
}

func newScribe(w *world) *scribe {
	s := &scribe{world: w, links: map[string]*profile.Link{}, over: make(chan struct{}, 1)}
	redactor, err := activity.NewRedactor([]activity.Rule{{Name: "notes", Pointers: []string{"/note"}, RPCs: []string{service + "/SealBox"}, Do: activity.RedactMask}}, nil)
	if err != nil {
		w.tb.Fatal(err)
	}
	rec := activity.NewRecorder(s.emit, activity.WithCaptureMax(captureMax), activity.WithRedactor(redactor), activity.WithClock(s.now), activity.WithUIDs(func() string { return string(s.uid()) }))
	for _, c := range w.eras {
		plan, _ := c.plan(s.befalls)
		chain, err := interceptor.New(plan, &listener{Recorder: rec, scribe: s})
		if err != nil {
			w.tb.Fatal(err)
		}
		chain.Now, chain.NewUID = s.now, s.uid
		s.chains = append(s.chains, chain)
	}
	return s
}

func (s *scribe) close() {
	for _, chain := range s.chains {
		if err := chain.Close(context.Background()); err != nil {
			s.world.tb.Error(err)
		}
	}
}

func (s *scribe) now() time.Time {
	s.readings++
	return s.deed.start().Add(time.Duration(s.readings) * time.Microsecond)
}

func (s *scribe) uid() interceptor.UID {
	s.uids++
	return interceptor.UID(fmt.Sprintf("0199d0aa-4%03d-7000-8000-%012d", s.uids, s.deed.n))
}

// record does a deed and returns its events. It is an error of the world when
// what comes of it is not what the model says.
func (s *scribe) record(d *deed) []ocsf.Event {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	s.deed, s.cancel, s.events, s.uids, s.readings = d, cancel, nil, 0, 0
	chain := s.chains[d.era]
	out := chain.Run(ctx, d.operation(s.world.tb), d.handle)
	if out.Ran && out.HandlerStatus.Code() == codes.OK && s.observers(chain.Plan(), out) > 0 {
		<-s.over
	}
	if problem := settle(&s.world.eras[d.era], d, nil).unlike(out); problem != "" {
		s.world.tb.Fatalf("the model is not of this world: deed %d, %s: %s", d.n, d.method, problem)
	}
	return s.events
}

// observers returns how many bindings are called after the handler.
func (s *scribe) observers(plan *interceptor.Plan, out *interceptor.Outcome) int {
	n := 0
	for _, b := range plan.Bindings {
		if one := (interceptor.Plan{Bindings: []interceptor.Binding{b}}); slices.Contains(b.Phases, interceptor.PostCommit) && one.Governs(service, s.deed.method) {
			n++
		}
	}
	for i := range out.Parts {
		if p := &out.Parts[i]; p.Phase == interceptor.PostCommit && p.Skipped != "" {
			n--
		}
	}
	return n
}

// befalls lets the deed's faults have their effect.
func (s *scribe) befalls(ctx context.Context, e *interceptor.Evaluation) (*interceptor.Result, error, bool) {
	key := keyOf(e.Interceptor+"/"+e.Binding, e.Phase)
	if key == s.deed.gone && e.Phase != interceptor.PostCommit {
		s.cancel()
		<-ctx.Done()
		return nil, ctx.Err(), true
	}
	if how := s.deed.faults[key]; how != "" {
		r, err := broken(how)
		return r, err, true
	}
	return nil, nil, false
}

func keyOf(name string, phase interceptor.Phase) string { return fmt.Sprintf("%s@%d", name, phase) }

func (s *scribe) emit(_ context.Context, e ocsf.Event) activity.Ack {
	s.events = append(s.events, e)
	if s.deed.unspooled {
		return ack{fmt.Errorf("no space left on device")}
	}
	return ack{}
}

// seal makes an event the next one of its tenant.
func (s *scribe) seal(e ocsf.Event) []byte {
	tenant := e.Common().Metadata.TenantUID
	link := s.links[tenant]
	if link == nil {
		link = &profile.Link{Emitter: "gateway-0", Epoch: "epoch-of-" + tenant, Sequence: 1}
		s.links[tenant] = link
	}
	raw, h, err := profile.SealHeader(e, *link)
	if err != nil {
		s.world.tb.Fatal(err)
	}
	link.Sequence++
	link.PrevUID, link.PrevFingerprint, link.PrevTypeUID = h.MetadataUID, h.Fingerprint, h.TypeUID
	return raw
}

// A listener is the recorder of a chain, and hears when something is to happen.
type listener struct {
	*activity.Recorder
	scribe *scribe
}

func (l *listener) Record(f interceptor.Fact) {
	l.Recorder.Record(f)
	e := f.Evaluation
	switch {
	case e == nil || f.Result == nil && f.Failure == nil:
	case e.Phase == interceptor.PostCommit:
		if e.Index == e.Count-1 {
			l.scribe.over <- struct{}{}
		}
	case keyOf(e.Interceptor+"/"+e.Binding, e.Phase) == l.scribe.deed.leaves:
		l.scribe.cancel()
	}
}
