// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"bufio"
	"context"
	"fmt"
	"iter"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

const victimEnv = "DOCKET_LEDGER_VICTIM"

// victim is the program that TestKill kills: it does what a collector does
// after a crash, and then adds statements until it dies. What it has been told
// is added, it tells.
func victim(dir string) {
	ctx := context.Background()
	fail := func(err error) {
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	k, err := OpenKey(filepath.Join(dir, "keys", "ledger.key"), filepath.Join(dir, "keys", "ledger.vkey"))
	fail(err)
	path := filepath.Join(dir, "ledger")
	l, err := Open(ctx, path, k, Options{Kept: filepath.Join(dir, "keys", "ledger.checkpoint"), Statements: victims(path, k)})
	fail(err)
	log, _, err := Read(ctx, l.dir, k.Verifier())
	fail(err)
	n := len(log.Leaves)
	fmt.Println("opened", n)
	_, err = l.Ensure(ctx, stated(n+1))
	fail(err)
	for i := n + 1; ; i++ {
		fail(l.Add(ctx, statement(i)))
		fmt.Println("added", i)
	}
}

// victims are the statements that a victim has committed: as many as there are
// leaves, for each was durable before.
func victims(path string, k *Key) iter.Seq2[[]byte, error] {
	log, _, err := Read(context.Background(), path, k.Verifier())
	return func(yield func([]byte, error) bool) {
		for i := range log.Leaves {
			if !yield(statement(i), err) {
				return
			}
		}
	}
}

func TestKill(t *testing.T) {
	dir := t.TempDir()
	rounds := 8
	if testing.Short() {
		rounds = 2
	}
	added := -1
	for round := range rounds {
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^$")
		cmd.Env = append(os.Environ(), victimEnv+"="+dir)
		cmd.Stderr = os.Stderr
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		opened := make(chan struct{})
		read := make(chan struct{})
		go func() {
			defer close(read)
			for s := bufio.NewScanner(out); s.Scan(); {
				var n int
				if _, err := fmt.Sscanf(s.Text(), "added %d", &n); err == nil {
					added = n
				} else {
					close(opened)
				}
			}
		}()
		if round%2 == 0 {
			select {
			case <-opened:
			case <-read:
			}
		}
		time.Sleep(time.Duration(rand.IntN(400)) * time.Millisecond)
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		<-read
		if err := cmd.Wait(); err == nil || cmd.ProcessState.ExitCode() != -1 {
			t.Fatalf("round %d: the victim ended by itself: %v", round, err)
		}
	}

	k := newKey(t, dir)
	path := filepath.Join(dir, "ledger")
	l, err := Open(t.Context(), path, k, Options{Kept: filepath.Join(dir, "keys", "ledger.checkpoint"), Statements: victims(path, k)})
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	log := checkLog(t, l.dir, k)
	if len(log.Leaves) <= added || !slices.Equal(log.Leaves[:added+1], digests(added+1)) {
		t.Fatalf("%d leaves, %d statements were acknowledged", len(log.Leaves), added+1)
	}
	t.Logf("%d rounds, %d statements acknowledged, %d leaves", rounds, added+1, len(log.Leaves))
}
