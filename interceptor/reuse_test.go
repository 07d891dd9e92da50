// SPDX-License-Identifier: Apache-2.0

package interceptor_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/docket-audit/docket/interceptor"
	sandboxv1 "github.com/docket-audit/docket/schemas/proto/demo/sandbox/v1"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// A keepsake is what an interceptor was shown and kept, and what that was then.
type keepsake struct {
	ctx        context.Context //nolint:containedctx // that it outlives its call is what is tested
	deadline   time.Time
	evaluation *interceptor.Evaluation
	then       string
	mine       *interceptor.Evaluation // a copy
}

func keep(ctx context.Context, e *interceptor.Evaluation) keepsake {
	deadline, _ := ctx.Deadline()
	mine := *e
	return keepsake{ctx, deadline, e, describe(e), &mine}
}

// changed says what became another of what was kept; "" when nothing did.
func (k keepsake) changed() string {
	if now := describe(k.evaluation); now != k.then {
		return fmt.Sprintf("the evaluation was %s and is %s", k.then, now)
	}
	if k.evaluation.UID != k.mine.UID || k.evaluation.Operation != k.mine.Operation || k.evaluation.Start != k.mine.Start || k.evaluation.Payload != k.mine.Payload {
		return fmt.Sprintf("the evaluation was %+v and is %+v", k.mine, k.evaluation)
	}
	if deadline, _ := k.ctx.Deadline(); !deadline.Equal(k.deadline) {
		return fmt.Sprintf("the deadline was %s and is %s", k.deadline, deadline)
	}
	return ""
}

// describe is what of an evaluation is the same in each run of the same operation.
func describe(e *interceptor.Evaluation) string {
	raw, err := e.Payload.JSON()
	return fmt.Sprintf("%s %d/%d %s %v %v %v %s %v", e.Binding, e.Index, e.Count, e.Phase, e.Principal, e.Attributes, e.Metadata, raw, err)
}

// A script is what the bindings do to one operation, by their ids.
type script struct {
	name     string
	conducts map[string]string
	fails    bool // the handler does
	broken   bool // so that nothing becomes durable
}

// A cast plays scripts, as all interceptors and as the recorder. Of each operation,
// by its name, it remembers what was shown and recorded.
type cast struct {
	hang    func() // what an interceptor does that heeds nothing
	mu      sync.Mutex
	scripts map[string]script
	seen    map[string][]string
	kept    []keepsake
}

// Record implements [interceptor.Recorder].
func (c *cast) Record(f interceptor.Fact) {
	c.mu.Lock()
	defer c.mu.Unlock()
	name := f.Operation.Principal["subject"]
	c.seen[name] = append(c.seen[name], word(f))
}

// Barrier implements [interceptor.Recorder].
func (c *cast) Barrier(_ context.Context, operation interceptor.UID) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.scripts[string(operation)].broken {
		return errors.New("no")
	}
	return nil
}

func (c *cast) Evaluate(ctx context.Context, e *interceptor.Evaluation) (*interceptor.Result, error) {
	name := e.Principal["subject"]
	k := keep(ctx, e)
	c.mu.Lock()
	conduct := c.scripts[name].conducts[e.Binding]
	c.seen[name] = append(c.seen[name], k.then)
	if conduct != "forgets" {
		c.kept = append(c.kept, k)
	}
	c.mu.Unlock()
	r := &interceptor.Result{Decision: interceptor.Allow}
	switch conduct {
	case "patches":
		if e.Phase == interceptor.ModifyOperation {
			r.Patches = []interceptor.Patch{{Op: "add", Path: "/sandbox/labels/" + e.Binding, Value: []byte(`"` + name + `"`)}}
		}
	case "denies":
		r.Decision, r.Reason = interceptor.Deny, name
	case "errs":
		return nil, errors.New(name)
	case "panics":
		panic(name)
	case "goexits":
		goexit()
	case "hangs":
		c.hang() // and come back among other operations
		return r, errors.New(k.changed())
	case "looks":
		c.look(ctx)
	case "waits":
		<-ctx.Done()
		return nil, ctx.Err()
	case "writes":
		r.Metadata = map[string]map[string]any{"ns": {"by": name + "/" + e.Binding}}
	}
	return r, nil
}

var conducts = []string{"allows", "forgets", "patches", "denies", "errs", "panics", "goexits", "hangs", "looks", "waits", "writes"}

// Describe implements [interceptor.Interceptor].
func (*cast) Describe(context.Context) (*interceptor.Manifest, error) {
	return &interceptor.Manifest{}, nil
}

// look asks a context for all that there is, also from another goroutine, which
// does so once more when the call is long over.
func (c *cast) look(ctx context.Context) {
	derived, cancel := context.WithCancel(ctx)
	context.AfterFunc(derived, func() {
		defer cancel()
		if ctx.Err() == nil || ctx.Value(c) != nil {
			panic("a context ended before it did")
		}
	})
	<-time.After(time.Millisecond)
}

// perform runs the operation of a script and says what came of it.
func (c *cast) perform(ctx context.Context, chain *interceptor.Chain, s script) []string {
	c.mu.Lock()
	c.scripts[s.name] = s
	c.mu.Unlock()
	op := operation()
	op.UID = interceptor.UID(s.name)
	op.Principal["subject"] = s.name
	op.Attributes = map[string]string{"name": s.name}
	op.Request.(*sandboxv1.CreateSandboxRequest).Sandbox.Name = s.name
	h := &handler{}
	if s.fails {
		h.err = errors.New(s.name)
	}
	out := chain.Run(ctx, op, h.handle)
	words := []string{out.Decision.String(), out.Reason, out.Status.String()}
	for _, p := range out.Parts {
		words = append(words, fmt.Sprintf("%s %s %s %v %s %s", p.Binding, p.Phase, p.Decision, p.Failure != nil, p.Skipped, p.Would))
	}
	if h.calls > 0 {
		given := h.given.(*sandboxv1.CreateSandboxRequest).GetSandbox()
		words = append(words, fmt.Sprint(given.GetName(), given.GetLabels(), given.GetSpec().GetCredentials().GetToken()))
	}
	return words
}

func newCast(hang func()) *cast {
	return &cast{hang: hang, scripts: map[string]script{}, seen: map[string][]string{}}
}

// program is the plan of a cast.
func (c *cast) program(heeds []bool) *interceptor.Plan {
	phases := [][]interceptor.Phase{{interceptor.ModifyOperation}, {interceptor.ModifyOperation, interceptor.Validate}, {interceptor.Validate}, {interceptor.Validate}, {interceptor.Validate, interceptor.PostCommit}}
	plan := planOf()
	for i := range heeds {
		b := bind(string(rune('a'+i)), c, phases[i]...)
		b.BindingOrder, b.Timeout, b.FailurePolicy = int32(i), time.Second, interceptor.FailOpen
		b.Shadow = i == 3
		b.Attributes, b.Reads, b.Writes = []string{"*"}, []string{"ns"}, []string{"ns"}
		if heeds[i] {
			b.Impl = heedful{c}
		}
		plan.Bindings = append(plan.Bindings, b)
	}
	return plan
}

// TestAnOperationIsNotTheOneBefore: what one operation leaves behind, in memory
// that the next has, in calls that hang on and in what interceptors keep, is
// nothing to the next. Each comes out as it does in a chain of its own.
func TestAnOperationIsNotTheOneBefore(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		heeds := rapid.SliceOfN(rapid.Bool(), 1, 5).Draw(rt, "heeds")
		var scripts []script
		for i := range rapid.IntRange(2, 6).Draw(rt, "operations") {
			s := script{name: fmt.Sprintf("op-%d", i), conducts: map[string]string{}}
			for j := range heeds {
				of := conducts
				if heeds[j] { // hangs and goexits would break the promise
					of = []string{"allows", "forgets", "patches", "denies", "errs", "panics", "looks", "waits", "writes"}
				}
				s.conducts[string(rune('a'+j))] = rapid.SampledFrom(of).Draw(rt, "conduct")
			}
			s.fails, s.broken = rapid.IntRange(0, 5).Draw(rt, "fails") == 0, rapid.IntRange(0, 7).Draw(rt, "broken") == 0
			scripts = append(scripts, s)
		}
		pause := rapid.SampledFrom([]time.Duration{0, time.Second, 2 * time.Second}).Draw(rt, "pause")
		synctest.Test(t, func(t *testing.T) {
			hang := func() { time.Sleep(3 * time.Second) }
			together := newCast(hang)
			chain, err := interceptor.New(together.program(heeds), together)
			if err != nil {
				rt.Fatal(err)
			}
			got := map[string][]string{}
			for _, s := range scripts {
				got[s.name] = together.perform(t.Context(), chain, s)
				time.Sleep(pause)
			}
			if err := chain.Close(t.Context()); err != nil {
				rt.Fatal(err)
			}
			for _, s := range scripts {
				alone := newCast(hang)
				chain, err := interceptor.New(alone.program(heeds), alone)
				if err != nil {
					rt.Fatal(err)
				}
				if diff := cmp.Diff(alone.perform(t.Context(), chain, s), got[s.name]); diff != "" {
					rt.Errorf("%s, alone and among others:\n%s", s.name, diff)
				}
				if err := chain.Close(t.Context()); err != nil {
					rt.Fatal(err)
				}
				if diff := cmp.Diff(alone.seen[s.name], together.seen[s.name]); diff != "" {
					rt.Errorf("%s, alone and among others:\n%s", s.name, diff)
				}
			}
			for _, k := range together.kept {
				if what := k.changed(); what != "" || k.ctx.Err() == nil {
					rt.Errorf("of %s %s, context: %v", k.mine.Operation, what, k.ctx.Err())
				}
			}
		})
	})
}

// TestOperationsSideBySide is the same at full speed, for the race detector: many
// at once, of which some are left behind and come back later. When a machine is
// slow other calls time out, too, so that only what each was shown is looked at.
func TestOperationsSideBySide(t *testing.T) {
	back := make(chan struct{})
	c := newCast(func() { <-back })
	plan := c.program([]bool{false, false, false, false})
	for i := range plan.Bindings {
		plan.Bindings[i].Timeout = 3 * time.Millisecond
	}
	chain := start(t, plan, c)
	var under sync.WaitGroup
	for g := range 8 {
		random := rand.New(rand.NewPCG(uint64(g), 1))
		under.Go(func() {
			for i := range 150 {
				s := script{name: fmt.Sprintf("op-%d-%d", g, i), conducts: map[string]string{}}
				for _, b := range plan.Bindings {
					s.conducts[b.ID] = conducts[random.IntN(len(conducts))]
					if s.conducts[b.ID] == "hangs" && i%3 != 0 {
						s.conducts[b.ID] = "keeps"
					}
				}
				words := c.perform(t.Context(), chain, s)
				select {
				case back <- struct{}{}: // one that was left behind
				default:
				}
				for _, word := range words {
					if other := strings.Index(word, "op-"); other >= 0 && !strings.HasPrefix(word[other:]+" ", s.name) {
						t.Errorf("%s came out with %q", s.name, word)
					}
				}
			}
		})
	}
	under.Wait()
	close(back)
	if err := chain.Close(context.Background()); err != nil {
		t.Error(err)
	}
	for _, k := range c.kept {
		if what := k.changed(); what != "" || k.ctx.Err() == nil || string(k.mine.Operation) != k.mine.Principal["subject"] || !strings.Contains(k.then, `"name":"`+string(k.mine.Operation)+`"`) {
			t.Errorf("of %s %s, context: %v, was %s", k.mine.Operation, what, k.ctx.Err(), k.then)
		}
	}
}
