// SPDX-License-Identifier: Apache-2.0

package emitter

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/docket-audit/docket/internal/checker"
)

// The test binary starts itself again with childEnv set. That child emits events
// and writes into a journal which of them its receipts called spooled, until it is
// killed: by itself at a named place of the code, or by who started it.

const childEnv = "DOCKET_EMITTER_CHILD"

// A life is what a child is told. Tests of the whole system start children of
// this package, too.
type life struct {
	Dir     string // of the WAL
	URL     string // of NATS
	Journal string // the child's own
	Places  string // file to which it adds the place before it kills itself
	Number  int
	Place   string // where it kills itself, "" for nowhere
	Nth     int64  // the how manieth time it gets there
	Seed    uint64 // of its random choices
	Stalls  bool   // its broker stops answering: see stall_test.go; Number is of events then
	Port    int    // when not 0, it is no emitter but a NATS server: see broker_test.go
}

// child lives until it is killed or its standard input ends.
func child() {
	var l life
	err := json.Unmarshal([]byte(os.Getenv(childEnv)), &l)
	if err == nil {
		switch {
		case l.Port != 0:
			err = l.serve()
		case l.Stalls:
			err = l.stall()
		default:
			err = l.live()
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "child:", err)
		os.Exit(1)
	}
}

// quietly keeps what a server that goes away makes of a connection out of reports.
var quietly = nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {})

func (l *life) live() error {
	journal, err := checker.OpenJournal(l.Journal)
	if err != nil {
		return err
	}
	nc, err := nats.Connect(l.URL, nats.RetryOnFailedConnect(true), nats.MaxReconnects(-1), nats.ReconnectWait(10*time.Millisecond), quietly)
	if err != nil {
		return err
	}
	fs := &crashFS{reached: l.reached(), rng: l.dice(0)}
	e, err := New(Config{
		Dir: l.Dir, Name: "gateway-0", Conn: nc, WALFileBytes: 16 << 10, ReserveBytes: 64 << 10,
		FS: fs, reached: fs.reached,
	})
	if err != nil {
		return err
	}
	ended := make(chan struct{})
	go func() {
		_, _ = bufio.NewReader(os.Stdin).ReadByte()
		close(ended)
	}()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() { _ = e.Run(ctx) }()
	var callers sync.WaitGroup
	for c := range 4 {
		callers.Go(func() {
			rng := l.dice(1 + c)
			for i := 0; ; i++ {
				select {
				case <-ended:
					return
				default:
				}
				time.Sleep(3 * time.Millisecond) // more events would only make more to judge
				if err := l.emit(ctx, e, fs, journal, rng, c, i); err != nil {
					fmt.Fprintln(os.Stderr, "child:", err)
					os.Exit(1)
				}
			}
		})
	}
	callers.Wait()
	closing, done := context.WithTimeout(ctx, time.Minute)
	defer done()
	return e.Close(closing)
}

func (l *life) dice(stream int) *rand.Rand { return rand.New(rand.NewPCG(l.Seed, uint64(stream))) } //nolint:gosec // a small number

// emit offers an event, waits until it is called spooled, and notes that with the
// bytes that were handed to the disk.
func (l *life) emit(ctx context.Context, e *Emitter, fs *crashFS, journal *checker.Journal, rng *rand.Rand, caller, i int) error {
	payload := fmt.Sprintf("life-%d-%d-%d", l.Number, caller, i)
	ev := event(fmt.Sprint("tenant-", i%3), payload)
	ev.API.Response.Data = map[string]any{"payload": payload, "padding": strings.Repeat("x", rng.IntN(1500))}
	r := e.Emit(ctx, ev)
	if err := r.Spooled(ctx); err != nil {
		return fmt.Errorf("spool %s: %w", payload, err)
	}
	at := r.group.places[r.index]
	sum, ok := fs.sums.Load(at)
	if !ok {
		return fmt.Errorf("%s is called spooled, and was not written", payload)
	}
	return journal.Add(checker.Line{Payload: payload, Epoch: at.epoch, Sequence: at.sequence, SHA256: sum.(string), Time: time.Now().UnixMilli()})
}

// reached kills the process at its place.
func (l *life) reached() func(string) {
	var passed atomic.Int64
	return func(place string) {
		if place != l.Place || passed.Add(1) != l.Nth {
			return
		}
		f, err := os.OpenFile(l.Places, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
		if err == nil {
			_, err = f.WriteString(place + "\n")
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, "child:", err)
		}
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {} // the signal is on its way
	}
}

// crashFS has places of its own, in the middle of what the code sees as one step,
// and remembers what was written as the format's description says to read it.
type crashFS struct {
	osFS
	reached func(string)
	mu      sync.Mutex
	rng     *rand.Rand // guarded by mu
	sums    sync.Map   // place to hex SHA-256 of the event's bytes
}

type crashFile struct {
	File
	fs *crashFS
}

func (f *crashFS) Create(path string) (File, error) {
	file, err := f.osFS.Create(path)
	if err != nil {
		return nil, err
	}
	return crashFile{file, f}, nil
}

func (f *crashFS) Rename(from, to string) error {
	f.reached("before-rename")
	err := f.osFS.Rename(from, to)
	f.reached("after-rename")
	return err
}

func (f *crashFS) Remove(path string) error {
	err := f.osFS.Remove(path)
	if err == nil && filepath.Ext(path) == walSuffix {
		f.reached("after-remove")
	}
	return err
}

func (f crashFile) Write(b []byte) (int, error) {
	if records, err := checker.Records(b); err == nil {
		for _, r := range records {
			sum := sha256.Sum256(r.Raw)
			f.fs.sums.Store(place{r.Epoch, r.Sequence}, hex.EncodeToString(sum[:]))
		}
	}
	f.fs.mu.Lock()
	part := f.fs.rng.IntN(len(b) + 1)
	f.fs.mu.Unlock()
	n, err := f.File.Write(b[:part])
	if err != nil {
		return n, err
	}
	f.fs.reached("mid-write")
	m, err := f.File.Write(b[part:])
	return n + m, err
}
