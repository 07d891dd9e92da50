// SPDX-License-Identifier: Apache-2.0

package arch

import (
	"slices"
	"strings"
	"testing"
)

// may says, for a package of ours or for all below a directory ("dir/..."),
// what of ours its code may import. A package's own name holds, else the
// longest directory that fits. Beside what is listed everybody may import
// schemas/..., which is embedded files and generated code.
var may = map[string][]string{
	"ocsf":                   {"ocsf/schema", "ocsf/internal/jsontree", "ocsf/internal/rules"},
	"ocsf/schema":            {},
	"ocsf/internal/jsontree": {},
	"ocsf/internal/rules":    {"ocsf/schema", "ocsf/internal/jsontree"},
	"ocsf/internal/gen":      {"ocsf/schema"},

	"interceptor":               {"internal/jsonstruct", "internal/secretwalk"},
	"interceptor/activity":      {"interceptor", "ocsf", "internal/jsonstruct", "internal/secretwalk", "internal/profile"},
	"interceptor/remote":        {"interceptor"},
	"interceptor/chainfile":     {"interceptor", "interceptor/remote", "internal/regular", "internal/strictoml"},
	"interceptor/grpcproxy":     {"interceptor", "internal/secretwalk"},
	"interceptor/metered":       {"interceptor"},
	"interceptor/replay":        {"interceptor", "interceptor/activity", "interceptor/chainfile", "interceptor/remote", "ocsf", "internal/profile"},
	"interceptor/replay/...":    {"interceptor/...", "ocsf"},
	"interceptor/replay/served": {"interceptor/replay", "schemas/proto/docket/audit/v1"},
	"emitter":                   {"ocsf", "internal/disk", "internal/profile", "internal/regular", "internal/stream"},
	"collector/...":             {"ocsf", "collector/...", "internal/disk", "internal/profile", "internal/regular", "internal/stream"},
	"collector/ledger/proof":    {},
	"collector/store":           {"ocsf", "internal/profile"},
	"collector/store/...":       {"ocsf", "collector/store", "internal/profile"},
	"collector/lake":            {"ocsf", "ocsf/schema", "collector/store", "collector/lake/index", "collector/retention", "internal/profile", "internal/regular"},
	"collector/lake/index":      {},
	"collector/clickhouse":      {"ocsf", "ocsf/schema", "collector/store", "collector/evidence", "collector/retention", "internal/profile"},
	"collector/retention":       {},
	"collector/evidence":        {"collector/retention", "collector/store"},
	"collector/authz":           {"internal/regular"},
	"collector/authz/...":       {"internal/regular"},
	"collector/ledger":          {"collector/ledger/proof", "internal/regular"},
	"schemas/...":               {"schemas/..."},
	"internal/...":              {"ocsf"},
	"cmd/docket/...":            {"..."},
	"cmd/internal/...":          {"..."},
	"cmd/docket-gateway/...":    {"ocsf", "interceptor/...", "emitter", "internal/...", "cmd/internal/..."},
	"examples/interceptor":      {"interceptor", "interceptor/remote"},
	"examples/...":              {"interceptor/...", "ocsf"},
	"dashboards/...":            {"dashboards/..."},
	"deploy/...":                {},
}

// fits says whether rel is what the pattern names.
func fits(pattern, rel string) bool {
	if dir, ok := strings.CutSuffix(pattern, "..."); ok {
		return strings.HasPrefix(rel+"/", dir)
	}
	return pattern == rel
}

func rule(rel string) (string, bool) {
	if _, ok := may[rel]; ok {
		return rel, true
	}
	best, found := "", false
	for pattern := range may {
		if fits(pattern, rel) && (!found || len(pattern) > len(best)) {
			best, found = pattern, true
		}
	}
	return best, found
}

func TestImports(t *testing.T) {
	g := load(t)
	for _, p := range oursOnly(g) {
		pattern, ok := rule(p.rel())
		if !ok {
			t.Errorf("%s: no rule says what it may import; add one to the table", p.rel())
			continue
		}
		for _, path := range p.Imports {
			q := g[path]
			if q == nil || !q.ours() || fits("schemas/...", q.rel()) {
				continue
			}
			if !slices.ContainsFunc(may[pattern], func(allowed string) bool { return fits(allowed, q.rel()) }) {
				t.Errorf("%s imports %s; %q may import %v and schemas/...", p.rel(), q.rel(), pattern, may[pattern])
			}
		}
	}
}

// The collector stores what it is sent, whoever sent it: it knows events, not
// the chain. This holds at any distance, and for its tests as well.
func TestCollectorKnowsNoInterceptor(t *testing.T) {
	g := load(t)
	for _, p := range oursOnly(g) {
		if !fits("collector/...", p.rel()) {
			continue
		}
		via := reach(g, p.ImportPath, p.ImportPath+".test")
		for path := range via {
			if q := g[path]; q.ours() && fits("interceptor/...", q.rel()) {
				t.Errorf("%s reaches %s: %s", p.rel(), q.rel(), way(via, path))
			}
		}
	}
}

// Without a C compiler everything works but SQL. So only collector/sql may
// know DuckDB, and nothing of ours is written in C.
func TestCgo(t *testing.T) {
	g := load(t)
	for path, p := range g {
		if !p.ours() {
			continue
		}
		if len(p.CgoFiles) > 0 && p.rel() != "collector/sql" {
			t.Errorf("%s has cgo files %v", path, p.CgoFiles)
		}
		for _, imported := range p.Imports {
			if strings.HasPrefix(imported, "github.com/duckdb/") && !strings.HasPrefix(p.rel(), "collector/sql") {
				t.Errorf("%s imports %s; only collector/sql may", path, imported)
			}
		}
	}
}

// Who has no ClickHouse has no client of one either: it is reached by its store, and
// by the command that has all.
func TestClickHouse(t *testing.T) {
	g := load(t)
	for _, p := range oursOnly(g) {
		if rel := p.rel(); fits("collector/clickhouse/...", rel) || fits("cmd/docket/...", rel) || fits("cmd/internal/...", rel) || fits("internal/chdbtest/...", rel) {
			continue
		}
		via := reach(g, p.ImportPath, p.ImportPath+".test")
		for path := range via {
			if strings.HasPrefix(path, "github.com/ClickHouse/") {
				t.Errorf("%s reaches %s: %s", p.rel(), path, way(via, path))
				break
			}
		}
	}
}

// The gateway is the request path alone, in pure Go: it never holds the ledger
// key, so it does not even link what could read it.
func TestGatewayIsTheRequestPath(t *testing.T) {
	g := load(t)
	start := module + "/cmd/docket-gateway"
	if g[start] == nil {
		t.Fatal("no package cmd/docket-gateway")
	}
	via := reach(g, start)
	for path := range via {
		p := g[path]
		if p.ours() && fits("collector/...", p.rel()) ||
			strings.HasPrefix(path, "github.com/duckdb/") || strings.HasPrefix(path, "github.com/apache/arrow") ||
			strings.HasPrefix(path, "github.com/nats-io/nats-server/") {
			t.Errorf("cmd/docket-gateway reaches %s: %s", path, way(via, path))
		}
	}
}

// Both Arrow majors register the same names: with the other one's Parquet or
// Flight in the binary it does not link, or panics when it starts.
func TestOneArrow(t *testing.T) {
	for path := range load(t) {
		if rest, ok := strings.CutPrefix(path, "github.com/apache/arrow-go/v18/"); ok &&
			(strings.HasPrefix(rest, "parquet") || strings.HasPrefix(rest, "arrow/flight")) {
			t.Errorf("%s is reached", path)
		}
	}
}

// The ClickHouse engine of the tests is a library that is loaded at run time, by
// a command of its own. No product package reaches either, nor what loads it.
func TestEngineIsForTests(t *testing.T) {
	g := load(t)
	const engine, server = module + "/internal/chdbtest", module + "/internal/chdbtest/chdbserver"
	if g[engine] == nil || g[server] == nil {
		t.Fatalf("no package %s or no %s", engine, server)
	}
	for _, p := range oursOnly(g) {
		if p.ImportPath == server {
			continue
		}
		via := reach(g, p.ImportPath)
		for path := range via {
			if p.ImportPath != engine && (path == engine || path == server) {
				t.Errorf("%s reaches %s: %s", p.rel(), path, way(via, path))
			}
		}
		// Not even its tests load the library: the server does.
		via = reach(g, p.ImportPath, p.ImportPath+".test")
		for path := range via {
			if strings.HasPrefix(path, "github.com/ebitengine/purego") {
				t.Errorf("%s reaches %s: %s", p.rel(), path, way(via, path))
			}
		}
	}
}
