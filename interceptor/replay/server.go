// SPDX-License-Identifier: Apache-2.0

package replay

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/docket-audit/docket/interceptor"
	"github.com/docket-audit/docket/interceptor/activity"
	"github.com/docket-audit/docket/interceptor/remote"
	"github.com/docket-audit/docket/internal/profile"
)

// A ServerOption says how a [Server] answers.
type ServerOption func(*serverOptions)

type serverOptions struct {
	lenient     bool
	interceptor string
	where       string
}

// Lenient has a [Server] answer what was not recorded just so: with the next
// answer, in the order of recording, that the same binding gave in the same phase
// for the same method. The test's log says how many these were.
func Lenient() ServerOption { return func(o *serverOptions) { o.lenient = true } }

// As has a [Server] be one of the interceptors of the record, told by the name
// that it had in the gateway's configuration.
func As(name string) ServerOption { return func(o *serverOptions) { o.interceptor = name } }

// ServedFrom has a [Server] answer from the events that where selects, in the
// terms of the Source.
func ServedFrom(where string) ServerOption { return func(o *serverOptions) { o.where = where } }

// Server serves openshell.gateway_interceptor.v1 on a socket and answers as
// recorded, for testing a gateway without its interceptors. It returns the
// endpoint, as a gateway is configured with, and stops when the test ends:
//
//	endpoint := replay.Server(t, replay.File("testdata/march.ndjson"), replay.As("no-root"))
//
// An evaluation is answered by what was recorded of the same binding in the same
// phase, for the same service and method, that was shown the same: payload,
// current state, attributes, metadata and principal. Of several the first is
// answered first, and the last for ever. What was recorded of nobody is answered
// FAILED_PRECONDITION, with what differs from the nearest that was, and fails the
// test when it ends, unless [Lenient].
//
// A recorded failure is answered as that failure: a timeout by no answer until the
// caller's deadline, and the others by what makes a gateway find the same, as far
// as the wire has words for it.
//
// The manifest is what the record tells: bindings in their order, their methods,
// phases, failure policies where a failure told them, and what they were shown of
// attributes and metadata. It does not know by which principals or labels they
// were selected. An endpoint has one manifest: where the record has several
// interceptors the Server is all of them in one, unless told by [As] which; their
// bindings then need different ids.
func Server(t testing.TB, source Source, opts ...ServerOption) (endpoint string) {
	t.Helper()
	var o serverOptions
	for _, opt := range opts {
		opt(&o)
	}
	m := &mime{lenient: o.lenient, stopped: make(chan struct{})}
	if err := m.learn(source, &o); err != nil {
		t.Fatalf("replay: serve the record: %v", err)
	}
	// Not t.TempDir: the path of a socket has about a hundred bytes.
	dir, err := os.MkdirTemp("", "docket")
	if err != nil {
		t.Fatalf("replay: serve the record: %v", err)
	}
	socket := filepath.Join(dir, "interceptor.sock")
	lis, err := net.Listen("unix", socket)
	if err != nil {
		_ = os.RemoveAll(dir)
		t.Fatalf("replay: serve the record: %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- remote.Serve(ctx, lis, m) }()
	t.Cleanup(func() {
		t.Helper()
		close(m.stopped) // who waits for a deadline waits no longer
		cancel()
		if err := errors.Join(<-served, os.RemoveAll(dir)); err != nil {
			t.Errorf("replay: serve the record: %v", err)
		}
		m.tell(t)
	})
	return "unix://" + socket
}

// A mime is an interceptor that answers as others did.
type mime struct {
	lenient  bool
	manifest *interceptor.Manifest
	stopped  chan struct{}

	mu       sync.Mutex // guards what follows, and memories' played
	memories map[memoryKey][]*memory
	next     map[memoryKey]int // the answer that is next when nothing is equal
	exact    int
	nearest  int
	unknown  []string // what was asked that nobody recorded, without repetition
	times    map[string]int
}

var _ interceptor.Interceptor = (*mime)(nil)

type memoryKey struct {
	service, method, binding string
	phase                    interceptor.Phase
}

func (k memoryKey) String() string {
	return fmt.Sprintf("binding %s in %s of %s/%s", k.binding, k.phase, k.service, k.method)
}

// A memory is one recorded evaluation.
type memory struct {
	*activity.Evaluation
	played bool
}

// learn takes in what the record has.
func (m *mime) learn(source Source, o *serverOptions) error {
	m.memories, m.next, m.times = map[memoryKey][]*memory{}, map[memoryKey]int{}, map[string]int{}
	p := poster{of: map[bindingKey]int{}}
	owner := map[string]string{} // of a binding's id
	found := map[string]bool{}
	for op, err := range activity.Operations(source.Events(context.Background(), o.where)) {
		if err != nil {
			return fmt.Errorf("read history: %w", err)
		}
		for i := range op.Evaluations {
			e := &op.Evaluations[i]
			found[e.Interceptor] = true
			if o.interceptor != "" && o.interceptor != e.Interceptor {
				continue
			}
			if by, ok := owner[e.Binding]; ok && by != e.Interceptor {
				return fmt.Errorf("both %s and %s have a binding %q: say which of them to be, by replay.As", by, e.Interceptor, e.Binding)
			}
			owner[e.Binding] = e.Interceptor
			p.add(e)
			if e.Result != nil || e.Failure != nil {
				key := memoryKey{op.Service, op.Method, e.Binding, e.Phase}
				m.memories[key] = append(m.memories[key], &memory{Evaluation: e})
			}
		}
	}
	names := slices.Sorted(maps.Keys(found))
	if len(owner) == 0 {
		if o.interceptor != "" {
			return fmt.Errorf("the record has no evaluations by interceptor %q; it has those of %s", o.interceptor, inQuotes(names))
		}
		return errors.New("the record has no evaluations")
	}
	m.manifest = &interceptor.Manifest{Name: cmp.Or(o.interceptor, strings.Join(names, "+")), Bindings: p.bindings}
	for i := range p.bindings {
		slices.Sort(p.bindings[i].Phases)
	}
	return nil
}

func inQuotes(names []string) string {
	if len(names) == 0 {
		return "none"
	}
	return `"` + strings.Join(names, `", "`) + `"`
}

type bindingKey struct{ interceptor, id string }

// A poster is the bindings of a record as a manifest has them.
type poster struct {
	bindings []interceptor.Binding
	of       map[bindingKey]int
}

func (p *poster) add(e *activity.Evaluation) {
	key := bindingKey{e.Interceptor, e.Binding}
	i, ok := p.of[key]
	if !ok {
		i = len(p.bindings)
		p.of[key] = i
		// They are called in the order in which they came up.
		p.bindings = append(p.bindings, interceptor.Binding{ID: e.Binding, BindingOrder: int32(i)}) //nolint:gosec // few
	}
	b := &p.bindings[i]
	include(&b.Phases, e.Phase)
	include(&b.RPCs, e.Service+"/"+e.Method)
	for _, name := range slices.Sorted(maps.Keys(e.Attributes)) {
		include(&b.Attributes, name)
	}
	for _, name := range slices.Sorted(maps.Keys(e.Metadata)) {
		include(&b.Reads, name)
	}
	if e.Result != nil {
		for _, name := range slices.Sorted(maps.Keys(e.Result.Metadata)) {
			include(&b.Writes, name)
		}
	}
	switch {
	case e.Failure == nil:
	case e.Phase == interceptor.PostCommit:
		b.PostCommitPolicy = e.Failure.Policy
	default:
		b.FailurePolicy = e.Failure.Policy
	}
}

func include[T comparable](list *[]T, v T) {
	if !slices.Contains(*list, v) {
		*list = append(*list, v)
	}
}

// Describe implements [interceptor.Interceptor].
func (m *mime) Describe(context.Context) (*interceptor.Manifest, error) { return m.manifest, nil }

// Evaluate implements [interceptor.Interceptor].
func (m *mime) Evaluate(ctx context.Context, e *interceptor.Evaluation) (*interceptor.Result, error) {
	s, err := m.recorded(e)
	if err != nil {
		return nil, err
	}
	if s.Failure != nil {
		return m.fail(ctx, s)
	}
	switch {
	case s.Truncated:
		return nil, m.refuse(fmt.Sprintf("the result of evaluation %s was too large to be recorded", s.UID))
	case slices.ContainsFunc(s.Result.Patches, valueless):
		return nil, m.refuse(fmt.Sprintf("the patches of evaluation %s are redacted", s.UID))
	}
	r := *s.Result
	r.Violation = ""
	return &r, nil
}

// recorded finds the answer to an evaluation.
func (m *mime) recorded(e *interceptor.Evaluation) (*memory, error) {
	key := memoryKey{e.Service, e.Method, e.Binding, e.Phase}
	m.mu.Lock()
	defer m.mu.Unlock()
	var last *memory
	for _, s := range m.memories[key] {
		if len(inputDiff(s.Evaluation, e)) > 0 {
			continue
		}
		if last = s; !s.played {
			break
		}
	}
	if last != nil {
		last.played = true
		m.exact++
		return last, nil
	}
	if list := m.memories[key]; m.lenient && len(list) > 0 {
		m.nearest++
		i := m.next[key]
		m.next[key] = min(i+1, len(list)-1)
		return list[i], nil
	}
	return nil, m.note(m.unmatched(key, e))
}

// refuse notes that an evaluation cannot be answered, and is the error that says so.
func (m *mime) refuse(why string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.note(why)
}

// note is refuse for who holds mu.
func (m *mime) note(why string) error {
	if m.times[why]++; m.times[why] == 1 {
		m.unknown = append(m.unknown, why)
	}
	return status.Error(codes.FailedPrecondition, "replay: "+why)
}

// unmatched says how what is asked differs from the nearest that was recorded.
func (m *mime) unmatched(key memoryKey, e *interceptor.Evaluation) string {
	list := m.memories[key]
	if len(list) == 0 {
		var others []string
		for k := range m.memories {
			if k.binding == key.binding || k.service == key.service && k.method == key.method {
				others = append(others, k.String())
			}
		}
		if len(others) == 0 {
			return profile.Printable(fmt.Sprintf("nothing was recorded of %s", key))
		}
		slices.Sort(others)
		return profile.Printable(fmt.Sprintf("nothing was recorded of %s, but of %s", key, strings.Join(others, ", ")))
	}
	var nearest *memory
	var least []string
	for _, s := range list {
		if d := inputDiff(s.Evaluation, e); nearest == nil || len(d) < len(least) {
			nearest, least = s, d
		}
	}
	const most = 5
	shown := strings.Join(least[:min(len(least), most)], "; ")
	if n := len(least) - most; n > 0 {
		shown += fmt.Sprintf("; and %d more", n)
	}
	return profile.Printable(fmt.Sprintf("nothing was recorded of %s with this input; nearest is evaluation %s of operation %s: %s",
		key, nearest.UID, nearest.Operation, shown))
}

// fail fails as the interceptor did then.
func (m *mime) fail(ctx context.Context, s *memory) (*interceptor.Result, error) {
	switch kind := s.Failure.Kind; kind {
	case interceptor.Timeout, interceptor.Cancelled:
		select {
		case <-ctx.Done():
			return nil, status.FromContextError(ctx.Err()).Err()
		case <-m.stopped:
			return nil, status.Error(codes.Unavailable, "replay: the test is over")
		}
	case interceptor.Unavailable, interceptor.Limit:
		return nil, &interceptor.Failure{Kind: kind, Detail: "replay: as recorded"}
	case interceptor.Scope:
		// A namespace that no binding may be granted.
		return &interceptor.Result{Decision: interceptor.Allow, Metadata: map[string]map[string]any{"docket.recorded": {}}}, nil
	case interceptor.InvalidResult:
		return invalid(s.Phase), nil
	default: // a panic: the wire has one word for it and for all that is INTERNAL
		return nil, &interceptor.Failure{Kind: interceptor.Panic, Detail: "interceptor panicked: replay: as recorded"}
	}
}

// invalid returns a result that breaks the contract in a phase.
func invalid(phase interceptor.Phase) *interceptor.Result {
	if phase == interceptor.PostCommit {
		return &interceptor.Result{Decision: interceptor.Deny, Reason: "replay: as recorded"}
	}
	return &interceptor.Result{Decision: interceptor.Modify, Patches: []interceptor.Patch{{
		Op: "test", Path: "/replay~1as~1recorded", Value: []byte(`"an invalid result was recorded"`),
	}}}
}

// tell says in the end what was asked.
func (m *mime) tell(t testing.TB) {
	t.Helper()
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.lenient {
		t.Logf("replay: %d evaluations answered as recorded, %d by the next answer of the same binding", m.exact, m.nearest)
	}
	if len(m.unknown) == 0 {
		return
	}
	var b strings.Builder
	for _, why := range m.unknown {
		fmt.Fprintf(&b, "\n  %d x %s", m.times[why], why)
	}
	t.Errorf("replay: the gateway asked what the record does not answer:%s", b.String())
}
