// SPDX-License-Identifier: Apache-2.0

package chainfile

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"testing"

	"github.com/docket-audit/docket/interceptor"
	"github.com/docket-audit/docket/internal/regular"
)

// An Option changes how a file is read.
type Option func(*options)

type options struct {
	local map[string]func(settings map[string]any) (interceptor.Interceptor, error)
	links []LinkFunc
	dial  DialFunc
}

// Local links the interceptor with this name in process: it is called in place
// of what the file's endpoint would serve.
func Local(name string, impl interceptor.Interceptor) Option {
	return Make(name, func(map[string]any) (interceptor.Interceptor, error) { return impl, nil })
}

// Make is Local for an interceptor that is made from its settings table. Its
// values have the types that package encoding/json gives: a whole number is a
// float64.
func Make(name string, impl func(settings map[string]any) (interceptor.Interceptor, error)) Option {
	return func(o *options) { o.local[name] = impl }
}

// A LinkFunc makes an interceptor of its name and its settings table, or returns
// nil for one that it does not know.
type LinkFunc func(name string, settings map[string]any) (interceptor.Interceptor, error)

// Link is [Make] where the settings say what is to be linked: the name of an
// interceptor is its operator's to choose, and another's may have the same.
func Link(link LinkFunc) Option { return func(o *options) { o.links = append(o.links, link) } }

// An Endpoint is what is to be dialled.
type Endpoint struct {
	Interceptor      string // configured name
	URL              string
	CACertPath       string
	MaxResponseBytes int // the greatest answer that is of use

	// Audience is whom a token is for; "" when it is called without one. Insecure
	// says that the operator lets it travel over http:// in the plain. Tokens is
	// what it is made of, not nil where there is an audience.
	Audience string
	Insecure bool
	Tokens   *Tokens

	// ClientCert and ClientKey are paths of PEM files; both or none.
	ClientCert, ClientKey string
}

// A DialFunc connects to an interceptor. It does not need to wait for the
// connection: Describe does.
type DialFunc func(ctx context.Context, e Endpoint) (Client, error)

// A Client is an interceptor at the other end of a connection.
type Client interface {
	interceptor.Interceptor
	io.Closer
}

// Dialer sets what connects to endpoints, in place of package remote.
func Dialer(dial DialFunc) Option { return func(o *options) { o.dial = dial } }

func newOptions(opts []Option) *options {
	o := &options{local: map[string]func(map[string]any) (interceptor.Interceptor, error){}, dial: dialRemote}
	for _, opt := range opts {
		opt(o)
	}
	return o
}

// A File is a file that was read, with its interceptors connected.
type File struct {
	Plan        *interceptor.Plan
	Gateway     Gateway
	Explanation *Explanation
	Warnings    []string // what the operator should know, as sentences

	// What the file says to those who record and who call. Tokens is nil when
	// interceptors are called without one.
	Redactions []Redaction
	Capture    Capture
	Tokens     *Tokens

	closers []io.Closer
}

// Close ends the connections to interceptors.
func (f *File) Close() error {
	var errs []error
	for _, c := range f.closers {
		errs = append(errs, c.Close())
	}
	f.closers = nil
	return errors.Join(errs...)
}

// maxFile is the size of a file that nobody writes by hand.
const maxFile = 16 << 20

// Load reads a file, connects to its interceptors and asks each for its
// manifest, within the interceptor's own timeout, three times; making a connection
// may take 5 s. An interceptor that does not answer is an error. The connections last until [File.Close].
func Load(ctx context.Context, path string, opts ...Option) (*File, error) {
	data, err := regular.ReadAtMost(path, maxFile)
	if err != nil {
		return nil, fmt.Errorf("read chain file: %w", err)
	}
	return Parse(ctx, path, data, opts...)
}

// Parse is [Load] of a text. The name is what errors call it, and relative
// paths in it are taken from the name's directory.
func Parse(ctx context.Context, name string, data []byte, opts ...Option) (*File, error) {
	s, services, err := parse(name, data)
	if err != nil {
		return nil, err
	}
	b := newBuilder(name, s, services)
	f := &File{Gateway: s.gateway, Redactions: s.redactions, Capture: s.capture, Tokens: s.tokens}
	o := newOptions(opts)
	for _, svc := range services {
		impl, err := f.connect(ctx, svc, o)
		if err == nil {
			err = b.add(ctx, svc, impl)
		}
		if err != nil {
			return nil, errors.Join(err, f.Close())
		}
	}
	b.finish()
	f.Plan, f.Explanation, f.Warnings = b.plan, b.explanation, b.explanation.Warnings
	return f, nil
}

// connect finds what is called for a service.
func (f *File) connect(ctx context.Context, svc *service, o *options) (interceptor.Interceptor, error) {
	if impl, err := svc.local(o); impl != nil || err != nil {
		return impl, err
	}
	if svc.endpoint == "" {
		return nil, svc.errNoEndpoint()
	}
	client, err := o.dial(ctx, Endpoint{
		Interceptor: svc.name, URL: svc.endpoint, CACertPath: svc.caCert, MaxResponseBytes: svc.maxResponseBytes,
		Audience: svc.audience, Insecure: svc.table.AllowInsecureTransport, ClientCert: svc.clientCert, ClientKey: svc.clientKey, Tokens: f.Tokens,
	})
	if err != nil {
		return nil, svc.unreachable("cannot be called", "correct its table", err)
	}
	f.closers = append(f.closers, client)
	return client, nil
}

// link makes the interceptor that is linked in process; nil when none is. One
// that is linked by its name is there, even if it is nil.
func (o *options) link(name string, settings map[string]any) (impl interceptor.Interceptor, linked bool, err error) {
	if link, ok := o.local[name]; ok {
		impl, err = link(settings)
		return impl, true, err
	}
	for _, link := range o.links {
		if impl, err = link(name, settings); impl != nil || err != nil {
			return impl, true, err
		}
	}
	return nil, false, nil
}

// local makes the interceptor that is linked in process; nil when none is.
func (s *service) local(o *options) (interceptor.Interceptor, error) {
	impl, linked, err := o.link(s.name, s.settings)
	if !linked {
		return nil, nil
	}
	s.endpoint = ""
	if err != nil {
		return nil, s.errorf("settings", "", "make it from its settings: %v", err)
	}
	if impl == nil {
		return nil, s.errorf("name", "", "what is linked in process is nil")
	}
	return impl, nil
}

func (s *service) errNoEndpoint() error {
	return s.table.Errorf("name", `add grpc_endpoint, or link it in process with chainfile.Local("`+s.name+`", ...)`,
		"interceptor %q has no grpc_endpoint", s.name)
}

// builder makes the plan and its explanation, one service after the other in
// the order in which they run.
type builder struct {
	plan        *interceptor.Plan
	explanation *Explanation
	gateway     Gateway
	granted     []grant
}

func newBuilder(name string, s settings, services []*service) *builder {
	slices.SortStableFunc(services, func(a, b *service) int {
		return cmp.Or(cmp.Compare(a.table.Order, b.table.Order), cmp.Compare(a.name, b.name))
	})
	b := &builder{
		gateway: s.gateway,
		plan:    &interceptor.Plan{Unmatched: s.gateway.Unmatched, Audit: s.audit, AuditMethods: s.audits, AuditDeadline: s.deadline, Answer: s.answer, SecretOption: s.secret},
	}
	b.explanation = newExplanation(name, s)
	return b
}

// add asks an interceptor for its manifest and puts its bindings into the plan.
func (b *builder) add(ctx context.Context, svc *service, impl interceptor.Interceptor) error {
	manifest, err := svc.describe(ctx, impl)
	if err != nil {
		return svc.undescribed(fmt.Errorf("describe: %w", err))
	}
	if manifest == nil {
		return svc.errorf("name", "", "its manifest is nil")
	}
	if err := svc.checkAudience(manifest); err != nil {
		return err
	}
	bindings, warnings, err := svc.resolve(manifest)
	if err != nil {
		return err
	}
	b.explanation.Warnings = append(b.explanation.Warnings, append(svc.warnings(manifest), warnings...)...)
	for _, r := range bindings {
		b.explanation.Warnings = append(b.explanation.Warnings, oddPrincipals(r.Binding)...)
		r.Impl = impl
		b.grantsOf(r.Binding)
		b.plan.Bindings = append(b.plan.Bindings, r.Binding)
		b.explanation.add(svc, r)
	}
	return nil
}

// finish numbers the bindings over all services: interceptors of one order run
// by what is stated as their bindings' orders, then one after the other, by
// name, each with its bindings in their own order. Then what can only be seen of
// all together is warned of.
func (b *builder) finish() {
	slices.SortStableFunc(b.plan.Bindings, func(x, y interceptor.Binding) int {
		return cmp.Or(cmp.Compare(x.Order, y.Order), cmp.Compare(x.BindingOrder, y.BindingOrder))
	})
	for i := range b.plan.Bindings {
		b.plan.Bindings[i].BindingOrder = int32(i)
	}
	b.warnOfGrants()
	b.warnOfObservers()
}

// warnings says what of a service is less strict than its operator may think.
func (s *service) warnings(m *interceptor.Manifest) []string {
	var out []string
	if s.policy == dynamic && s.endpoint != "" && !s.table.Has("binding_policy") {
		out = append(out, fmt.Sprintf("interceptor %q: its manifest decides what it governs; binding_policy says in writing whether that is meant", s.name))
	}
	switch {
	case s.endpoint == "":
	case s.audience != "" && s.plain():
		out = append(out, fmt.Sprintf("interceptor %q: its token travels in the plain, as allow_insecure_transport allows", s.name))
	case s.audience == "" && (s.table.Audience != "" || m.Audience != ""):
		out = append(out, fmt.Sprintf("interceptor %q: it is called without a token, its audience is not used", s.name))
	}
	return out
}

// FromPlan reads a plan as it was recorded, in JSON. Interceptors that are
// linked with [Local], [Make] or [Link] are attached to their bindings; the others are
// left without an implementation. Nothing is dialled, and nobody is asked for a
// manifest: the plan is what was in force.
func FromPlan(planJSON []byte, opts ...Option) (*interceptor.Plan, error) {
	var plan interceptor.Plan
	d := json.NewDecoder(bytes.NewReader(planJSON))
	d.DisallowUnknownFields()
	if err := d.Decode(&plan); err != nil {
		return nil, fmt.Errorf("read recorded plan: %w", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("read recorded plan: more than one JSON value")
	}
	o := newOptions(opts)
	made := map[string]interceptor.Interceptor{}
	for i := range plan.Bindings {
		b := &plan.Bindings[i]
		impl, ok := made[b.Interceptor]
		if !ok {
			var err error
			if impl, _, err = o.link(b.Interceptor, b.Settings); err != nil {
				return nil, fmt.Errorf("make interceptor %q from its recorded settings: %w", b.Interceptor, err)
			}
			made[b.Interceptor] = impl
		}
		b.Impl = impl
	}
	return &plan, nil
}

// ForTest is [Load] for a test: a bad file ends the test, and the connections
// end with it.
func ForTest(t testing.TB, path string, opts ...Option) *interceptor.Plan {
	t.Helper()
	f, err := Load(t.Context(), path, opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := f.Close(); err != nil {
			t.Errorf("close chain file: %v", err)
		}
	})
	return f.Plan
}
