// SPDX-License-Identifier: Apache-2.0

package arch

import (
	"errors"
	"flag"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "rewrite the golden lists")

// public says whether others may import the package: they then get what it
// and, through go.sum, what its tests reach.
func public(rel string) bool {
	for _, dir := range []string{"ocsf", "interceptor", "emitter", "collector", "schemas"} {
		if rel == dir || strings.HasPrefix(rel, dir+"/") {
			return true
		}
	}
	return false
}

// thirdParty are the modules that the package reaches, through its code and
// its tests.
func thirdParty(g map[string]*listed, p *listed) (modules []string, via map[string]string) {
	via = reach(g, p.ImportPath, p.ImportPath+".test")
	set := make(map[string]bool)
	for path := range via {
		if q := g[path]; q.Module != nil && !q.ours() {
			set[q.Module.Path] = true
		}
	}
	return slices.Sorted(maps.Keys(set)), via
}

func TestModulesReached(t *testing.T) {
	g := load(t)
	golden := make(map[string]bool)
	for _, p := range oursOnly(g) {
		if !public(p.rel()) {
			continue
		}
		modules, _ := thirdParty(g, p)
		name := filepath.Join("testdata", strings.ReplaceAll(p.rel(), "/", "_")+".txt")
		golden[name] = true
		got := strings.Join(append(modules, ""), "\n")
		if *update {
			if err := os.WriteFile(name, []byte(got), 0o644); err != nil {
				t.Fatal(err)
			}
			continue
		}
		want, err := os.ReadFile(name)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(want), got); diff != "" {
			t.Errorf("modules that %s and its tests reach (-golden +now; accept with -update):\n%s", p.rel(), diff)
		}
	}
	names, err := filepath.Glob("testdata/*.txt")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if golden[name] {
			continue
		}
		if !*update {
			t.Errorf("%s: no such public package", name)
		} else if err := os.Remove(name); err != nil {
			t.Fatal(err)
		}
	}
}

// The vocabulary, the chain and replay go into other people's services and
// their tests. What weighs megabytes or brings a server stays out of them.
func TestLightPackages(t *testing.T) {
	light := []string{"ocsf", "interceptor", "interceptor/activity", "interceptor/chainfile", "interceptor/replay", "interceptor/replay/why"}
	heavy := []string{
		"github.com/nats-io/", "github.com/apache/arrow", "github.com/duckdb/", "github.com/ClickHouse/",
		"github.com/spf13/cobra", "go.opentelemetry.io/otel/sdk",
	}
	g := load(t)
	for _, rel := range light {
		p := g[module+"/"+rel]
		if p == nil {
			t.Errorf("no package %s", rel)
			continue
		}
		modules, via := thirdParty(g, p)
		for _, m := range modules {
			if !slices.ContainsFunc(heavy, func(h string) bool { return strings.HasPrefix(m, h) }) {
				continue
			}
			for _, path := range slices.Sorted(maps.Keys(via)) {
				if q := g[path]; q.Module != nil && q.Module.Path == m {
					t.Errorf("%s reaches %s: %s", rel, m, way(via, path))
					break
				}
			}
		}
	}
}
