// SPDX-License-Identifier: Apache-2.0

package interceptor

import (
	"context"
	"errors"
	"reflect"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/emptypb"
)

// slowRecorder is one whose barriers do not heed their context.
type slowRecorder struct{ release *chan struct{} }

func (slowRecorder) Record(Fact) {}
func (s slowRecorder) Barrier(context.Context, UID) error {
	<-*s.release
	return nil
}

// A run is given to the next operation only if nobody can hold it any more, and
// then nothing of the operation is left in it.
func TestWhichRunsAreUsedAgain(t *testing.T) {
	var release chan struct{}
	say := func(r *Result, err error) Interceptor {
		return Func(func(context.Context, *Evaluation) (*Result, error) { return r, err })
	}
	allow := say(&Result{Decision: Allow, Annotations: map[string]string{"k": "v"}}, nil)
	hang := Func(func(context.Context, *Evaluation) (*Result, error) {
		<-release
		return &Result{Decision: Allow}, nil
	})
	goexits := Func(func(context.Context, *Evaluation) (*Result, error) { runtime.Goexit(); return nil, nil })
	panics := Func(func(context.Context, *Evaluation) (*Result, error) { panic("x") })
	clock := func() time.Time { panic("no time") }
	handle := func(context.Context, proto.Message) (proto.Message, error) { return &emptypb.Empty{}, nil }
	fails := func(context.Context, proto.Message) (proto.Message, error) { return nil, errors.New("x") }
	for name, tc := range map[string]struct {
		impl    Interceptor
		phase   Phase
		rec     Recorder
		load    func(context.Context, *Operation, proto.Message) (proto.Message, error)
		now     func() time.Time
		handler Handler
		want    bool
	}{
		"allowed":                   {impl: allow, want: true},
		"denied":                    {impl: say(&Result{Decision: Deny, Metadata: map[string]map[string]any{"x": {}}}, nil), want: true},
		"an error":                  {impl: say(nil, errors.New("x")), want: true},
		"a panic":                   {impl: panics, want: true},
		"a goroutine that ended":    {impl: goexits, want: true},
		"a handler that fails":      {impl: allow, handler: fails, want: true},
		"recorded":                  {impl: allow, rec: panickyRecorder{}, want: true},
		"a call was left behind":    {impl: hang},
		"a loader was left behind":  {impl: allow, load: func(context.Context, *Operation, proto.Message) (proto.Message, error) { <-release; return nil, nil }},
		"a barrier was left behind": {impl: allow, rec: slowRecorder{&release}},
		"post_commit follows":       {impl: allow, phase: PostCommit},
		"post_commit follows, and a call hangs there": {impl: hang, phase: PostCommit},
		"the chain panicked":                          {impl: allow, now: clock},
	} {
		t.Run(name, func(t *testing.T) {
			if tc.rec == nil {
				tc.rec = Discard
			}
			if tc.handler == nil {
				tc.handler = handle
			}
			if tc.phase == 0 {
				tc.phase = Validate
			}
			plan := &Plan{Unmatched: UnmatchedAllow, AuditDeadline: time.Millisecond, Bindings: []Binding{
				{Interceptor: "i", ID: "a", Phases: []Phase{tc.phase}, Impl: tc.impl, Timeout: time.Minute, FailurePolicy: FailClosed},
				{Interceptor: "i", ID: "b", Phases: []Phase{ModifyOperation}, Impl: allow, Timeout: time.Minute},
			}}
			synctest.Test(t, func(t *testing.T) {
				release = make(chan struct{})
				c, err := New(plan, tc.rec)
				if err != nil {
					t.Fatal(err)
				}
				c.LoadState, c.Now = tc.load, tc.now
				again := false
				for range 50 { // a pool loses some, at random under the race detector
					c.Run(t.Context(), &Operation{Service: "s", Method: "Create", Request: &emptypb.Empty{}}, tc.handler)
					if r, ok := c.runs.Get().(*run); ok {
						again = true
						checkEmpty(t, r)
					}
				}
				if again != tc.want {
					t.Errorf("used again: %v", again)
				}
				close(release)
				if err := c.Close(t.Context()); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

type panickyRecorder struct{}

func (panickyRecorder) Record(Fact)                        { panic("record") }
func (panickyRecorder) Barrier(context.Context, UID) error { return nil }

// checkEmpty looks into every field of a run that is to be used again.
func checkEmpty(t *testing.T, r *run) {
	t.Helper()
	empty := func(what string, v reflect.Value, kept ...string) {
	fields:
		for i := range v.NumField() {
			name := v.Type().Field(i).Name
			for _, k := range kept {
				if name == k {
					continue fields
				}
			}
			if !v.Field(i).IsZero() {
				t.Errorf("%s.%s is %v", what, name, v.Field(i))
			}
		}
	}
	empty("run", reflect.ValueOf(r).Elem(), "walk")
	empty("walk", reflect.ValueOf(&r.walk).Elem(), "calls", "before", "watch", "worker")
	calls := r.walk.calls[:cap(r.walk.calls)]
	for i := range calls {
		empty("call", reflect.ValueOf(&calls[i]).Elem())
	}
	if len(r.walk.calls) != 0 || r.walk.before == 0 {
		t.Errorf("%d calls, the last number is %d", len(r.walk.calls), r.walk.before)
	}
	if w := r.walk.watch; w != nil && w.state.Load() != running && w.state.Load() != idle {
		t.Errorf("the watch waits: %d", w.state.Load())
	}
}
