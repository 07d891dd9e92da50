// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/docket-audit/docket/internal/checker"
	"github.com/docket-audit/docket/internal/natstest"
	"github.com/docket-audit/docket/internal/stream"
)

// The whole road under fire: children of the emitter's own tests, which kill
// themselves at its named places; a collector with its lake, which is killed at
// any moment; a broker that goes and comes. Each event of the children's journals
// is in the store exactly once, byte for byte, and the history verifies.
func TestRoad(t *testing.T) {
	t.Parallel()
	underFire(t, rand.New(rand.NewPCG(uint64(*seed), 3)), 40)
}

// roadPlaces are the emitter's places that lie between an event and the store.
var roadPlaces = []string{
	"before-recovery", "after-rename", "after-rotate", "before-leftovers", "after-leftovers",
	"before-append", "mid-write", "before-sync", "after-sync",
	"before-publish", "after-publish", "before-ack", "after-ack", "before-trim", "after-remove", "after-trim",
}

func underFire(t *testing.T, rng *rand.Rand, lives int) {
	t.Helper()
	child := filepath.Join(t.TempDir(), "emitter.test")
	build := exec.Command("go", "test", "-c", "-o", child, "github.com/docket-audit/docket/emitter")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build the emitter's tests: %v\n%s", err, out)
	}
	broker := natstest.Run(t)
	if err := stream.Apply(t.Context(), broker.JetStream(t)); err != nil {
		t.Fatal(err)
	}
	dir, lake := t.TempDir(), t.TempDir()
	conf := collectorConfig(t, broker.URL())
	collecting := start(t, docketBin, "up", "--config", conf, "--data", lake)
	killed := 0
	for n := range lives {
		place := roadPlaces[n%len(roadPlaces)]
		told, err := json.Marshal(map[string]any{
			"Dir": filepath.Join(dir, "wal"), "URL": broker.URL(), "Journal": filepath.Join(dir, fmt.Sprint("journal-", n)),
			"Places": filepath.Join(dir, "places"), "Number": n, "Place": place, "Nth": 1 + rng.IntN(3),
		})
		if err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command(child)
		cmd.Env = append(environment(), "DOCKET_EMITTER_CHILD="+string(told))
		stdin, err := cmd.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		// Some lives get to their place long before, some never do.
		time.Sleep(time.Duration(rng.IntN(400)) * time.Millisecond)
		if rng.IntN(4) == 0 {
			collecting.kill()
			killed++
			_ = os.Remove(filepath.Join(lake, "run.json"))
			collecting = start(t, docketBin, "up", "--config", conf, "--data", lake)
		}
		if rng.IntN(8) == 0 {
			broker.Stop()
			time.Sleep(50 * time.Millisecond)
			broker.Start()
		}
		time.Sleep(time.Duration(rng.IntN(400)) * time.Millisecond)
		cmd.Process.Kill()
		cmd.Wait()
		stdin.Close()
	}
	lines := finish(t, child, dir, broker.URL())
	inStore(t, collecting, lake, lines)
	said, err := os.ReadFile(filepath.Join(dir, "places"))
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d lives, %d of them ended at their place; %d collectors killed; %d events spooled", lives, strings.Count(string(said), "\n"), killed, len(lines))
	if killed == 0 {
		t.Error("no collector was killed")
	}
}

// finish lets a last child start and stop, and returns the journals.
func finish(t *testing.T, child, dir, url string) []checker.Line {
	t.Helper()
	told, err := json.Marshal(map[string]any{"Dir": filepath.Join(dir, "wal"), "URL": url, "Journal": filepath.Join(dir, "journal-last"), "Number": 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(child)
	cmd.Env = append(environment(), "DOCKET_EMITTER_CHILD="+string(told))
	if out, err := cmd.CombinedOutput(); err != nil { // its standard input has ended: it stops at once
		t.Fatalf("the last life: %v\n%s", err, out)
	}
	journals, err := filepath.Glob(filepath.Join(dir, "journal-*"))
	if err != nil {
		t.Fatal(err)
	}
	lines, err := checker.ReadJournal(journals...)
	if err != nil || len(lines) < 100 {
		t.Fatalf("%d lines, %v", len(lines), err)
	}
	return lines
}

// inStore waits until the store has the end of every epoch, and compares.
func inStore(t *testing.T, collecting *process, lake string, lines []checker.Line) {
	t.Helper()
	type row struct {
		Epoch    string `json:"epoch"`
		Sequence int64  `json:"sequence"`
		Raw      string `json:"raw"`
	}
	highest := map[string]int64{}
	for _, l := range lines {
		highest[l.Epoch] = max(highest[l.Epoch], l.Sequence)
	}
	type reach struct {
		Epoch string `json:"epoch"`
		Max   int64  `json:"most"`
	}
	collecting.addresses(lake)
	collecting.eventually("every event of the journals", 2*time.Minute, func() bool {
		have := map[string]int64{}
		for _, r := range query[reach](t, lake, `SELECT epoch, max(sequence) AS most FROM events GROUP BY epoch`) {
			have[r.Epoch] = r.Max
		}
		for epoch, n := range highest {
			if have[epoch] < n {
				return false
			}
		}
		return true
	})
	if code := collecting.stop(); code != 0 {
		t.Fatalf("docket up: exit %d", code)
	}
	type place struct {
		epoch    string
		sequence int64
	}
	sums := map[place]string{}
	for _, r := range query[row](t, lake, `SELECT epoch, sequence, _raw AS raw FROM events`) {
		at := place{r.Epoch, r.Sequence}
		if _, twice := sums[at]; twice {
			t.Errorf("%d of epoch %s is stored twice", r.Sequence, r.Epoch)
		}
		sum := sha256.Sum256([]byte(r.Raw))
		sums[at] = hex.EncodeToString(sum[:])
	}
	lost := 0
	for _, l := range lines {
		if sums[place{l.Epoch, l.Sequence}] != l.SHA256 {
			if lost++; lost < 10 {
				t.Errorf("%s, %d of epoch %s: spooled, and not in the store with its bytes", l.Payload, l.Sequence, l.Epoch)
			}
		}
	}
	out := checkVerify(t, lake)
	t.Logf("%d events stored, %d lost; verify --deep: %d epochs to the crash, %d closed", len(sums), lost, strings.Count(out, "to the crash"), strings.Count(out, ", closed"))
}
