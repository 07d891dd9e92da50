// SPDX-License-Identifier: Apache-2.0

//go:build e2e && chdb

package e2e

import (
	"bufio"
	"encoding/json"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"

	"github.com/docket-audit/docket/internal/chdbtest"
)

// As TestKill, with the events in ClickHouse: nothing that a client was told is missing,
// nothing is there twice, and the ledger has a leaf for each commit. Who tails gets each
// event once, live and afterwards, and the history can be replayed.
func TestKillOverClickHouse(t *testing.T) {
	dir, dsn := t.TempDir(), chdbtest.Database(t)
	kills := min(*kills, 6)
	killed(t, dir, rand.New(rand.NewPCG(uint64(*seed), 2)), kills, "--store", dsn)
	p := start(t, docketBin, "up", "--demo", "--for", "5s", "--data", dir, "--store", dsn)
	up := func(p *process) { // run.json may be of the one that was killed
		p.eventually("banner", time.Minute, func() bool { return strings.Contains(p.out.String(), "in a second terminal") })
	}
	up(p)
	follow := start(t, docketBin, "tail", "--data", dir, "--since", "2000-01-01T00:00:00Z", "--follow", "--no-reconnect", "-o", "ndjson")
	if code := p.wait(2 * time.Minute); code != 0 {
		t.Fatalf("docket up after %d kills: exit %d", kills, code)
	}
	if code := follow.wait(time.Minute); code != 0 {
		t.Errorf("docket tail: exit %d", code)
	}

	// One that governs nothing answers for what there is.
	file := filepath.Join(t.TempDir(), "docket.toml")
	if err := os.WriteFile(file, []byte("[nats]\nlisten = \"127.0.0.1:0\"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	quiet := start(t, docketBin, "up", "--config", file, "--data", dir, "--store", dsn)
	up(quiet)
	checkJournals(t, dir, kills)

	type place struct {
		Epoch       string `json:"epoch"`
		N, Last, Of int64
	}
	for _, e := range query[place](t, dir, `SELECT epoch, count() AS N, max(sequence) AS Last, uniqExact(sequence) AS Of FROM events GROUP BY epoch`) {
		if e.N != e.Last || e.N != e.Of {
			t.Errorf("epoch %s: %d events, %d sequences, the last is %d", e.Epoch, e.N, e.Of, e.Last)
		}
	}
	type uid struct {
		UID  string `json:"uid"`
		Kind string `json:"kind"`
	}
	stored := query[uid](t, dir, `SELECT metadata_uid AS uid, kind FROM events WHERE kind != 'access'`)
	backfill := tailed(t, mustDocket(t, "tail", "--data", dir, "--since", "2000-01-01T00:00:00Z", "--follow=false", "-o", "ndjson"))
	live := tailed(t, follow.out.String())
	for _, e := range stored {
		if n := backfill[e.UID]; n != 1 {
			t.Errorf("tail gives event %s %d times", e.UID, n)
		}
		if n := live[e.UID]; e.Kind == "outcome" && n != 1 || n > 1 {
			t.Errorf("who followed got event %s, of kind %s, %d times", e.UID, e.Kind, n)
		}
	}
	if len(stored) == 0 {
		t.Error("nothing is stored")
	}
	if out := mustDocket(t, "replay", "--data", dir); !strings.Contains(out, "allow->deny 0 | deny->allow 0") {
		t.Errorf("replay: %s", out)
	}
	if code := quiet.stop(); code != 0 {
		t.Errorf("docket up: exit %d", code)
	}
	commits := commitsOf(t, dsn)
	if leaves := leavesOf(t, dir); leaves != commits {
		t.Errorf("%d commits, %d leaves", commits, leaves)
	}
	// What does not work over it says so, and nothing has the password.
	if _, stderr, code := docket(t, "verify", "--data", dir); code == 0 || !strings.Contains(stderr, "ClickHouse") {
		t.Errorf("verify: exit %d, %s", code, stderr)
	}
	if _, stderr, code := docket(t, "up", "--config", file, "--data", dir); code == 0 || !strings.Contains(stderr, "--store") {
		t.Errorf("up without --store: exit %d, %s", code, stderr)
	}
	t.Logf("%d events, %d commits", len(stored), commits)
}

// tailed counts events by their uids.
func tailed(t *testing.T, out string) map[string]int {
	t.Helper()
	seen := map[string]int{}
	for line := range strings.Lines(out) {
		if !strings.HasPrefix(line, "{") {
			continue // a word of the tail itself
		}
		var e struct {
			Metadata struct {
				UID string `json:"uid"`
			} `json:"metadata"`
		}
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatalf("%.200s: %v", line, err)
		}
		seen[e.Metadata.UID]++
	}
	return seen
}

// leavesOf returns the size of the ledger.
func leavesOf(t *testing.T, dir string) int64 {
	t.Helper()
	f, err := os.Open(filepath.Join(dir, "ledger", "checkpoint"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for range 2 {
		lines.Scan()
	}
	n, err := strconv.ParseInt(lines.Text(), 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// commitsOf asks the server how many commits there are.
func commitsOf(t *testing.T, dsn string) (n int64) {
	t.Helper()
	opts, err := clickhouse.ParseDSN(dsn)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := clickhouse.Open(opts)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.QueryRow(t.Context(), "SELECT toInt64(count()) FROM commits").Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}
