// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/docket-audit/docket/interceptor"
)

type report struct {
	Replayed     int `json:"replayed"`
	Reexecuted   int `json:"reexecuted"`
	Same         int `json:"same"`
	Flips        int `json:"flips"`
	PatchDiffs   int `json:"patch_diffs"`
	StatusDiffs  int `json:"status_diffs"`
	Errors       int `json:"errors"`
	Unreplayable int `json:"unreplayable"`
}

// checkReplay replays what the demo recorded: unchanged, with a tightened
// allow-list, and behind an interceptor that denies all. What is to be expected
// is computed from the store by other means.
func checkReplay(t *testing.T, dir string) {
	count := func(sql string) int {
		t.Helper()
		type row struct {
			N int `json:"n"`
		}
		return query[row](t, dir, sql)[0].N
	}
	evaluations := count(`SELECT count(*) AS n FROM events WHERE kind = 'evaluation'`)
	failures := count(`SELECT count(*) AS n FROM events WHERE kind = 'failure'`)
	operations := count(`SELECT count(*) AS n FROM events WHERE kind = 'outcome'`)
	// What only post_commit bindings saw has no request in the record.
	const judged = `operation_uid IN (SELECT operation_uid FROM events WHERE kind = 'evaluation' AND phase <> 'post_commit')`
	replayable := count(`SELECT count(*) AS n FROM events WHERE kind = 'outcome' AND ` + judged)
	passed := count(`SELECT count(*) AS n FROM events WHERE kind = 'outcome' AND decision <> 'deny' AND ` + judged)

	t.Run("unchanged", func(t *testing.T) {
		r := replay(t, 0, "--data", dir)
		if r.Flips+r.PatchDiffs+r.Errors+r.Unreplayable != 0 || r.Same != operations {
			t.Errorf("of %d operations: %+v", operations, r)
		}
		if r.Replayed != evaluations || r.Reexecuted != evaluations-failures {
			t.Errorf("%d evaluations, %d of them failures: %+v", evaluations, failures, r)
		}
	})

	chain, err := os.ReadFile(filepath.Join(dir, "demo", "chain.toml"))
	if err != nil {
		t.Fatal(err)
	}
	t.Run("tightened allow-list", func(t *testing.T) {
		const team = `, "registry.example/team/"`
		if !strings.Contains(string(chain), team) {
			t.Fatalf("the demo's chain does not allow%s:\n%s", team, chain)
		}
		candidate := filepath.Join(t.TempDir(), "chain.toml")
		write(t, candidate, strings.Replace(string(chain), team, "", 1))
		const ofTheTeam = `
			SELECT count(DISTINCT o.operation_uid) AS n FROM events e JOIN events o ON o.operation_uid = e.operation_uid
			WHERE o.kind = 'outcome' AND e.kind = 'evaluation'
			  AND json_extract_string(e._raw, '$.api.request.data.proposed_operation.sandbox.spec.image') LIKE 'registry.example/team/%' AND o.decision `
		// Those that a quota denied are denied for their image now.
		want, otherwise := count(ofTheTeam+`<> 'deny'`), count(ofTheTeam+`= 'deny'`)
		if want == 0 {
			t.Fatal("nothing would flip")
		}
		if r := replay(t, 3, "--data", dir, "--chain", candidate); r.Flips != want || r.StatusDiffs != otherwise || r.Same != operations-want-otherwise {
			t.Errorf("want %d flips of %d operations, and %d denied otherwise: %+v", want, operations, otherwise, r)
		}
	})

	t.Run("deny all", func(t *testing.T) {
		var calls atomic.Int64
		endpoint := serve(t, interceptor.Func(func(context.Context, *interceptor.Evaluation) (*interceptor.Result, error) {
			calls.Add(1)
			return &interceptor.Result{Decision: interceptor.Deny, Reason: "everything is denied"}, nil
		}))
		candidate := filepath.Join(t.TempDir(), "chain.toml")
		write(t, candidate, string(chain)+"\n[[interceptors]]\nname = \"denier\"\norder = 1\ngrpc_endpoint = \""+endpoint+"\"\n")
		r := replay(t, 3, "--data", dir, "--chain", candidate)
		if r.Flips != passed || passed == 0 || r.Unreplayable != operations-replayable {
			t.Errorf("want %d flips and %d unreplayable: %+v", passed, operations-replayable, r)
		}
		if r.Reexecuted != int(calls.Load()) || r.Reexecuted != replayable {
			t.Errorf("the denier was called %d times for %d operations: %+v", calls.Load(), replayable, r)
		}
	})
}

func replay(t *testing.T, wantCode int, args ...string) report {
	t.Helper()
	stdout, stderr, code := docket(t, append([]string{"replay", "-o", "json"}, args...)...)
	if code != wantCode {
		t.Errorf("replay: exit %d, want %d\n%s", code, wantCode, stderr)
	}
	var r report
	if err := json.Unmarshal([]byte(stdout), &r); err != nil {
		t.Fatalf("replay -o json: %v\n%s", err, stdout)
	}
	return r
}
