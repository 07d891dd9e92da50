// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"regexp"
	"strings"
	"testing"
	"time"
)

// The first minute of every user: twenty seconds of the demo, and everything
// that was said is accounted for.
func TestDemoAccountsForEveryCall(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	p := start(t, docketBin, "up", "--demo", "--for", "20s", "--data", dir)
	if code := p.wait(2 * time.Minute); code != 0 {
		t.Fatalf("docket up --demo --for 20s: exit %d", code)
	}

	type count struct {
		What string `json:"what"`
		N    int    `json:"n"`
	}
	if n := query[count](t, dir, `SELECT 'events' AS what, count(*) AS n FROM events`)[0].N; n < 1000 {
		t.Errorf("%d events, want at least 1000", n)
	}
	atLeastTen := func(sql string, want ...string) {
		t.Helper()
		got := map[string]int{}
		for _, c := range query[count](t, dir, sql) {
			got[c.What] = c.N
		}
		for _, w := range want {
			if got[w] < 10 {
				t.Errorf("%s: %d, want at least 10 (%v)", w, got[w], got)
			}
		}
	}
	atLeastTen(`SELECT decision AS what, count(*) AS n FROM events WHERE kind = 'outcome' GROUP BY 1`, "allow", "deny", "modify")
	atLeastTen(`SELECT failure_policy AS what, count(*) AS n FROM events WHERE kind = 'failure' GROUP BY 1`, "fail_open", "fail_closed", "ignore")
	checkJournals(t, dir, 0)

	out := checkVerify(t, dir)
	epochs := regexp.MustCompile(`\b(\d+) of (\d+)\b`).FindAllStringSubmatch(out, -1)
	if len(epochs) < 3 { // two tenants and docket's own
		t.Errorf("verify names %d epochs:\n%s", len(epochs), out)
	}
	for _, e := range epochs {
		if e[1] != e[2] {
			t.Errorf("verify says %q", e[0])
		}
	}
	if !strings.Contains(out, "closed") {
		t.Errorf("after a clean stop no epoch is closed:\n%s", out)
	}

	t.Run("events", func(t *testing.T) { checkEvents(t, dir) })
	t.Run("fail open says so", func(t *testing.T) { checkFailOpen(t, dir) })
	t.Run("secrets", func(t *testing.T) { checkCanaries(t, dir) })
	t.Run("replay", func(t *testing.T) { checkReplay(t, dir) })
	t.Run("tamper", func(t *testing.T) { checkTamper(t, dir) })
	t.Run("sql", func(t *testing.T) { checkSQL(t, dir) })
}

// Under fail_open a timeout lets the operation pass, the event says so, and a
// finding is raised.
func checkFailOpen(t *testing.T, dir string) {
	type row struct {
		OperationUID string `json:"operation_uid"`
		Ran          bool   `json:"ran"`
		Findings     int    `json:"findings"`
	}
	rows := query[row](t, dir, `
		SELECT f.operation_uid, o.ran, (SELECT count(*) FROM events g WHERE g.kind = 'finding' AND g.operation_uid = f.operation_uid) AS findings
		FROM events f JOIN events o ON o.operation_uid = f.operation_uid AND o.kind = 'outcome'
		WHERE f.kind = 'failure' AND f.failure_policy = 'fail_open' AND f.failure_kind = 'timeout' AND f.decision = 'allow'
		  AND f.phase <> 'post_commit'`)
	if len(rows) == 0 {
		t.Fatal("no timeout passed under fail_open")
	}
	passed := 0
	for _, r := range rows {
		if r.Ran {
			passed++
		}
		if r.Findings == 0 {
			t.Errorf("operation %s passed a failed binding without a finding", r.OperationUID)
		}
	}
	if passed == 0 {
		t.Errorf("none of %d operations with a fail_open timeout reached the service", len(rows))
	}
}
