// SPDX-License-Identifier: Apache-2.0

package serve

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// Every path that is served beside the service is in the OpenAPI document, and the
// document has no other. A test of cmd/docket knows the actions that there are.
func TestEveryRoute(t *testing.T) {
	s := New(Config{Commits: func() uint64 { return 0 }, Actions: map[string]Action{"erase": nil, "expire": nil, "holds": nil}})
	defer s.Close()
	var have, want []string
	for _, r := range s.beside() {
		have = append(have, r.method+" "+r.path)
	}
	api, err := readDocument()
	if err != nil {
		t.Fatal(err)
	}
	for path, methods := range api.Paths {
		for method, op := range methods {
			switch {
			case slices.Equal(op.Tags, []string{"AuditService"}):
			case slices.Equal(op.Tags, []string{"Docket"}):
				want = append(want, strings.ToUpper(method)+" "+path)
			default:
				t.Errorf("%s %s has the tags %q", method, path, op.Tags)
			}
		}
	}
	slices.Sort(have)
	slices.Sort(want)
	if diff := cmp.Diff(want, have); diff != "" {
		t.Errorf("routes (-document +server):\n%s", diff)
	}
}

// A path is of the pattern that has its names in braces, and of no other.
func TestMethodsOf(t *testing.T) {
	for path, want := range map[string]string{
		"/v1/events": "GET", "/v1/events/x": "GET", "/v1/query": "POST", "/v1/replays": "POST", "/v1/replays/x": "GET", "/v1/erase": "POST",
		"/v1/events/": "", "/v1/events/x/y": "", "/v1": "", "/": "", "/v1/nothing": "", "": "",
	} {
		if got := methodsOf(path); got != want {
			t.Errorf("%q is for %q, want %q", path, got, want)
		}
	}
}
