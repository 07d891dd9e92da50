// SPDX-License-Identifier: Apache-2.0

package chainfile

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/docket-audit/docket/interceptor"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// described is an interceptor that declares a manifest and allows everything.
type described struct{ manifest *interceptor.Manifest }

func (d described) Describe(context.Context) (*interceptor.Manifest, error) { return d.manifest, nil }

func (d described) Evaluate(context.Context, *interceptor.Evaluation) (*interceptor.Result, error) {
	return &interceptor.Result{Decision: interceptor.Allow}, nil
}

const (
	modify   = interceptor.ModifyOperation
	validate = interceptor.Validate
	post     = interceptor.PostCommit
)

func phases(p ...interceptor.Phase) []interceptor.Phase { return p }

func declares(bindings ...interceptor.Binding) described {
	return described{&interceptor.Manifest{Name: "other name", Bindings: bindings}}
}

func binds(id string, ph []interceptor.Phase, rpcs ...string) interceptor.Binding {
	return interceptor.Binding{ID: id, Phases: ph, RPCs: rpcs}
}

// read parses a text as a file named c.toml in which interceptor "a" is linked
// in process.
func read(t *testing.T, text string, opts ...Option) (*File, error) {
	t.Helper()
	f, err := Parse(t.Context(), "c.toml", []byte(text), opts...)
	if err == nil {
		t.Cleanup(func() {
			if err := f.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	return f, err
}

// refused checks an error that people are to act on.
func refused(t *testing.T, err error, msg, hint string) {
	t.Helper()
	if err == nil {
		t.Fatalf("accepted, want %q", msg)
	}
	var hinted interface{ Hint() string }
	if !errors.As(err, &hinted) {
		t.Fatalf("%v gives no hint", err)
	}
	if !strings.Contains(err.Error(), msg) || !strings.Contains(hinted.Hint(), hint) {
		t.Errorf("got %q, hint %q\nwant %q, hint %q", err, hinted.Hint(), msg, hint)
	}
}

func write(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "chain.toml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
