// SPDX-License-Identifier: Apache-2.0

package grpcproxy

import (
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/docket-audit/docket/interceptor"
	"github.com/docket-audit/docket/internal/secretwalk"
	sandboxv1 "github.com/docket-audit/docket/schemas/proto/demo/sandbox/v1"
)

// observed is a proxy whose binding of CreateSandbox keeps what it is shown.
func observed(t *testing.T, cfg Config, edit func(*interceptor.Binding)) (*upstream, *recorder, func() *interceptor.Evaluation, *grpc.ClientConn) {
	t.Helper()
	rec, u, shown := &recorder{}, newUpstream(t, "", nil), make(chan *interceptor.Evaluation, 1)
	u.script(create, answering(func([]byte) ([]byte, error) { return nil, nil }))
	b := bind(create, func(_ context.Context, e *interceptor.Evaluation) (*interceptor.Result, error) {
		shown <- e
		return &interceptor.Result{Decision: interceptor.Allow}, nil
	})
	if edit != nil {
		edit(&b)
	}
	cfg.Chain, cfg.Descriptors = newChain(t, rec, nil, b), descriptorSet(t)
	_, conn := serveProxy(t, u, cfg)
	return u, rec, func() *interceptor.Evaluation { return <-shown }, conn
}

// withCanaries is a call with a credential in every header that may carry one.
func withCanaries(ctx context.Context) context.Context {
	for _, key := range secretHeaders {
		ctx = metadata.AppendToOutgoingContext(ctx, key, "canary-"+key)
	}
	return ctx
}

var secretHeaders = []string{"authorization", "proxy-authorization", "cookie", "set-cookie", "x-api-key", "x_api_key", "apikey", "x-goog-api-key", "x-auth-token", "x_csrf_token", "token"}

// What bindings see of a call's metadata: what the configuration takes from it,
// and of that what they are granted.
func TestAttributesAndNamespaces(t *testing.T) {
	cfg := Config{
		Attributes: []string{"X-Team", "x-bin", "x-many", "x-absent"},
		Metadata:   MetadataFrom(map[string][]string{"org": append([]string{"X-Team", "x-many", "x-raw-bin", "x-absent"}, secretHeaders...), "other": {"x-team"}, "none": {"x-absent"}}),
	}
	_, rec, shown, conn := observed(t, cfg, func(b *interceptor.Binding) {
		b.Attributes, b.Reads = []string{"request.*"}, []string{"org", "none"}
	})
	ctx := metadata.AppendToOutgoingContext(withCanaries(t.Context()), "x-team", "blue", "x-many", "1", "x-many", "2", "x-raw-bin", "\x00", "x-other", "unseen", "x-request-id", "r-1")
	if _, _, _, err := unary(ctx, conn, create, nil); err != nil {
		t.Fatal(err)
	}
	e, op := shown(), first(rec.newest(t))
	attributes := map[string]string{"request.method": "POST", "request.path": create, "request.headers.x-team": "blue", "request.headers.x-many": "1,2"}
	if d := cmp.Diff(attributes, e.Attributes); d != "" {
		t.Errorf("attributes: %s", d)
	}
	org := map[string]any{"x-team": "blue", "x-many": "1,2"}
	if d := cmp.Diff(map[string]map[string]any{"org": org}, e.Metadata); d != "" {
		t.Errorf("metadata: %s", d)
	}
	if d := cmp.Diff(map[string]map[string]any{"org": org, "other": {"x-team": "blue"}}, op.Metadata); d != "" {
		t.Errorf("the operation's metadata: %s", d)
	}
	if e.RequestID != "r-1" || op.RequestID != "r-1" {
		t.Errorf("request ids %q and %q", e.RequestID, op.RequestID)
	}
	for k := range attributes {
		delete(op.Attributes, k)
	}
	if len(op.Attributes) != 1 || !strings.HasPrefix(op.Attributes["user_agent"], "grpc-go/") {
		t.Errorf("besides the operation has the attributes %v", op.Attributes)
	}
}

func first(op interceptor.Operation, _ *interceptor.Outcome) interceptor.Operation { return op }

// Credentials go to the service, and nowhere else: a function of the operator's
// own is not shown them, whatever it makes of the rest.
func TestCredentialsStayWithTheService(t *testing.T) {
	everything := func(md metadata.MD) map[string]map[string]any {
		all := map[string]any{}
		for k, v := range md {
			all[k] = strings.Join(v, ",")
		}
		return map[string]map[string]any{"all": all}
	}
	u, rec, shown, conn := observed(t, Config{Metadata: everything}, func(b *interceptor.Binding) {
		b.Attributes, b.Reads = []string{"*"}, []string{"all"}
	})
	if _, _, _, err := unary(metadata.AppendToOutgoingContext(withCanaries(t.Context()), "x-seen", "yes"), conn, create, nil); err != nil {
		t.Fatal(err)
	}
	e, op := shown(), first(rec.newest(t))
	if e.Metadata["all"]["x-seen"] != "yes" {
		t.Errorf("the binding was shown %v", e.Metadata)
	}
	for what, v := range map[string]any{"evaluation": fmt.Sprintf("%+v", *e), "operation": fmt.Sprintf("%+v", op)} {
		if strings.Contains(v.(string), "canary") {
			t.Errorf("a credential is in the %s: %s", what, v)
		}
	}
	for _, key := range secretHeaders {
		if v := u.saw(create).Get(key); len(v) != 1 || v[0] != "canary-"+key {
			t.Errorf("the service got %v for %s", v, key)
		}
	}
}

func TestAttributesRefuseCredentials(t *testing.T) {
	for _, key := range append([]string{"Authorization", "X-API-Key"}, secretHeaders...) {
		_, err := New(Config{Chain: newChain(t, nil, nil), Upstream: dial(t, newUpstream(t, "", nil).lis), Attributes: []string{"x-team", key}})
		if err == nil || !strings.Contains(err.Error(), fmt.Sprintf("header %q carries credentials", key)) {
			t.Errorf("%s: %v", key, err)
		}
	}
	defer func() {
		if recover() == nil {
			t.Error("a server interceptor was made that shows credentials")
		}
	}()
	Config{Chain: newChain(t, nil, nil), Attributes: []string{"cookie"}}.Unary()
}

// A caller's name for its request is told on only when it can be.
func TestRequestIDs(t *testing.T) {
	_, _, shown, conn := observed(t, Config{}, nil)
	for _, c := range []struct {
		sent []string
		want string
	}{
		{nil, ""},
		{[]string{"a b~"}, "a b~"},
		{[]string{""}, ""},
		{[]string{"a", "b"}, ""},
		{[]string{strings.Repeat("x", 128)}, strings.Repeat("x", 128)},
		{[]string{strings.Repeat("x", 129)}, ""},
	} {
		ctx := t.Context()
		for _, id := range c.sent {
			ctx = metadata.AppendToOutgoingContext(ctx, "x-request-id", id)
		}
		if _, _, _, err := unary(ctx, conn, create, nil); err != nil {
			t.Fatal(err)
		}
		if got := shown().RequestID; got != c.want {
			t.Errorf("of %q the binding was told %q; want %q", c.sent, got, c.want)
		}
	}
}

// What comes from clients in other ways than gRPC's own holds any bytes.
func TestHeadersAreText(t *testing.T) {
	for given, want := range map[string]string{
		"a\xffb": "a\ufffdb", "ü": "ü", "": "",
		strings.Repeat("ü", maxAttribute):          strings.Repeat("ü", maxAttribute/2) + "...",
		"x" + strings.Repeat("ü", maxAttribute):    "x" + strings.Repeat("ü", maxAttribute/2-1) + "...",
		strings.Repeat("x", maxAttribute):          strings.Repeat("x", maxAttribute),
		"\xff" + strings.Repeat("x", maxAttribute): strings.Repeat("x", maxAttribute-1) + "...",
	} {
		if got, ok := textOf(metadata.Pairs("k", given), "K"); !ok || got != want {
			t.Errorf("of %.10q... came %.10q..., %d bytes, want %d", given, got, len(got), len(want))
		}
		if isRequestID(given) {
			t.Errorf("%.10q... can be told on as the name of a request", given)
		}
	}
	for _, id := range []string{"a\tb", "a\x7f", "a\r\nb", "ü"} {
		if isRequestID(id) {
			t.Errorf("%q can be told on as the name of a request", id)
		}
	}
}

// A principal may come from whatever the operator verifies: here a token that
// somebody signed, which no interceptor sees.
func TestPrincipalByToken(t *testing.T) {
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	encode := base64.RawURLEncoding.EncodeToString
	sign := func(key ed25519.PrivateKey, claims string) string {
		signed := encode([]byte(`{"alg":"EdDSA"}`)) + "." + encode([]byte(claims))
		return "Bearer " + signed + "." + encode(ed25519.Sign(key, []byte(signed)))
	}
	principal := func(ctx context.Context, md metadata.MD) (map[string]string, error) {
		token, _ := strings.CutPrefix(strings.Join(md.Get("authorization"), ""), "Bearer ")
		signed, signature, _ := cutLast(token, ".")
		raw, err := base64.RawURLEncoding.DecodeString(signature)
		if err != nil || !ed25519.Verify(public, []byte(signed), raw) {
			return anonymous(), nil
		}
		_, payload, _ := strings.Cut(signed, ".")
		text, _ := base64.RawURLEncoding.DecodeString(payload)
		var claims struct{ Sub, Name string }
		if json.Unmarshal(text, &claims) != nil {
			return anonymous(), nil
		}
		return map[string]string{"kind": "user", "subject": claims.Sub, "display_name": claims.Name, "provider": "oidc"}, nil
	}
	_, stranger, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	_, rec, shown, conn := observed(t, Config{Principal: principal}, func(b *interceptor.Binding) { b.Attributes = []string{"*"} })
	claims := `{"sub":"alice","name":"Alice"}`
	for name, c := range map[string]struct {
		token string
		want  map[string]string
	}{
		"good":       {sign(private, claims), map[string]string{"kind": "user", "subject": "alice", "display_name": "Alice", "provider": "oidc"}},
		"stranger's": {sign(stranger, claims), map[string]string{"kind": "anonymous"}},
		"none":       {"", map[string]string{"kind": "anonymous"}},
	} {
		ctx := t.Context()
		if c.token != "" {
			ctx = metadata.AppendToOutgoingContext(ctx, "authorization", c.token)
		}
		if _, _, _, err := unary(ctx, conn, create, nil); err != nil {
			t.Fatal(err)
		}
		e, op := shown(), first(rec.newest(t))
		if d := cmp.Diff(c.want, e.Principal); d != "" {
			t.Errorf("%s: the binding was told %s", name, d)
		}
		if all := fmt.Sprintf("%+v %+v", *e, op); c.token != "" && strings.Contains(all, c.token[len(c.token)-20:]) {
			t.Errorf("%s: the token was passed on: %s", name, all)
		}
	}
}

func cutLast(s, sep string) (before, after string, found bool) {
	i := strings.LastIndex(s, sep)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+len(sep):], true
}

// Of two tenants, or two names, none is believed.
func TestTrustedKeys(t *testing.T) {
	tenant, principal := TenantFrom("X-Tenant", "fallback"), PrincipalFrom("X-User")
	nobody := map[string]string{"kind": "anonymous"}
	for name, c := range map[string]struct {
		md        metadata.MD
		tenant    string
		principal map[string]string
	}{
		"none":  {nil, "fallback", nobody},
		"empty": {metadata.Pairs("x-tenant", "", "x-user", ""), "fallback", nobody},
		"one":   {metadata.Pairs("x-tenant", "acme", "x-user", "alice"), "acme", map[string]string{"kind": "user", "subject": "alice"}},
		"two":   {metadata.Pairs("x-tenant", "acme", "x-tenant", "other", "x-user", "alice", "x-user", "mallory"), "fallback", nobody},
	} {
		got, err := tenant(c.md)
		if got != c.tenant || (err != nil) != (name == "two") {
			t.Errorf("%s: tenant %q, want %q, %v", name, got, c.tenant, err)
		}
		who, err := principal(t.Context(), c.md)
		if d := cmp.Diff(c.principal, who); d != "" || (err != nil) != (name == "two") {
			t.Errorf("%s: principal %s, %v", name, d, err)
		}
	}
}

// What is recorded of a call's metadata has to fit into an event.
func TestLongMetadataIsRefused(t *testing.T) {
	u, rec, shown, conn := observed(t, Config{}, nil)
	ctx := metadata.AppendToOutgoingContext(t.Context(), "x-long", strings.Repeat("x", maxHeaderBytes))
	if tr := converse(ctx, conn, create, false, [][]byte{{}}); tr.Code == codes.OK || u.called(create) != 0 || len(rec.outcomes) != 0 {
		t.Errorf("got %+v", tr)
	}
	ctx = metadata.AppendToOutgoingContext(t.Context(), "x-long", strings.Repeat("x", maxHeaderBytes/2))
	if tr := converse(ctx, conn, create, false, [][]byte{{}}); tr.Code != codes.OK {
		t.Errorf("got %+v", tr)
	}
	shown()
}

// Bindings select operations by principal and labels, over the wire too.
func TestSelectedByPrincipalAndLabels(t *testing.T) {
	rec, u := &recorder{}, newUpstream(t, "", nil)
	u.script(create, answering(func([]byte) ([]byte, error) { return nil, nil }))
	deny := bind(create, func(context.Context, *interceptor.Evaluation) (*interceptor.Result, error) {
		return &interceptor.Result{Decision: interceptor.Deny, Reason: "not you, not there"}, nil
	})
	deny.Principals, deny.Labels = []string{"user/mallory"}, map[string]string{"env": "prod"}
	_, conn := serveProxy(t, u, Config{Chain: newChain(t, rec, nil, deny), Descriptors: descriptorSet(t), Principal: PrincipalFrom("x-user")})
	for _, c := range []struct {
		user, env string
		want      codes.Code
	}{
		{"mallory", "prod", codes.PermissionDenied}, {"mallory", "test", codes.OK}, {"mallory", "", codes.OK}, {"alice", "prod", codes.OK}, {"", "prod", codes.OK},
	} {
		ctx := t.Context()
		if c.user != "" {
			ctx = metadata.AppendToOutgoingContext(ctx, "x-user", c.user)
		}
		in := &sandboxv1.CreateSandboxRequest{Sandbox: &sandboxv1.Sandbox{}}
		if c.env != "" {
			in.Sandbox.Labels = map[string]string{"env": c.env}
		}
		tr := converse(ctx, conn, create, false, [][]byte{encode(t, in)})
		if tr.Code != c.want || len(tr.Trailer.Get("docket-operation-uid")) != 1 {
			t.Errorf("%+v: got %+v", c, tr)
		}
		if op := first(rec.newest(t)); op.Labels["env"] != c.env {
			t.Errorf("%+v: labels %v", c, op.Labels)
		}
	}
}

// Labels are those of the request, or of the one message in it.
func TestLabels(t *testing.T) {
	const (
		text    = descriptorpb.FieldDescriptorProto_TYPE_STRING
		message = descriptorpb.FieldDescriptorProto_TYPE_MESSAGE
	)
	field := func(name string, number int32, kind descriptorpb.FieldDescriptorProto_Type, of string) *descriptorpb.FieldDescriptorProto {
		f := &descriptorpb.FieldDescriptorProto{Name: &name, Number: &number, Type: &kind, Label: descriptorpb.FieldDescriptorProto_LABEL_OPTIONAL.Enum()}
		if of != "" {
			f.TypeName = &of
		}
		return f
	}
	msg := func(name string, fields ...*descriptorpb.FieldDescriptorProto) *descriptorpb.DescriptorProto {
		return &descriptorpb.DescriptorProto{Name: &name, Field: fields}
	}
	labelled := msg("Labelled", field("labels", 1, message, ".t.Labelled.LabelsEntry"))
	labelled.Field[0].Label = descriptorpb.FieldDescriptorProto_LABEL_REPEATED.Enum()
	entry, isMap := msg("LabelsEntry", field("key", 1, text, ""), field("value", 2, text, "")), true
	entry.Options = &descriptorpb.MessageOptions{MapEntry: &isMap}
	labelled.NestedType = append(labelled.NestedType, entry)
	marked := &descriptorpb.FieldOptions{}
	marked.ProtoReflect().SetUnknown(protowire.AppendVarint(protowire.AppendTag(nil, secretwalk.Option, protowire.VarintType), 1))
	secretLabels, secretInner := proto.CloneOf(labelled), field("inner", 1, message, ".t.Labelled")
	secretLabels.Name, secretLabels.Field[0].TypeName = new("SecretLabels"), new(".t.SecretLabels.LabelsEntry")
	secretLabels.Field[0].Options, secretInner.Options = marked, marked
	name, syntax, pkg := "t.proto", "proto3", "t"
	files, err := link(&descriptorpb.FileDescriptorSet{File: []*descriptorpb.FileDescriptorProto{{
		Name: &name, Syntax: &syntax, Package: &pkg,
		MessageType: []*descriptorpb.DescriptorProto{
			labelled,
			msg("One", field("inner", 1, message, ".t.Labelled"), field("name", 2, text, "")),
			msg("Two", field("a", 1, message, ".t.Labelled"), field("b", 2, message, ".t.Labelled")),
			msg("Other", field("labels", 1, text, "")),
			msg("Deep", field("one", 1, message, ".t.One")),
			secretLabels, msg("Inside", secretInner),
		},
	}}})
	if err != nil {
		t.Fatal(err)
	}
	// A map's entry a=b, alone and as field 1 of another message.
	const alone, inside = "\x0a\x06\x0a\x01a\x12\x01b", "\x0a\x08\x0a\x06\x0a\x01a\x12\x01b"
	ab := map[string]string{"a": "b"}
	for _, c := range []struct {
		of, raw string
		want    map[string]string
	}{
		{"Labelled", alone, ab},
		{"Labelled", "", nil},
		{"One", inside, ab},
		{"One", "", nil},
		{"One", "\x0a\x00", nil},
		{"Two", inside, nil},
		{"Other", "\x0a\x01a", nil},
		{"Deep", "\x0a\x0a" + inside, nil},
		{"SecretLabels", alone, nil},
		{"Inside", inside, nil},
	} {
		d, err := files.FindDescriptorByName(protoreflect.FullName("t." + c.of))
		if err != nil {
			t.Fatal(err)
		}
		m := &method{types: types{dynamicpb.NewTypes(files)}}
		got, err := m.decode(d.(protoreflect.MessageDescriptor), []byte(c.raw))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(c.want, labelsOf(got.ProtoReflect(), secretwalk.Walk{})); diff != "" {
			t.Errorf("%s %q: %s", c.of, c.raw, diff)
		}
	}
}

// A call that says more than once whose it is, is refused: nobody may choose
// which of the values counts.
func TestIdentityThatIsNotClear(t *testing.T) {
	rec := &recorder{}
	u := newUpstream(t, "", nil)
	_, conn := serveProxy(t, u, Config{
		Chain: newChain(t, rec, nil, bind(create, allowing)), Descriptors: descriptorSet(t),
		Tenant: TenantFrom("x-tenant", ""), Principal: PrincipalFrom("x-user"),
	})
	for _, key := range []string{"x-tenant", "x-user"} {
		ctx := metadata.AppendToOutgoingContext(t.Context(), key, "a", key, "b")
		_, _, trailer, err := unary(ctx, conn, create, request(t))
		op, outcome := rec.newest(t)
		if status.Code(err) != codes.InvalidArgument || u.called(create) != 0 || outcome.Decision != interceptor.Deny || outcome.Ran {
			t.Errorf("%s twice: %v, %+v", key, err, outcome)
		}
		if uid := trailer.Get("docket-operation-uid"); len(uid) != 1 || uid[0] != string(op.UID) {
			t.Errorf("%s twice: the answer names %v", key, uid)
		}
	}
}
