// SPDX-License-Identifier: Apache-2.0

package arch

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

const module = "github.com/docket-audit/docket"

// A listed package is what `go list -test` says of a package or of one of its
// variants: "p.test" is the test binary of p, "p [p.test]" is p with its
// internal tests, "p_test [p.test]" its external tests.
type listed struct {
	ImportPath  string
	Dir         string
	Name        string
	Doc         string
	ForTest     string
	Module      *struct{ Path string }
	Imports     []string
	ImportMap   map[string]string
	CgoFiles    []string
	GoFiles     []string
	TestGoFiles []string
	Standard    bool
}

// ours says whether the package belongs to the product's module.
func (p *listed) ours() bool { return p.Module != nil && p.Module.Path == module }

// rel is the import path within the module, "." for its root.
func (p *listed) rel() string {
	path, _, _ := strings.Cut(p.ImportPath, " ")
	if path == module {
		return "."
	}
	return strings.TrimPrefix(path, module+"/")
}

// resolved are the imports of p, each as the variant that is really linked.
func (p *listed) resolved() []string {
	out := make([]string, 0, len(p.Imports))
	for _, path := range p.Imports {
		if v, ok := p.ImportMap[path]; ok {
			path = v
		}
		out = append(out, path)
	}
	return out
}

// graph lists the module once per test binary. Cgo is set, so that the answer
// is the same on a machine without a C compiler: go list compiles nothing.
var graph = sync.OnceValues(func() (map[string]*listed, error) {
	cmd := exec.Command("go", "list", "-deps", "-test",
		"-json=ImportPath,Dir,Name,Doc,ForTest,Module,Imports,ImportMap,CgoFiles,GoFiles,TestGoFiles,Standard", "./...")
	cmd.Dir = root()
	cmd.Env = append(os.Environ(), "CGO_ENABLED=1", "GOOS=linux", "GOARCH=amd64")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("go list: %w\n%s", err, stderr.Bytes())
	}
	packages := make(map[string]*listed)
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var p listed
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return packages, nil
		} else if err != nil {
			return nil, fmt.Errorf("decode go list: %w", err)
		}
		packages[p.ImportPath] = &p
	}
})

func load(t *testing.T) map[string]*listed {
	t.Helper()
	g, err := graph()
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// root is the module's directory: tests run in their package's own.
func root() string {
	dir, err := filepath.Abs(filepath.Join("..", ".."))
	if err != nil {
		panic(err) // the working directory is gone
	}
	return dir
}

// oursOnly lists our packages as they are without tests, in order.
func oursOnly(g map[string]*listed) []*listed {
	var out []*listed
	for _, path := range slices.Sorted(maps.Keys(g)) {
		if p := g[path]; p.ours() && p.ForTest == "" && !strings.HasSuffix(path, ".test") {
			out = append(out, p)
		}
	}
	return out
}

// reach walks all imports from the given packages and returns, for each
// package reached, the one that imports it on the way there.
func reach(g map[string]*listed, from ...string) map[string]string {
	via := make(map[string]string)
	todo := make([]string, 0, len(from))
	for _, path := range from {
		if g[path] != nil {
			via[path] = ""
			todo = append(todo, path)
		}
	}
	for len(todo) > 0 {
		path := todo[0]
		todo = todo[1:]
		for _, next := range g[path].resolved() {
			if _, seen := via[next]; !seen && g[next] != nil {
				via[next] = path
				todo = append(todo, next)
			}
		}
	}
	return via
}

// way names the packages on the way to path, for a reader who must cut it.
func way(via map[string]string, path string) string {
	steps := []string{path}
	for via[path] != "" {
		path = via[path]
		steps = append(steps, path)
	}
	slices.Reverse(steps)
	return strings.Join(steps, " -> ")
}
