// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"testing"
)

// What the demo's client and service put into every message with a secret: the
// secret, which must be nowhere, and a public sibling beside it, whose presence
// shows that the scan looked in the right places.
var (
	secretCanary  = []byte("SECRETCANARY-")
	publicSibling = regexp.MustCompile(`PUBLICCANARY-[A-Za-z0-9_-]+`)
)

// checkCanaries scans the WAL, the stream, the lake and what the verbs print.
func checkCanaries(t *testing.T, dir string) {
	type operation struct {
		OperationUID string `json:"operation_uid"`
		Hints        int    `json:"hints"`
	}
	// Every create has a public sibling in its request; every one that was
	// served has another in its response.
	for _, o := range query[operation](t, dir, `
		SELECT operation_uid, count(DISTINCT regexp_extract(_raw, 'PUBLICCANARY-[A-Za-z0-9_-]+')) FILTER (kind = 'evaluation' AND _raw LIKE '%PUBLICCANARY-%') AS hints
		FROM events WHERE method = 'CreateSandbox' GROUP BY ALL`) {
		if o.Hints == 0 {
			t.Errorf("no public sibling in operation %s", o.OperationUID)
		}
	}

	inLake := siblingsIn([]byte(mustDocket(t, "query", "--data", dir, "-o", "ndjson", `SELECT * FROM events`)))
	if len(inLake) < 100 {
		t.Fatalf("only %d public siblings in the lake", len(inLake))
	}
	for name, out := range map[string]string{
		"query":      mustDocket(t, "query", "--data", dir, "-o", "json", `SELECT * FROM events`),
		"tail":       mustDocket(t, "tail", "--data", dir, "--last", "100000", "-o", "ndjson"),
		"tail short": mustDocket(t, "tail", "--data", dir, "--last", "100000", "-o", "short"),
	} {
		if bytes.Contains([]byte(out), secretCanary) {
			t.Errorf("docket %s prints a secret", name)
		}
		if name != "tail short" { // sentences carry no payload
			missing(t, "docket "+name, inLake, siblingsIn([]byte(out)))
		}
	}
	missing(t, "the WAL", inLake, scanFiles(t, filepath.Join(dir, "wal")))
	missing(t, "the stream", inLake, scanFiles(t, filepath.Join(dir, "nats")))
	scanFiles(t, dir)
}

// scanFiles reads every file below dir, wants no secret in any, and returns the
// siblings that it found.
func scanFiles(t *testing.T, dir string) map[string]bool {
	t.Helper()
	found := map[string]bool{}
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		b, err := os.ReadFile(path)
		if bytes.Contains(b, secretCanary) {
			t.Errorf("%s holds a secret", path)
		}
		for s := range siblingsIn(b) {
			found[s] = true
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func siblingsIn(b []byte) map[string]bool {
	found := map[string]bool{}
	for _, s := range publicSibling.FindAll(b, -1) {
		found[string(s)] = true
	}
	return found
}

func missing(t *testing.T, where string, want, got map[string]bool) {
	t.Helper()
	n := 0
	for s := range want {
		if !got[s] {
			n++
		}
	}
	if n > 0 {
		t.Errorf("%s lacks %d of %d public siblings: the scan for secrets did not see everything there", where, n, len(want))
	}
}
