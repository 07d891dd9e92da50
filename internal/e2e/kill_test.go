// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// kill -9 at random moments, again and again on the same directory: nothing
// that a client was told is missing, and the history stays whole.
func TestKill(t *testing.T) {
	killLoop(t, t.TempDir(), rand.New(rand.NewPCG(uint64(*seed), 1)), *kills)
}

func killLoop(t *testing.T, dir string, rng *rand.Rand, n int) {
	t.Helper()
	killed(t, dir, rng, n)
	p := start(t, docketBin, "up", "--demo", "--for", "5s", "--data", dir)
	if code := p.wait(2 * time.Minute); code != 0 {
		t.Fatalf("docket up after %d kills: exit %d", n, code)
	}
	checkJournals(t, dir, n)
	out := checkVerify(t, dir)
	t.Logf("verify --deep: %d epochs, %s", strings.Count(out, "\nepoch "), lineWith(out, "checked "))
}

// killed starts the demo and kills it, again and again.
func killed(t *testing.T, dir string, rng *rand.Rand, n int, more ...string) {
	t.Helper()
	for i := range n {
		p := start(t, docketBin, append([]string{"up", "--demo", "--data", dir}, more...)...)
		p.addresses(dir)
		time.Sleep(time.Duration(rng.IntN(4000)) * time.Millisecond)
		p.kill()
		// However docket died, its children follow within a second.
		deadline := time.Now().Add(time.Second)
		for len(demoProcesses(dir)) > 0 && time.Now().Before(deadline) {
			time.Sleep(10 * time.Millisecond)
		}
		if left := demoProcesses(dir); len(left) > 0 {
			t.Fatalf("kill %d: still there a second later: %v", i+1, left)
		}
	}
}

// lineWith returns the first line of out that begins with prefix.
func lineWith(out, prefix string) string {
	for line := range strings.Lines(out) {
		if strings.HasPrefix(line, prefix) {
			return strings.TrimSpace(line)
		}
	}
	return "no line begins with " + prefix
}

// demoProcesses lists the processes whose command line names the demo's
// directory.
func demoProcesses(dir string) []string {
	var found []string
	procs, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, name := range procs {
		b, err := os.ReadFile(name)
		if err != nil {
			continue
		}
		line := strings.ReplaceAll(string(b), "\x00", " ")
		if strings.Contains(line, dir) && strings.Contains(line, " demo ") {
			pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(name)))
			if state := procState(pid); state != "Z" {
				found = append(found, strconv.Itoa(pid)+" "+line)
			}
		}
	}
	return found
}

// procState returns the process's state letter; Z is one that has ended and
// waits for its parent.
func procState(pid int) string {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return "Z"
	}
	_, after, _ := strings.Cut(string(b), ") ")
	return after[:1]
}
