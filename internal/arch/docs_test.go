// SPDX-License-Identifier: Apache-2.0

package arch

import (
	"go/ast"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// Documents that name a test or a file as their evidence must name one that is
// there, and a page that grows past its length is no longer read.
func TestDocuments(t *testing.T) {
	tests := make(map[string]bool)
	files := []string{}
	walkGo(t, func(name string, _ []byte, f *ast.File) {
		files = append(files, "/"+name)
		for _, decl := range f.Decls {
			if d, ok := decl.(*ast.FuncDecl); ok && strings.HasSuffix(name, "_test.go") {
				tests[d.Name.Name] = true
			}
		}
	})
	all := strings.Join(files, "\n") + "\n"
	const maxLines = 200
	for _, doc := range []string{"README.md", "ARCHITECTURE.md", "SECURITY.md", "CONTRIBUTING.md", "docs/openshell.md"} {
		data, err := os.ReadFile(filepath.Join(root(), doc))
		if err != nil {
			t.Fatal(err)
		}
		text := string(data)
		if n := strings.Count(text, "\n"); n > maxLines {
			t.Errorf("%s: %d lines, at most %d", doc, n, maxLines)
		}
		for _, m := range regexp.MustCompile("`(Test[A-Za-z0-9]+)`").FindAllStringSubmatch(text, -1) {
			if !tests[m[1]] {
				t.Errorf("%s: there is no test %s", doc, m[1])
			}
		}
		for _, m := range regexp.MustCompile("`([a-z_/]+\\.go)`").FindAllStringSubmatch(text, -1) {
			if !strings.Contains(all, "/"+m[1]+"\n") {
				t.Errorf("%s: there is no file %s", doc, m[1])
			}
		}
		for _, m := range regexp.MustCompile(`\]\(([^)#:]+)(?:#[^)]*)?\)`).FindAllStringSubmatch(text, -1) {
			if _, err := fs.Stat(os.DirFS(root()), m[1]); err != nil {
				t.Errorf("%s links to %s: %v", doc, m[1], err)
			}
		}
		for _, m := range regexp.MustCompile("`make ([a-z0-9-]+)").FindAllStringSubmatch(text, -1) {
			if !regexp.MustCompile(`(?m)^` + m[1] + `:`).Match(makefile(t)) {
				t.Errorf("%s: there is no make %s", doc, m[1])
			}
		}
	}
}

func makefile(t *testing.T) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(root(), "Makefile"))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// Each row of the guarantees says by which tests it holds, and how they make the
// fault. A test that cuts the power is where the disk that can lose it is used.
func TestGuaranteesSayHow(t *testing.T) {
	cuts := make(map[string]bool)
	walkGo(t, func(name string, _ []byte, f *ast.File) {
		for _, i := range f.Imports {
			if strings.HasSuffix(name, "_test.go") && strings.HasSuffix(strings.Trim(i.Path.Value, `"`), "/internal/powercut") {
				for _, decl := range f.Decls {
					if d, ok := decl.(*ast.FuncDecl); ok {
						cuts[d.Name.Name] = true
					}
				}
			}
		}
	})
	data, err := os.ReadFile(filepath.Join(root(), "ARCHITECTURE.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(string(data), "| mode | fault |")
	table, _, _ = strings.Cut(table, "\n\n")
	rows := strings.Split(table, "\n")[2:]
	if len(rows) < 20 {
		t.Fatalf("only %d rows", len(rows))
	}
	kind := regexp.MustCompile(`([^()]+)\((?:NATS )?(power cut|killed|ended|made)\)`)
	for _, row := range rows {
		cells := strings.Split(strings.TrimSuffix(row, " |"), " | ")
		last := cells[len(cells)-1]
		kinds := kind.FindAllStringSubmatch(last, -1)
		said := 0
		for _, k := range kinds {
			said += len(k[0])
			names := regexp.MustCompile("`(Test[A-Za-z0-9]+)`").FindAllStringSubmatch(k[1], -1)
			if len(names) == 0 {
				t.Errorf("%q: no test before (%s)", last, k[2])
			}
			for _, n := range names {
				if (k[2] == "power cut") != cuts[n[1]] {
					t.Errorf("%q: %s is said to be of the kind %q; it cuts the power: %v", last, n[1], k[2], cuts[n[1]])
				}
			}
		}
		if len(kinds) == 0 || said != len(last) {
			t.Errorf("%q does not say of each test how it makes the fault", last)
		}
	}
}
