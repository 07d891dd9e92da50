// SPDX-License-Identifier: Apache-2.0

//go:build cgo

package sql

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

const answerName = "docket-sql-answer"

func processes(t testing.TB, l Limits) *Processes {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return NewProcesses(exe, []string{answerName}, l)
}

// askIn returns an answer with the names of its columns in its first line.
func askIn(ctx context.Context, p *Processes, s Scope, text string) (string, error) {
	var out bytes.Buffer
	err := p.Query(ctx, s, text, func(names []string) error {
		_, err := out.WriteString(strings.Join(names, ",") + "\n")
		return err
	}, &out)
	return out.String(), err
}

func TestProcess(t *testing.T) {
	scope, p := story(t), processes(t, Limits{})
	for _, test := range []struct{ query, want string }{
		{"SELECT count(*) AS n FROM events", "n\n{\"n\":6}\n"},
		{`SELECT 1 AS a, NULL AS "b""é", [true] AS a`, "a,b\"é,a_1\n" + `{"a":1,"b\"é":null,"a_1":[true]}` + "\n"},
		{"SELECT * FROM range(0)", "range\n"},
	} {
		if got, err := askIn(t.Context(), p, scope, test.query); err != nil || got != test.want {
			t.Errorf("%s: %q, %v", test.query, got, err)
		}
	}
	// A row that is longer than a frame, and many that are not.
	got, err := askIn(t.Context(), p, scope, "SELECT repeat('x', 1000000) AS x FROM range(3)")
	if line := `{"x":"` + strings.Repeat("x", 1_000_000) + `"}` + "\n"; err != nil || got != "x\n"+strings.Repeat(line, 3) {
		t.Errorf("long rows: %d bytes, %v", len(got), err)
	}
	got, err = askIn(t.Context(), p, scope, "SELECT range AS n FROM range(300000)")
	if lines := strings.Split(got, "\n"); err != nil || len(lines) != 300_002 || lines[300_000] != `{"n":299999}` {
		t.Errorf("many rows: %d, %v", len(lines), err)
	}
}

// An error is the one that the engine would give in this process.
func TestProcessErrors(t *testing.T) {
	scope, p := story(t), processes(t, Limits{})
	db := open(t, scope)
	for _, q := range []string{"DROP VIEW events", "SELECT 1; SELECT 2", "SELECT nothing FROM events", "SELECT error('told')", "FROM '/etc/passwd'"} {
		_, want := ask(t.Context(), db, q)
		got, err := askIn(t.Context(), p, scope, q)
		var refused, refusedHere *StatementError
		var failed, failedHere *QueryError
		if errors.As(err, &refused) != errors.As(want, &refusedHere) || errors.As(err, &failed) != errors.As(want, &failedHere) || err == nil || err.Error() != want.Error() {
			t.Errorf("%s: %q, %v; in this process %v", q, got, err, want)
		}
	}
	if _, err := askIn(t.Context(), p, Scope{Dir: t.TempDir(), Files: []string{"gone.parquet"}}, "SELECT 1"); err == nil || !strings.Contains(err.Error(), "gone.parquet") {
		t.Errorf("a missing file: %v", err)
	}
	// Late: what is there is kept, and is not taken for all. Each time, the
	// threads of the engine may come to it in another order.
	for range 8 {
		got, err := askIn(t.Context(), p, scope, "SELECT CASE WHEN range = 500000 THEN error('told late') ELSE range END AS n FROM range(1000000)")
		var failed *QueryError
		if !errors.As(err, &failed) || !strings.Contains(err.Error(), "told late") || !strings.HasPrefix(got, "n\n{\"n\":0}\n") {
			t.Fatalf("a late error: %.50q, %v", got, err)
		}
	}
	var long *QueryError
	if _, err := askIn(t.Context(), p, scope, "SELECT error(repeat('é', 1000000))"); !errors.As(err, &long) || len(err.Error()) > 2*maxWords {
		t.Errorf("a long error: %.50v", err)
	}
	broken := errors.New("broken")
	if err := p.Query(t.Context(), scope, "FROM range(100000000000)", func([]string) error { return nil }, writer(func([]byte) (int, error) { return 0, broken })); !errors.Is(err, broken) {
		t.Errorf("who reads the answer cannot: %v", err)
	}
}

type writer func([]byte) (int, error)

func (w writer) Write(b []byte) (int, error) { return w(b) }

// What asks for more than there may be ends, and ends alone.
func TestProcessMemory(t *testing.T) {
	p := processes(t, Limits{Memory: 600 << 20})
	scope := Scope{Dir: t.TempDir()}
	for _, q := range []string{
		"SELECT len(range(2000000000))",
		"SELECT repeat('x', 1000000000)",
		"SELECT repeat('x', 200000000) FROM range(1000)",
		"SELECT list(range) FROM range(1000000000)",
		"SELECT count(*) FROM (SELECT DISTINCT hash(range)::VARCHAR FROM range(50000000))",
	} {
		got, err := askIn(t.Context(), p, scope, q)
		var greedy *MemoryError
		if !errors.As(err, &greedy) || greedy.Hint() == "" {
			t.Errorf("%s: %d bytes, %v", q, len(got), err)
		}
	}
	if got, err := askIn(t.Context(), p, scope, "SELECT 1 AS x"); err != nil || got != "x\n{\"x\":1}\n" {
		t.Errorf("afterwards: %q, %v", got, err)
	}
}

// What cannot be interrupted is ended when nobody waits for it any more, or
// nobody should.
func TestProcessEnds(t *testing.T) {
	scope := Scope{Dir: t.TempDir()}
	const long = "SELECT count(*) FROM range(100000) a, range(10000000) b WHERE hash(a.range, b.range) = 0"
	var late *TimeoutError
	for _, l := range []Limits{{Stall: 100 * time.Millisecond}, {Total: 100 * time.Millisecond}} {
		if _, err := askIn(t.Context(), processes(t, l), scope, long); !errors.As(err, &late) || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%+v: %v", l, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(100*time.Millisecond, cancel)
	if _, err := askIn(ctx, processes(t, Limits{}), scope, long); !errors.Is(err, context.Canceled) {
		t.Errorf("the one who asked has left: %v", err)
	}
}

// More than a few at a time are turned away, and those who left make room.
func TestProcessesAreFew(t *testing.T) {
	p := processes(t, Limits{Running: 1, Waiting: 1})
	scope := Scope{Dir: t.TempDir()}
	ctx, cancel := context.WithCancel(t.Context())
	done, begun := make(chan error), make(chan struct{})
	go func() {
		first := true
		done <- p.Query(ctx, scope, "FROM range(100000000000)", func([]string) error { return nil }, writer(func(b []byte) (int, error) {
			if first {
				first = false
				close(begun)
			}
			return len(b), nil
		}))
	}()
	<-begun
	go func() {
		_, err := askIn(ctx, p, scope, "SELECT 1")
		done <- err
	}()
	for len(p.places) < 2 {
		time.Sleep(time.Millisecond)
	}
	var busy *BusyError
	if _, err := askIn(t.Context(), p, scope, "SELECT 1"); !errors.As(err, &busy) {
		t.Errorf("the third: %v", err)
	}
	cancel()
	for range 2 {
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("after the cancel: %v", err)
		}
	}
	if _, err := askIn(t.Context(), p, scope, "SELECT 1"); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}

// A process whose owner is gone ends by itself, whatever it is at.
func TestOrphanEnds(t *testing.T) {
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{"FROM range(100000000000)", "SELECT " + strings.Repeat("/*", 16_000) + strings.Repeat("*/", 16_000) + "1"} {
		cmd := exec.Command(exe)
		cmd.Args = []string{answerName}
		stdin, err := cmd.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		question := `{"Scope":{"Dir":` + strconv.Quote(t.TempDir()) + `},"Text":` + strconv.Quote(text) + `,"Memory":1000000000}`
		if _, err := io.WriteString(stdin, question); err != nil {
			t.Fatal(err)
		}
		stdin.Close()
		ended := time.AfterFunc(time.Minute, func() { _ = cmd.Process.Signal(syscall.SIGKILL) })
		_ = cmd.Wait()
		if !ended.Stop() {
			t.Errorf("%.30s: had to be killed", text)
		}
	}
}

func TestNamesTooLong(t *testing.T) {
	var text strings.Builder
	text.WriteString("SELECT 1")
	for i := range 40 {
		text.WriteString(" AS " + strings.Repeat("c", 1000) + strconv.Itoa(i) + ", 1")
	}
	var refused *StatementError
	if _, err := askIn(t.Context(), processes(t, Limits{}), Scope{Dir: t.TempDir()}, text.String()); !errors.As(err, &refused) || !strings.Contains(err.Error(), "41 columns") {
		t.Errorf("long names: %v", err)
	}
}

func BenchmarkProcess(b *testing.B) {
	p, scope := processes(b, Limits{}), Scope{Dir: b.TempDir()}
	for b.Loop() {
		if _, err := askIn(b.Context(), p, scope, "SELECT 1"); err != nil {
			b.Fatal(err)
		}
	}
}
