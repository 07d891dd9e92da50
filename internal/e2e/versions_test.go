// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"strings"
	"testing"
	"time"
)

// A data directory is begun in one version of OCSF and goes on in the next: what
// is asked of it, proved and replayed does not depend on the version.
func TestDemoInBothVersions(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, version := range []string{"1.8.0", "1.9.0"} {
		p := start(t, docketBin, "up", "--demo", "--for", "5s", "--data", dir, "--set", "ocsf.version="+version)
		if code := p.wait(time.Minute); code != 0 {
			t.Fatalf("docket up with OCSF %s: exit %d", version, code)
		}
	}
	versions := checkEvents(t, dir)
	if len(versions) != 2 || versions["1.8.0"] < 100 || versions["1.9.0"] < 100 {
		t.Errorf("events by version: %v", versions)
	}
	checkVerify(t, dir) // --deep
	checkSameColumns(t, dir)
	checkReplay(t, dir)

	type row struct {
		UID     string `json:"operation_uid"`
		Outcome string `json:"metadata_uid"`
	}
	for version := range versions {
		op := query[row](t, dir, `SELECT operation_uid, metadata_uid FROM events WHERE kind = 'outcome' AND decision = 'deny' AND interceptor <> ''
			AND json_extract_string(_raw, '$.metadata.version') = '`+version+`' LIMIT 1`)
		if len(op) != 1 {
			t.Fatalf("nothing was denied in OCSF %s", version)
		}
		if story := mustDocket(t, "show", "--data", dir, "-o", "table", op[0].UID); !strings.Contains(story, "was denied") {
			t.Errorf("show, of OCSF %s:\n%s", version, story)
		}
	}
}

// checkSameColumns wants every typed column that is filled by events of one
// version to be filled by those of the other. It asks of the kinds of which there
// are so many that chance plays no part.
func checkSameColumns(t *testing.T, dir string) {
	t.Helper()
	type row struct {
		Kind    string `json:"kind"`
		Version string `json:"version"`
		Columns string `json:"columns"`
	}
	columns := []string{
		"operation_uid", "evaluation_uid", "trace_uid", "service", "method", "principal", "source", "interceptor", "binding", "phase",
		"failure_kind", "failure_policy", "plan_digest", "replay_grade", "fingerprint", "prev_fingerprint", "message", "status_code", "status_detail",
	}
	var filled []string
	for _, c := range columns {
		filled = append(filled, `CASE WHEN bool_or(`+c+` <> '') THEN '`+c+` ' ELSE '' END`)
	}
	of := map[string]map[string]string{}
	for _, r := range query[row](t, dir, `SELECT kind, json_extract_string(_raw, '$.metadata.version') AS version, `+strings.Join(filled, " || ")+` AS columns
		FROM events WHERE kind IN ('evaluation', 'result', 'outcome') GROUP BY 1, 2`) {
		if of[r.Kind] == nil {
			of[r.Kind] = map[string]string{}
		}
		of[r.Kind][r.Version] = r.Columns
	}
	if len(of) != 3 {
		t.Errorf("columns by kind: %v", of)
	}
	for kind, by := range of {
		if by["1.8.0"] != by["1.9.0"] || by["1.8.0"] == "" {
			t.Errorf("columns of %s events: %q in OCSF 1.8.0, %q in 1.9.0", kind, by["1.8.0"], by["1.9.0"])
		}
	}
}
