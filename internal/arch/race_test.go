// SPDX-License-Identifier: Apache-2.0

package arch

import (
	"go/ast"
	"go/token"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// What `make race` leaves out has nothing for the race detector to find: no file
// there, and of what is ours no file that it imports, starts a goroutine or has a
// test run beside another.
func TestWithoutConcurrency(t *testing.T) {
	m := regexp.MustCompile(`(?m)^SEQUENTIAL := (.+)$`).FindSubmatch(makefile(t))
	if m == nil {
		t.Fatal("the Makefile does not say what make race leaves out")
	}
	left := strings.Fields(strings.ReplaceAll(string(m[1]), "./", ""))
	files := make(map[string]int)
	walkGo(t, func(name string, _ []byte, f *ast.File) {
		dir := path.Dir(name)
		if !slices.Contains(left, dir) {
			return
		}
		files[dir]++
		for _, spec := range f.Imports {
			imported, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				t.Fatal(err)
			}
			if rel, ours := strings.CutPrefix(imported, module+"/"); ours && !slices.Contains(left, rel) {
				t.Errorf("%s imports %s, which runs under the race detector; so must it", name, rel)
			}
		}
		ast.Inspect(f, func(n ast.Node) bool {
			what := ""
			switch n := n.(type) {
			case *ast.GoStmt:
				what = "starts a goroutine"
			case *ast.ChanType:
				what = "has a channel"
			case *ast.UnaryExpr:
				if n.Op == token.ARROW {
					what = "waits for a channel"
				}
			case *ast.SelectorExpr:
				if slices.Contains([]string{"Go", "Parallel", "RunParallel", "AfterFunc"}, n.Sel.Name) {
					what = "calls " + n.Sel.Name
				}
			}
			if what != "" {
				t.Errorf("%s %s; take its package off the Makefile's SEQUENTIAL", name, what)
			}
			return true
		})
	})
	for _, dir := range left {
		if files[dir] == 0 {
			t.Errorf("there is no package %s", dir)
		}
	}
}
