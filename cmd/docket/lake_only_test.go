// SPDX-License-Identifier: Apache-2.0

package main

import (
	"maps"
	"path/filepath"
	"slices"
	"testing"

	"github.com/docket-audit/docket/cmd/internal/cli"
	"github.com/docket-audit/docket/cmd/internal/datadir"
)

// Each verb that is for a lake says so of a directory whose events are in ClickHouse,
// in the same words, with what there is in its place, and before it does anything.
func TestLakeOnly(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "d")
	own, err := datadir.Own(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := own.KeepElsewhere("ch.example:9000/audit"); err != nil {
		t.Fatal(err)
	}
	if err := own.Close(); err != nil {
		t.Fatal(err)
	}
	const uid = "0199c1f2-7b00-7d10-8a2b-1c2d3e4f5a6b"
	verbs := map[string][][]string{
		"compact":                   {{"compact"}},
		"erase":                     {{"erase", "--subject", "user:alice", "--reason", "4711"}},
		"expire":                    {{"expire"}},
		"hold":                      {{"hold", "ls"}, {"hold", "add", "--tenant", "acme", "--reason", "17"}, {"hold", "rm", uid, "--reason", "17"}},
		"ingest":                    {{"ingest", "events.ndjson"}},
		"prove":                     {{"prove", uid}},
		"quarantine ls":             {{"quarantine", "ls"}},
		"quarantine show":           {{"quarantine", "show", uid + ".1"}},
		"quarantine requeue --nats": {{"quarantine", "requeue", "--all", "--nats", "nats://127.0.0.1:1"}},
		"stats --cost":              {{"stats", "--cost"}},
	}
	if got, want := slices.Sorted(maps.Keys(verbs)), slices.Sorted(maps.Keys(instead)); !slices.Equal(got, want) {
		t.Errorf("tested are %q, not %q", got, want)
	}
	for verb, lines := range verbs {
		for _, args := range lines {
			stdout, stderr, code := docketRun(append(args, "--data", dir)...)
			want := "docket: data directory " + dir + ": docket " + verb + " is for events in a lake: its events are not in it but in ClickHouse, ch.example:9000/audit\nhint: " + instead[verb] + "\n"
			if code != cli.ExitFailure || stdout != "" || stderr != want {
				t.Errorf("%v: exit %d, %s\n%s", args, code, stdout, stderr)
			}
		}
	}
}
