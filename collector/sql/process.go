// SPDX-License-Identifier: Apache-2.0

package sql

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Limits bound what queries may take from those beside them. What is zero has
// the default that is said.
type Limits struct {
	Memory  int64         // of one query's process, in bytes; 1.5 GiB, two thirds of it for the engine
	Stall   time.Duration // how long no part of an answer may come; 1 minute, negative is for ever
	Total   time.Duration // how long a query may take; 10 minutes, negative is for ever
	Running int           // queries at a time; 2
	Waiting int           // queries that wait for one of these to end; 4
}

// WithDefaults returns the limits with the defaults in the place of what is zero.
func (l Limits) WithDefaults() Limits {
	or := func(v *time.Duration, d time.Duration) {
		if *v == 0 {
			*v = d
		}
	}
	or(&l.Stall, time.Minute)
	or(&l.Total, 10*time.Minute)
	if l.Memory <= 0 {
		l.Memory = 3 << 29
	}
	if l.Running <= 0 {
		l.Running = 2
	}
	if l.Waiting <= 0 {
		l.Waiting = 4
	}
	return l
}

// Processes answer queries, each in a process of its own that runs [Answer]: an
// engine that takes more memory than it was allowed, that cannot be interrupted
// while it parses, or that crashes, takes nobody along.
type Processes struct {
	path   string
	args   []string
	limits Limits

	places  chan struct{} // holds one for each query that runs or waits
	running chan struct{} // holds one for each that runs

	sharing sync.Mutex
	shares  map[string]int // queries that run or wait, by their tenants; guarded by sharing

	described sync.Mutex
	tables    []Table // guarded by described; nil until somebody asks
}

// NewProcesses returns Processes that run the program at path with args, of
// which the first is the program's name.
func NewProcesses(path string, args []string, limits Limits) *Processes {
	l := limits.WithDefaults()
	return &Processes{
		path: path, args: args, limits: l,
		places: make(chan struct{}, l.Running+l.Waiting), running: make(chan struct{}, l.Running),
	}
}

// Query runs one SELECT over scope. It calls columns once and then writes the
// rows to rows, one JSON object in each line. An answer is whole if, and only
// if, the error is nil; else that is one of [DB.Query] or [Rows.Err], a
// [MemoryError], [TimeoutError], [BusyError] or [CrashError], what columns or
// rows returned, or the end of ctx.
func (p *Processes) Query(ctx context.Context, scope Scope, text string, columns func([]string) error, rows io.Writer) error {
	return p.ask(ctx, scope, request{Text: text}, func(f *frames) error { return relay(f, columns, rows) })
}

// ask has one process answer q over scope; read takes the answer in.
func (p *Processes) ask(ctx context.Context, scope Scope, q request, read func(*frames) error) error {
	if err := checkLength(q.Text); err != nil {
		return err
	}
	if _, _, err := scope.conditions(); err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer after(p.limits.Total, cancel)()
	leave, err := p.enter(ctx, &scope)
	if err != nil {
		return err
	}
	defer leave()
	if scope.MemoryLimit <= 0 {
		scope.MemoryLimit = p.limits.Memory / 3 * 2
	}
	q.Scope = scope.withDefaults()
	q.Memory, q.CPU = p.limits.Memory, max(p.limits.Total, 0)*time.Duration(q.Scope.Threads)
	err = p.run(ctx, &q, read)
	if isMasked(err) {
		return p.reason(ctx, q, err)
	}
	return err
}

// isMasked reports whether an error of the engine stands before another one.
// When a query fails in one of its threads, DuckDB 1.5 interrupts the others,
// and now and then tells of that instead. A process is asked one thing and
// ended when nobody wants the answer, so that no interrupt in it is ours.
func isMasked(err error) bool {
	var failed *QueryError
	return errors.As(err, &failed) && failed.Err.Error() == "INTERRUPT Error: Interrupted!"
}

// reason runs a query that failed with masked again, where no thread can stand
// before another, and returns why it fails. It takes from the time that is left
// for the query, and tells of nothing else that may happen now.
func (p *Processes) reason(ctx context.Context, q request, masked error) error {
	q.Scope.Threads = 1
	again := p.run(ctx, &q, discard)
	var failed *QueryError
	var greedy *MemoryError
	if errors.As(again, &failed) || errors.As(again, &greedy) {
		return again
	}
	return masked
}

// enter waits for a place among those that run. Of the same tenants, where a scope
// has some, one place is left to others: what one asks must not keep all waiting.
func (p *Processes) enter(ctx context.Context, scope *Scope) (leave func(), err error) {
	yield, err := p.share(scope)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			yield()
		}
	}()
	select {
	case p.places <- struct{}{}:
	default:
		return nil, new(BusyError)
	}
	var long <-chan time.Time
	if p.limits.Stall > 0 {
		timer := time.NewTimer(p.limits.Stall)
		defer timer.Stop()
		long = timer.C
	}
	select {
	case p.running <- struct{}{}:
		return func() { <-p.running; <-p.places; yield() }, nil
	case <-long:
		err = new(BusyError)
	case <-ctx.Done():
		err = context.Cause(ctx)
	}
	<-p.places
	return nil, err
}

// share counts a query of the scope's tenants.
func (p *Processes) share(scope *Scope) (yield func(), err error) {
	if len(scope.Tenants) == 0 {
		return func() {}, nil
	}
	key := strings.Join(scope.Tenants, "\x00")
	p.sharing.Lock()
	defer p.sharing.Unlock()
	if p.shares[key] >= max(1, p.limits.Running-1) {
		return nil, new(BusyError)
	}
	if p.shares == nil {
		p.shares = make(map[string]int)
	}
	p.shares[key]++
	return func() {
		p.sharing.Lock()
		defer p.sharing.Unlock()
		if p.shares[key]--; p.shares[key] == 0 {
			delete(p.shares, key)
		}
	}, nil
}

// after cancels with a [TimeoutError] unless stop is called before.
func after(d time.Duration, cancel context.CancelCauseFunc) (stop func()) {
	if d <= 0 {
		return func() {}
	}
	t := time.AfterFunc(d, func() { cancel(&TimeoutError{d}) })
	return func() { t.Stop() }
}

// errDied says that a process ended before its answer did.
var errDied = errors.New("the process of the query ended early")

// run has one process answer and sees it to its end, by force if need be.
func (p *Processes) run(ctx context.Context, q *request, read func(*frames) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	question, err := json.Marshal(q)
	if err != nil {
		return fmt.Errorf("start query: %w", err)
	}
	cmd := exec.CommandContext(ctx, p.path)
	cmd.Args = p.args
	// A group of its own: ^C is for us, who know what a query is good for.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = time.Second
	last := new(lastWords)
	cmd.Stderr = last
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return fmt.Errorf("start query: %w", err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return fmt.Errorf("start query: %w", err)
	}
	if err := cmd.Start(); err != nil {
		if cause := context.Cause(ctx); cause != nil {
			return cause
		}
		return fmt.Errorf("start query: %w", err)
	}
	// Its standard input stays open: the end of it is the end of us.
	if _, err = stdin.Write(question); err != nil {
		err = errDied
	} else {
		err = read(&frames{
			r: bufio.NewReader(stdout), buf: make([]byte, maxFrame),
			wait: func() (stop func()) { return after(p.limits.Stall, cancel) },
		})
	}
	cause := context.Cause(ctx)
	if err != nil {
		cancel(err) // there is no one to answer to
	}
	stdin.Close()
	_ = cmd.Wait() // how it ended matters only if its answer did not
	switch {
	case err != nil && cause != nil:
		return cause
	case errors.Is(err, errDied):
		return p.died(cmd.ProcessState, last.String())
	}
	return err
}

// relay hands an answer of rows on while it comes.
func relay(f *frames, columns func([]string) error, rows io.Writer) error {
	for {
		kind, payload, err := f.next()
		if err != nil {
			return err
		}
		switch kind {
		case frameColumns:
			var names []string
			if err := json.Unmarshal(payload, &names); err != nil {
				return fmt.Errorf("read columns of an answer: %w", err)
			}
			err = columns(names)
		case frameRows:
			_, err = rows.Write(payload)
		case frameEnd:
			return nil
		default:
			return errDied
		}
		if err != nil {
			return err
		}
	}
}

// discard reads an answer to its end, for the error in it.
func discard(f *frames) error {
	for {
		if kind, _, err := f.next(); err != nil || kind == frameEnd {
			return err
		}
	}
}

// died says why a process gave no whole answer. Where memory ends, the engine
// and the runtime may each come to an end in more than one way.
func (p *Processes) died(state *os.ProcessState, words string) error {
	status, _ := state.Sys().(syscall.WaitStatus)
	switch {
	case strings.Contains(words, "SIGXCPU"):
		return &TimeoutError{p.limits.Total}
	case status.Signaled() && status.Signal() == syscall.SIGKILL, outOfMemory(words):
		return &MemoryError{p.limits.Memory}
	}
	first, _, _ := strings.Cut(strings.TrimSpace(words), "\n")
	return &CrashError{State: state.String(), Words: first}
}

// outOfMemory reports whether a text complains of no memory.
func outOfMemory(text string) bool {
	for _, complaint := range []string{
		"Out of Memory Error", "bad_alloc", "out of memory", "cannot allocate memory", "Cannot allocate memory",
		"pthread_create failed", "failed to create new OS thread", "Failed to allocate",
	} {
		if strings.Contains(text, complaint) {
			return true
		}
	}
	return false
}

// lastWords keeps the beginning of what a process says to standard error:
// where it says why it ends, before it shows its goroutines.
type lastWords struct{ bytes.Buffer }

func (l *lastWords) Write(b []byte) (int, error) {
	l.Buffer.Write(b[:min(len(b), 4096-min(l.Len(), 4096))])
	return len(b), nil
}

// A MemoryError says that a query was ended because it needed too much memory.
type MemoryError struct {
	Limit int64 // bytes
}

func (e *MemoryError) Error() string {
	return fmt.Sprintf("query needed more memory than %d MiB", e.Limit>>20)
}

// Hint says what needs less.
func (*MemoryError) Hint() string {
	return "ask for fewer rows or columns, or for a shorter time: WHERE time >= epoch_ms(now()) - 3600000"
}

// A TimeoutError says that a query was ended because it took too long.
type TimeoutError struct {
	Limit time.Duration
}

func (e *TimeoutError) Error() string { return fmt.Sprintf("query took longer than %s", e.Limit) }

// Is makes the error one of [context.DeadlineExceeded].
func (*TimeoutError) Is(target error) bool { return target == context.DeadlineExceeded }

// Hint says what takes less.
func (*TimeoutError) Hint() string { return new(MemoryError).Hint() }

// A BusyError says that too many queries run and wait already.
type BusyError struct{}

func (*BusyError) Error() string { return "too many queries at a time" }

// Hint says what to do.
func (*BusyError) Hint() string { return "ask again in a few seconds" }

// A CrashError says that a query's process ended, and not for want of memory.
type CrashError struct {
	State string // how it ended
	Words string // what it said
}

func (e *CrashError) Error() string {
	return strings.TrimSuffix("query ended its process: "+e.State+": "+e.Words, ": ")
}

// Hint says what that means.
func (*CrashError) Hint() string {
	return "nothing else was harmed; put the question in other words"
}
