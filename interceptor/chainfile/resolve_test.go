// SPDX-License-Identifier: Apache-2.0

package chainfile

import (
	"fmt"
	"strings"
	"testing"

	"github.com/docket-audit/docket/interceptor"
)

// short writes bindings in one line each: id methods phases policy/post policy.
func short(p *interceptor.Plan) string {
	var lines []string
	for _, b := range p.Bindings {
		lines = append(lines, fmt.Sprintf("%s[%s] %s %s/%s", b.ID, strings.Join(b.RPCs, " "), strings.ReplaceAll(phaseWords(b.Phases), ", ", "+"), b.FailurePolicy, b.PostCommitPolicy))
	}
	return strings.Join(lines, "; ")
}

// service1 is a file with interceptor "a" and these lines about it.
func service1(lines ...string) string {
	return allow + "[[interceptors]]\nname=\"a\"\n" + strings.Join(lines, "\n") + "\n"
}

func binding1(lines ...string) string {
	return "[[interceptors.bindings]]\n" + strings.Join(lines, "\n")
}

type resolveCase struct {
	name     string
	text     string
	manifest described
	want     string // short form
	err      string
	hint     string
	warning  string
}

func runResolve(t *testing.T, cases []resolveCase) {
	t.Helper()
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			f, err := read(t, c.text, Local("a", c.manifest))
			if c.err != "" {
				refused(t, err, c.err, c.hint)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got := short(f.Plan); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
			if !strings.Contains(strings.Join(f.Warnings, "\n"), c.warning) || c.warning == "" && len(f.Warnings) > 0 {
				t.Errorf("warnings %q, want %q", f.Warnings, c.warning)
			}
		})
	}
}

var two = declares(binds("one", phases(modify, validate), "s/m"), binds("two", phases(validate), "s/n"))

// The manifest is in force, and an override takes away from it.
func TestDynamic(t *testing.T) {
	wild := declares(binds("w", phases(validate)))
	runResolve(t, []resolveCase{
		{name: "as declared", text: service1(), manifest: two, want: "one[s/m] modify_operation+validate fail_closed/; two[s/n] validate fail_closed/"},
		{name: "every method", text: service1(), manifest: wild, want: "w[] validate fail_closed/"},
		{name: "nothing declared", text: service1(), manifest: declares(), want: ""},
		{name: "disabled by id", text: service1(binding1(`id="one"`, "disabled=true")), manifest: two, want: "two[s/n] validate fail_closed/"},
		{name: "disabled by method", text: service1(binding1(`service="s"`, `method="m"`, "disabled=true")), manifest: two, want: "two[s/n] validate fail_closed/"},
		{name: "fewer phases", text: service1(binding1(`rpc="s/m"`, `phases=["validate"]`)), manifest: two, want: "one[s/m] validate fail_closed/; two[s/n] validate fail_closed/"},
		{name: "id before method", text: service1(binding1(`id="one"`, `phases=["validate"]`), binding1(`rpc="s/n"`, `failure_policy="fail_open"`)), manifest: two, want: "one[s/m] validate fail_closed/; two[s/n] validate fail_open/"},
		{name: "every method narrowed", text: service1(binding1(`id="w"`, `rpc="s/m"`)), manifest: wild, want: "w[s/m] validate fail_closed/"},
		{name: "one of several methods", text: service1(binding1(`id="x"`, `rpc="s/n"`)), manifest: declares(binds("x", phases(validate), "s/m", "s/n")), want: "x[s/n] validate fail_closed/"},

		{name: "unknown id", text: service1(binding1(`id="oen"`, "disabled=true")), manifest: two, err: `c.toml:6: binding "oen": interceptor "a" declares no such binding`, hint: "it declares one, two"},
		{name: "unknown method", text: service1(binding1(`rpc="s/x"`)), manifest: two, err: `c.toml:5: s/x: interceptor "a" declares no such binding`, hint: "one, two"},
		{name: "every method not by method", text: service1(binding1(`rpc="s/m"`)), manifest: wild, err: "declares no such binding", hint: "by id: w"},
		{name: "shadowed override", text: service1(binding1(`id="one"`), binding1(`rpc="s/m"`, "disabled=true")), manifest: two, err: `c.toml:7: s/m: interceptor "a" declares no such binding`, hint: ""},
		{name: "other method", text: service1(binding1(`id="one"`, `rpc="s/n"`)), manifest: two, err: `c.toml:7: binding "one" of interceptor "a" cannot be widened to s/n`, hint: "s/m"},
		{name: "more phases", text: service1(binding1(`id="two"`, `phases=["validate","post_commit"]`)), manifest: two, err: `c.toml:7: phase post_commit cannot be added to binding "two"`, hint: "the manifest has validate"},

		{name: "manifest without id", text: service1(), manifest: declares(binds(" ", phases(validate))), err: "c.toml:4: interceptor \"a\": its binding number 1 has no id", hint: "manifest"},
		{name: "manifest id twice", text: service1(), manifest: declares(binds("x", phases(validate)), binds("x", phases(post))), err: `binding id "x" is there twice`},
		{name: "manifest phases", text: service1(), manifest: declares(binds("x", nil)), err: `binding "x" has no phases`},
		{name: "manifest phase", text: service1(), manifest: declares(binds("x", phases(1))), err: `binding "x" has the unknown phase 1`},
		{name: "no phase at all", text: service1(), manifest: declares(binds("x", phases(0))), err: `binding "x" has an unspecified phase`},
		{name: "manifest method", text: service1(), manifest: declares(binds("x", phases(validate), "sm")), err: `binding "x": rpc "sm" is not SERVICE/METHOD`},
	})
}

// The file says what is in force, and the manifest has to agree.
func TestStrict(t *testing.T) {
	allowlisted := func(lines ...string) string {
		return service1(append([]string{`binding_policy="allowlist"`}, lines...)...)
	}
	exactly := func(lines ...string) string { return service1(append([]string{`binding_policy="exact"`}, lines...)...) }
	m := binding1(`rpc="s/m"`, `phases=["validate","modify_operation"]`)
	n := binding1(`service="s"`, `method="n"`, `phases=["validate"]`)
	wished := declares(interceptor.Binding{ID: "one", RPCs: []string{"s/m"}, Phases: phases(modify, validate), FailurePolicy: interceptor.FailOpen})
	wished.manifest.FailurePolicy = interceptor.FailOpen
	runResolve(t, []resolveCase{
		{name: "listed in the file's order", text: allowlisted(n, m), manifest: two, want: "two[s/n] validate fail_closed/; one[s/m] modify_operation+validate fail_closed/"},
		{name: "fewer", text: allowlisted(binding1(`rpc="s/m"`, `phases=["validate"]`)), manifest: two, want: "one[s/m] validate fail_closed/", warning: `declares binding "two", which the file does not list; it is not in force`},
		{name: "malformed rest", text: allowlisted(n), manifest: declares(binds("x", nil, "s/m"), binds("two", phases(validate), "s/n")), want: "two[s/n] validate fail_closed/", warning: "malformed binding"},
		{name: "of every method", text: allowlisted(n, binding1(`rpc="s/m"`, `phases=["validate"]`)), manifest: declares(binds("w", phases(modify, validate))), want: "w[s/n s/m] validate fail_closed/"},
		{name: "the manifest has no say", text: allowlisted(m), manifest: wished, want: "one[s/m] modify_operation+validate fail_closed/"},
		{name: "the operator has", text: allowlisted(`failure_policy="fail_open"`, m, n), manifest: two, want: "one[s/m] modify_operation+validate fail_open/; two[s/n] validate fail_open/"},
		{name: "the nearer word", text: allowlisted(`failure_policy="fail_open"`, m+"\nfailure_policy=\"fail_closed\"", n), manifest: two, want: "one[s/m] modify_operation+validate fail_closed/; two[s/n] validate fail_open/"},
		{name: "nothing listed", text: allowlisted(), manifest: two, want: "", warning: `"two"`},
		{name: "exact", text: exactly(m, n), manifest: two, want: "one[s/m] modify_operation+validate fail_closed/; two[s/n] validate fail_closed/"},

		{name: "id", text: allowlisted(m + "\nid=\"one\""), manifest: two, err: "c.toml:9: id is not for binding_policy \"allowlist\"", hint: "dynamic"},
		{name: "disabled", text: exactly(m + "\ndisabled=false"), manifest: two, err: "c.toml:9: disabled is not for binding_policy \"exact\"", hint: "remove"},
		{name: "no method", text: allowlisted(binding1(`phases=["validate"]`)), manifest: two, err: "c.toml:6: a bindings table under binding_policy \"allowlist\" selects no method"},
		{name: "no phases", text: allowlisted(binding1(`rpc="s/m"`)), manifest: two, err: "has no phases"},
		{name: "twice", text: allowlisted(m, m), manifest: two, err: "c.toml:10: a second bindings table for s/m"},
		{name: "not declared", text: allowlisted(binding1(`rpc="s/x"`, `phases=["validate"]`)), manifest: two, err: `c.toml:7: interceptor "a" does not declare s/x`, hint: "s/m, s/n"},
		{name: "not usable", text: allowlisted(m), manifest: declares(binds("", phases(validate), "s/m")), err: `does not declare s/m`, hint: "no usable binding"},
		{name: "declared twice", text: allowlisted(m), manifest: declares(binds("x", phases(validate), "s/m"), binds("y", phases(validate))), err: `interceptor "a" declares s/m in 2 bindings (x, y, ...)`, hint: "dynamic"},
		{name: "phase not declared", text: allowlisted(binding1(`rpc="s/n"`, `phases=["post_commit"]`)), manifest: two, err: "does not declare phase post_commit for s/n", hint: "validate"},
		{name: "one binding, two minds", text: allowlisted(m, binding1(`rpc="s/n"`, `phases=["validate"]`)), manifest: declares(binds("w", phases(modify, validate))), err: "s/n and s/m are one binding (\"w\")", hint: "same phases"},
		{name: "exact, fewer phases", text: exactly(binding1(`rpc="s/m"`, `phases=["validate"]`), n), manifest: two, err: "not exactly those", hint: "modify_operation, validate"},
		{name: "exact, unlisted binding", text: exactly(m), manifest: two, err: `its manifest declares binding "two", which the file does not list`, hint: "allowlist"},
		{name: "exact, unlisted method", text: exactly(n), manifest: declares(binds("x", phases(validate), "s/n", "s/m")), err: "declares s/m in binding \"x\"", hint: "allowlist"},
		{name: "exact, every method", text: exactly(n), manifest: declares(binds("w", phases(validate))), err: "declares every method in binding \"w\""},
		{name: "exact, malformed", text: exactly(n), manifest: declares(binds("two", phases(validate), "s/n"), binds("x", nil)), err: "declares a malformed binding"},
	})
}

// The operator's word beats the manifest's, the nearer one the farther, and
// post_commit cannot deny.
func TestFailurePolicy(t *testing.T) {
	says := func(service, binding interceptor.FailurePolicy, ph ...interceptor.Phase) described {
		d := declares(interceptor.Binding{ID: "x", RPCs: []string{"s/m"}, Phases: ph, FailurePolicy: binding})
		d.manifest.FailurePolicy = service
		return d
	}
	const closed, open, none = interceptor.FailClosed, interceptor.FailOpen, interceptor.FailurePolicy(0)
	policy := func(word string) string { return `failure_policy="` + word + `"` }
	x := func(word string) string { return binding1(`id="x"`, policy(word)) }
	mixed := declares(binds("x", phases(validate), "s/m"), binds("y", phases(post), "s/m"))
	runResolve(t, []resolveCase{
		{name: "default", text: service1(), manifest: says(none, none, validate), want: "x[s/m] validate fail_closed/"},
		{name: "manifest", text: service1(), manifest: says(open, none, validate), want: "x[s/m] validate fail_open/"},
		{name: "manifest's binding before manifest", text: service1(), manifest: says(open, closed, validate), want: "x[s/m] validate fail_closed/"},
		{name: "operator before manifest's binding", text: service1(policy("fail_closed")), manifest: says(open, open, validate), want: "x[s/m] validate fail_closed/"},
		{name: "operator's binding before all", text: service1(policy("fail_closed"), x("fail_open")), manifest: says(closed, closed, validate), want: "x[s/m] validate fail_open/"},

		{name: "post_commit default", text: service1(), manifest: says(none, none, post), want: "x[s/m] post_commit /fail_open"},
		{name: "post_commit ignored", text: service1(x("ignore")), manifest: says(none, none, post), want: "x[s/m] post_commit /ignore"},
		{name: "post_commit ignored for all", text: service1(policy("ignore")), manifest: says(none, none, post), want: "x[s/m] post_commit /ignore"},
		{name: "closed covers what can be denied", text: service1(policy("fail_closed")), manifest: says(none, none, validate, post), want: "x[s/m] validate+post_commit fail_closed/fail_open"},
		{name: "closed by the binding too", text: service1(x("fail_closed")), manifest: says(open, none, validate, post), want: "x[s/m] validate+post_commit fail_closed/fail_open"},
		{name: "closed for another binding", text: service1(policy("fail_closed")), manifest: mixed, want: "x[s/m] validate fail_closed/; y[s/m] post_commit /fail_open"},
		{name: "manifest's closed wish", text: service1(), manifest: says(closed, none, post), want: "x[s/m] post_commit /fail_open"},
		{name: "open for both", text: service1(policy("fail_open")), manifest: says(none, none, validate, post), want: "x[s/m] validate+post_commit fail_open/fail_open"},

		{name: "post_commit closed by binding", text: service1(x("fail_closed")), manifest: says(none, none, post), err: "c.toml:7: interceptor \"a\": post_commit refuses failure_policy fail_closed", hint: "fail_open"},
		{name: "post_commit closed by service", text: service1(policy("fail_closed")), manifest: says(none, none, post), err: "c.toml:5: interceptor \"a\": post_commit refuses", hint: "the handler has run"},
		{name: "post_commit closed by manifest", text: service1(), manifest: says(none, closed, post), err: "its manifest is refused: post_commit refuses"},
		{name: "ignore in validate", text: service1(policy("ignore")), manifest: says(none, none, validate), err: `c.toml:5: interceptor "a": failure_policy "ignore" is for post_commit only, and binding "x" has other phases`, hint: "fail_open"},
		{name: "ignore in both", text: service1(x("ignore")), manifest: says(none, none, validate, post), err: "c.toml:7: "},
		{name: "ignore in OpenShell's format", text: openShell + "failure_policy=\"ignore\"\n", manifest: says(none, none, validate), err: `c.toml:15: interceptor "a": failure_policy "ignore"`},
		{name: "ignore in a manifest", text: service1(), manifest: says(none, interceptor.Ignore, validate), err: "its manifest is refused"},
	})
}

// By order, then name; within one interceptor in its own order.
func TestOrder(t *testing.T) {
	text := allow
	for _, s := range []struct {
		name  string
		order int
	}{{"c", 1}, {"b", 0}, {"a", 1}, {"d", -1}} {
		text += fmt.Sprintf("[[interceptors]]\nname=%q\norder=%d\n", s.name, s.order)
	}
	d := declares(binds("z", phases(validate)), binds("y", phases(modify, validate)))
	f, err := read(t, text, Local("a", d), Local("b", d), Local("c", d), Local("d", d))
	if err != nil {
		t.Fatal(err)
	}
	chain, err := interceptor.New(f.Plan, interceptor.Discard)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, b := range chain.Plan().Bindings {
		got = append(got, b.Interceptor+b.ID)
	}
	if s := strings.Join(got, " "); s != "dz dy bz by az ay cz cy" {
		t.Errorf("the chain calls %s", s)
	}
	got = nil
	for _, s := range f.Explanation.Steps {
		got = append(got, s.Phase[:1]+s.Interceptor+s.Binding.Value)
	}
	if s := strings.Join(got, " "); s != "mdy mby may mcy vdz vdy vbz vby vaz vay vcz vcy" {
		t.Errorf("explained as %s", s)
	}
}
