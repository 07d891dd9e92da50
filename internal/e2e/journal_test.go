// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"bufio"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
)

// A line of the demo's journals. Each was on disk before its writer went on:
// the client's before its next call, the service's before it answered.
type line struct {
	OperationUID string `json:"operation_uid"`
	Method       string `json:"method"`
	Status       string `json:"status"`
}

// journal reads dir/demo/name. A last line that was cut short by a kill was
// never on disk as a whole, so it says nothing.
func journal(t *testing.T, dir, name string) []line {
	t.Helper()
	f, err := os.Open(filepath.Join(dir, "demo", name))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var lines []line
	var torn int
	for s := bufio.NewScanner(f); s.Scan(); {
		var l line
		if err := json.Unmarshal(s.Bytes(), &l); err != nil {
			torn++
			continue
		}
		lines = append(lines, l)
	}
	t.Logf("%s: %d lines, %d torn", name, len(lines), torn)
	return lines
}

type outcome struct {
	OperationUID string `json:"operation_uid"`
	StatusCode   string `json:"status_code"`
	Ran          bool   `json:"ran"`
}

// checkJournals joins what the client and the service wrote down with what the
// store says happened. After crashes, a call that was in flight and never
// answered may have a dangling-intent finding in the place of its outcome.
func checkJournals(t *testing.T, dir string, crashes int) {
	t.Helper()
	client, service := journal(t, dir, "client.ndjson"), journal(t, dir, "service.ndjson")
	outcomes := map[string]outcome{}
	for _, o := range query[outcome](t, dir, `SELECT operation_uid, status_code, ran FROM events WHERE kind = 'outcome'`) {
		if _, twice := outcomes[o.OperationUID]; twice {
			t.Errorf("operation %s has two outcomes", o.OperationUID)
		}
		outcomes[o.OperationUID] = o
	}
	dangling := map[string]bool{}
	for _, o := range query[outcome](t, dir, `SELECT operation_uid FROM events WHERE kind = 'finding' AND _raw LIKE '%"dangling_intent"%'`) {
		dangling[o.OperationUID] = true
	}

	answered := map[string]bool{}
	for _, l := range client {
		if l.OperationUID == "" {
			continue
		}
		answered[l.OperationUID] = true
		o, ok := outcomes[l.OperationUID]
		switch {
		case !ok:
			t.Errorf("client was answered %s for %s %s, which has no outcome", l.Status, l.Method, l.OperationUID)
		case o.StatusCode != l.Status:
			t.Errorf("client was answered %s for %s %s, the outcome says %s", l.Status, l.Method, l.OperationUID, o.StatusCode)
		}
	}

	served, inFlight := map[string]bool{}, 0
	for _, l := range service {
		if l.OperationUID == "" {
			t.Errorf("the service was called for %s without an operation", l.Method)
			continue
		}
		if served[l.OperationUID] {
			t.Errorf("the service was called twice for %s", l.OperationUID)
		}
		served[l.OperationUID] = true
		o, ok := outcomes[l.OperationUID]
		switch {
		case ok && !o.Ran:
			t.Errorf("the service was called for %s %s, the outcome says it was not", l.Method, l.OperationUID)
		case !ok && !answered[l.OperationUID] && dangling[l.OperationUID]:
			inFlight++
		case !ok:
			t.Errorf("the service was called for %s %s, which has neither outcome nor dangling-intent finding", l.Method, l.OperationUID)
		}
	}
	ran := 0
	for uid, o := range outcomes {
		if o.Ran {
			ran++
			if !served[uid] {
				t.Errorf("the outcome of %s says that the service was called; its journal does not", uid)
			}
		}
	}
	if len(answered) == 0 || len(served) == 0 || ran == 0 {
		t.Errorf("an empty join: %d answered, %d served, %d ran", len(answered), len(served), ran)
	}
	if crashes == 0 && len(dangling) > 0 {
		t.Errorf("%d dangling intents without a crash", len(dangling))
	}
	t.Logf("%d answered, %d served, %d outcomes, %d of them ran, %d in flight at a crash", len(answered), len(served), len(outcomes), ran, inFlight)
}

// checkVerify runs both verifications and returns what the deep one printed.
func checkVerify(t *testing.T, dir string) string {
	t.Helper()
	mustDocket(t, "verify", "--data", dir)
	return mustDocket(t, "verify", "--deep", "--data", dir)
}
