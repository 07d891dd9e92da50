// SPDX-License-Identifier: Apache-2.0

package emitter

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/docket-audit/docket/internal/profile"
	"github.com/docket-audit/docket/ocsf"
)

// A round of one caller is one operation: a disk that is slow for a while is slow
// for both. More callers need some time to be in step.
var durableRounds = map[int]struct {
	rounds int
	each   time.Duration
}{
	1:  {2000, 0},
	64: {60, 100 * time.Millisecond},
}

// BenchmarkDurable is callers who each do one operation after the other: an
// evaluation and a result, until both are on stable storage, which is when the
// handler would run, and then an outcome, until that is. "ratio" is of the events
// per second, over those of
//
//   - with one caller, who writes the same bytes itself: two writes, each synced,
//     for three events;
//   - with more, callers who share a bare writer, which appends what has gathered
//     and syncs it, and wait for it twice in each operation.
//
// The targets are 0.77, which is a time of at most 1.3 times that of the bare writes,
// and 0.5.
func BenchmarkDurable(b *testing.B) {
	for _, callers := range []int{1, 64} {
		b.Run(fmt.Sprintf("callers=%d", callers), func(b *testing.B) {
			for b.Loop() {
				durable(b, callers)
			}
		})
	}
}

func durable(b *testing.B, callers int) {
	e, err := New(Config{Dir: filepath.Join(b.TempDir(), "wal"), Name: "gateway-0", WALMaxBytes: 1 << 40})
	if err != nil {
		b.Fatal(err)
	}
	ours := func() {
		e.Emit(b.Context(), ofKind(profile.KindEvaluation))
		if err := e.Emit(b.Context(), ofKind(profile.KindResult)).Spooled(b.Context()); err != nil {
			b.Error(err)
		}
		if err := e.Emit(b.Context(), ofKind(profile.KindOutcome)).Spooled(b.Context()); err != nil {
			b.Error(err)
		}
	}
	begin := bareGroups
	if callers == 1 {
		begin = bareSerial
	}
	bare, stop := begin(b)
	how := durableRounds[callers]
	of := func(operation func()) func() float64 {
		return func() float64 { return 3 * together(callers, how.each, operation) }
	}
	r := alternate(how.rounds, of(ours), of(bare))
	stop()
	if err := e.Close(b.Context()); err != nil {
		b.Fatal(err)
	}
	r.report(b)
}

func ofKind(kind string) *ocsf.APIActivity {
	e := benchEvent()
	e.Metadata.EventCode = kind
	return e
}

// together has callers do one operation after the other until so much time has
// passed, and returns how many they did in a second.
func together(callers int, least time.Duration, operation func()) float64 {
	var wg sync.WaitGroup
	done := make([]int, callers)
	begin := time.Now()
	for i := range callers {
		wg.Go(func() {
			for ok := true; ok; ok = time.Since(begin) < least {
				operation()
				done[i]++
			}
		})
	}
	wg.Wait()
	took := time.Since(begin)
	n := 0
	for _, d := range done {
		n += d
	}
	return float64(n) / took.Seconds()
}

// benchBytes are those of an event, as they are in the WAL but for the head.
func benchBytes(b *testing.B) []byte {
	b.Helper()
	cfg := Config{Dir: "x", Name: "gateway-0"}.withDefaults()
	p := &epoch{state: epochState{Epoch: newUID(), Tenant: "acme", Sequence: 1, UID: newUID(), Fingerprint: hexSum(nil)}}
	e := benchEvent()
	e.Metadata.UID, e.Metadata.Product = newUID(), cfg.Product
	r, err := p.seal(e, &cfg)
	if err != nil {
		b.Fatal(err)
	}
	return r.append(nil)
}

func bareFile(b *testing.B) *os.File {
	b.Helper()
	f, err := os.OpenFile(filepath.Join(b.TempDir(), "bare"), os.O_CREATE|os.O_EXCL|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		b.Fatal(err)
	}
	return f
}

// bareSerial is who writes and syncs what it has itself.
func bareSerial(b *testing.B) (operation, stop func()) {
	f, one := bareFile(b), benchBytes(b)
	two := slices.Concat(one, one)
	write := func(data []byte) {
		if _, err := f.Write(data); err != nil {
			b.Error(err)
		}
		if err := f.Sync(); err != nil {
			b.Error(err)
		}
	}
	return func() { write(two); write(one) }, func() { _ = f.Close() }
}

// bareGroups is a group-commit writer with nothing around it: callers copy bytes
// to where they gather, and one goroutine writes and syncs those.
func bareGroups(b *testing.B) (operation, stop func()) {
	f, one := bareFile(b), benchBytes(b)
	two := slices.Concat(one, one)
	var mu sync.Mutex
	var gathered, written []byte
	synced := make(chan struct{}) // of those that gather
	wake := make(chan struct{}, 1)
	var writer sync.WaitGroup
	writer.Go(func() {
		for range wake {
			mu.Lock()
			gathered, written = written[:0], gathered
			told := synced
			synced = make(chan struct{})
			mu.Unlock()
			if _, err := f.Write(written); err != nil {
				b.Error(err)
			}
			if err := f.Sync(); err != nil {
				b.Error(err)
			}
			close(told)
		}
	})
	write := func(data []byte) {
		mu.Lock()
		gathered = append(gathered, data...)
		told := synced
		mu.Unlock()
		select {
		case wake <- struct{}{}:
		default:
		}
		<-told
	}
	return func() { write(two); write(one) }, func() {
		close(wake)
		writer.Wait()
		_ = f.Close()
	}
}
