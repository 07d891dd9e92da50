// SPDX-License-Identifier: Apache-2.0

package arch

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"slices"
	"testing"
)

// A chain that fits one page of `go doc` can be understood before it is
// trusted. Methods, constants and variables do not count.
func TestInterceptorStaysSmall(t *testing.T) {
	const limit = 25
	p := load(t)[module+"/interceptor"]
	if p == nil {
		t.Fatal("no package interceptor")
	}
	var names []string
	for _, file := range p.GoFiles {
		f, err := parser.ParseFile(token.NewFileSet(), filepath.Join(p.Dir, file), nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, decl := range f.Decls {
			switch d := decl.(type) {
			case *ast.FuncDecl:
				if d.Recv == nil && d.Name.IsExported() {
					names = append(names, d.Name.Name)
				}
			case *ast.GenDecl:
				for _, spec := range d.Specs {
					if s, ok := spec.(*ast.TypeSpec); ok && s.Name.IsExported() {
						names = append(names, s.Name.Name)
					}
				}
			}
		}
	}
	slices.Sort(names)
	if len(names) > limit {
		t.Errorf("interceptor exports %d types and functions, at most %d: %v", len(names), limit, names)
	}
}

// Every package says what it is before a reader has to guess.
func TestPackageComments(t *testing.T) {
	for _, p := range oursOnly(load(t)) {
		if p.Doc == "" && len(p.GoFiles)+len(p.CgoFiles) > 0 && !generatedOnly(t, p) {
			t.Errorf("%s has no package comment", p.rel())
		}
	}
}

func generatedOnly(t *testing.T, p *listed) bool {
	t.Helper()
	for _, file := range p.GoFiles {
		f, err := parser.ParseFile(token.NewFileSet(), filepath.Join(p.Dir, file), nil, parser.PackageClauseOnly|parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		if !ast.IsGenerated(f) {
			return false
		}
	}
	return true
}
