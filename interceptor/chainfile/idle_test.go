// SPDX-License-Identifier: Apache-2.0

package chainfile

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/docket-audit/docket/interceptor"
)

// What is granted and nobody provides is warned of, at the load and by Explain,
// which knows of an interceptor that is far away only what the file grants it.
func TestGrantsThatNobodyProvides(t *testing.T) {
	const gateway = "[gateway]\nunmatched=\"allow\"\nattributes=[\"x-team\"]\n"
	near := declares(interceptor.Binding{
		ID: "one", Phases: phases(validate), Attributes: []string{"*"}, Reads: []string{"team", "other"}, Writes: []string{"other"},
	})
	header := func(list string) string {
		return `interceptor "a": it is granted attribute "request.headers.` + list
	}
	for _, c := range []struct {
		name   string
		grants string
		want   []string
	}{
		{"what there is", `attributes=["source.address","user_agent","request.method","request.path","request.headers.x-team"]`, nil},
		{"patterns that match some of it", `attributes=["request.*","source.*","request.headers.x-*"]`, nil},
		{"none there", `attributes=["destination.port"]`, []string{`interceptor "a": it is granted attribute "destination.port", which no operation has: the proxy gives it source.address, user_agent, request.method, request.path, and the headers of [gateway] attributes`}},
		{"a header that is not listed", `attributes=["request.headers.x-tea"]`, []string{header(`x-tea", which no operation has: list the header in [gateway], attributes = ["x-tea"]`)}},
		{"headers that are not listed", `attributes=["request.headers.y-*"]`, []string{header(`y-*", which no operation has: list the headers in [gateway] attributes`)}},
		{"of an agent", `attributes=["agent.id","user_agent"]`, []string{`interceptor "a": it is granted attribute "agent.id", which no operation has: the proxy gives it source.address, user_agent, request.method, request.path, and the headers of [gateway] attributes`}},
		{"a namespace that is written", "accessible_namespaces=[\"other\"]\nwritable_namespaces=[\"other\"]", nil},
		{"a namespace that is not", "accessible_namespaces=[\"team\"]\nwritable_namespaces=[\"other\"]", []string{`interceptor "a": it is granted metadata namespace "team", which no binding may write`}},
	} {
		t.Run(c.name, func(t *testing.T) {
			text := gateway + "[[interceptors]]\nname=\"a\"\ngrpc_endpoint=\"unix:///a\"\nbinding_policy=\"dynamic\"\n" + c.grants + "\n"
			f, err := read(t, text, Local("a", near))
			if err != nil {
				t.Fatal(err)
			}
			e, err := Explain(write(t, text))
			if err != nil {
				t.Fatal(err)
			}
			if len(e.Unread) != 1 {
				t.Errorf("unread: %v", e.Unread)
			}
			for who, got := range map[string][]string{"load": f.Warnings, "explain": e.Warnings} {
				if d := cmp.Diff(strings.Join(c.want, "\n"), strings.Join(got, "\n")); d != "" {
					t.Errorf("%s: %s", who, d)
				}
			}
		})
	}
}

// A grant of a bindings table counts, that of a binding which is switched off
// does not.
func TestGrantsOfBindings(t *testing.T) {
	text := service1(`grpc_endpoint="unix:///a"`, binding1(`id="one"`, `attributes=["destination.port"]`), binding1(`id="two"`, `attributes=["destination.address"]`, `disabled=true`))
	e, err := Explain(write(t, text))
	if err != nil {
		t.Fatal(err)
	}
	if len(e.Warnings) != 1 || !strings.Contains(e.Warnings[0], "destination.port") {
		t.Errorf("warnings %q", e.Warnings)
	}
}

// Under unmatched = "deny" who only observes makes no method that is denied one
// that is allowed, which is warned of.
func TestObserversGovernNothing(t *testing.T) {
	const deny = "[gateway]\nunmatched=\"deny\"\n[[interceptors]]\nname=\"a\"\nmode=\"enforce\"\n"
	only := func(what string) string {
		return `binding "post" of interceptor "a" only observes: unmatched = "deny" denies ` + what
	}
	for _, c := range []struct {
		name     string
		text     string
		bindings []interceptor.Binding
		want     []string
	}{
		{"every method", deny, []interceptor.Binding{binds("post", phases(post))}, []string{only("what no other binding judges")}},
		{"one method", deny, []interceptor.Binding{binds("post", phases(post), "s/m", "s/n"), binds("one", phases(validate), "s/n")}, []string{only("s/m")}},
		{"every method, of which one is judged", deny, []interceptor.Binding{binds("post", phases(post)), binds("one", phases(modify), "s/n")}, []string{only("what no other binding judges")}},
		{"all are judged", deny, []interceptor.Binding{binds("post", phases(post)), binds("one", phases(modify))}, nil},
		{"it judges, too", deny, []interceptor.Binding{binds("post", phases(validate, post))}, nil},
		{"allowed", strings.Replace(deny, "deny", "allow", 1), []interceptor.Binding{binds("post", phases(post))}, nil},
		{"a shadow is none that judges", strings.Replace(deny, "enforce", "shadow", 1), []interceptor.Binding{binds("post", phases(post)), binds("one", phases(validate))}, nil},
		{
			"by a shadow alone", deny + binding1(`id="one"`, `mode="shadow"`),
			[]interceptor.Binding{binds("post", phases(post), "s/m"), binds("one", phases(validate), "s/m")},
			[]string{only("s/m")},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			f, err := read(t, c.text, Local("a", declares(c.bindings...)))
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(strings.Join(c.want, "\n"), strings.Join(f.Warnings, "\n")); d != "" {
				t.Error(d)
			}
		})
	}
}
