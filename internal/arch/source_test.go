// SPDX-License-Identifier: Apache-2.0

package arch

import (
	"bytes"
	"go/ast"
	"go/format"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const (
	spdx     = "// SPDX-License-Identifier: Apache-2.0\n"
	maxLines = 600
)

// walkGo calls visit for every Go file of the repository, the modules inside
// it included. Names are relative to the root, with slashes.
func walkGo(t *testing.T, visit func(name string, src []byte, f *ast.File)) {
	t.Helper()
	top := root()
	err := filepath.WalkDir(top, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			switch d.Name() {
			case ".git", ".tmp", "bin", "docket-data", "testdata":
				return fs.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(path, ".go") {
			return nil
		}
		src, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		f, err := parser.ParseFile(token.NewFileSet(), path, src, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		name, err := filepath.Rel(top, path)
		if err != nil {
			return err
		}
		visit(filepath.ToSlash(name), src, f)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestSource(t *testing.T) {
	walkGo(t, func(name string, src []byte, f *ast.File) {
		if ast.IsGenerated(f) {
			return
		}
		if !bytes.HasPrefix(src, []byte(spdx)) {
			t.Errorf("%s: the first line is not %q", name, strings.TrimSpace(spdx))
		}
		if lines := bytes.Count(src, []byte("\n")); lines > maxLines {
			t.Errorf("%s: %d lines, at most %d: is it still one concept?", name, lines, maxLines)
		}
		if formatted, err := format.Source(src); err != nil {
			t.Errorf("%s: %v", name, err)
		} else if !bytes.Equal(formatted, src) {
			t.Errorf("%s: not gofmt-ed", name)
		}
	})
}

// A library that reads flags or the environment can be set from places that
// its caller does not see. Replay is an exception: in test binaries it registers
// -replay.*, because `go test` has no other way in. So are chdbtest and natstest,
// which are of no use but to tests: the one for the same reason, the other because a
// test binary that it started again learns by the environment what it is.
func TestOnlyCommandsReadFlagsAndEnvironment(t *testing.T) {
	environment := []string{"Getenv", "LookupEnv", "Environ", "ExpandEnv"}
	walkGo(t, func(name string, _ []byte, f *ast.File) {
		top, _, _ := strings.Cut(name, "/")
		if strings.HasSuffix(name, "_test.go") || name == "internal/natstest/child.go" || slices.Contains([]string{"cmd", "tools", "examples"}, top) || f.Name.Name == "main" {
			return
		}
		for _, spec := range f.Imports {
			path, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				t.Fatal(err)
			}
			flags := path == "flag" && !strings.HasPrefix(name, "interceptor/replay/")
			if flags || path == "github.com/spf13/pflag" || path == "github.com/spf13/cobra" {
				t.Errorf("%s imports %s; only commands read flags", name, path)
			}
		}
		ast.Inspect(f, func(n ast.Node) bool {
			sel, ok := n.(*ast.SelectorExpr)
			if !ok {
				return true
			}
			if x, ok := sel.X.(*ast.Ident); ok && x.Name == "os" && !strings.HasPrefix(name, "internal/chdbtest/") && slices.Contains(environment, sel.Sel.Name) {
				t.Errorf("%s reads the environment (os.%s); only commands do", name, sel.Sel.Name)
			}
			return true
		})
	})
}
