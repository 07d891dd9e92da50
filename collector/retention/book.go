// SPDX-License-Identifier: Apache-2.0

package retention

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"
)

// A Hold keeps events from expiring and from being erased.
type Hold struct {
	ID string `json:"id"`
	Selection
	Reason string `json:"reason"`
	By     string `json:"by,omitempty"`
	Placed int64  `json:"placed"` // ms
}

// A Change is one of the list of holds. It says nothing of what is held: that
// would outlast the hold.
type Change struct {
	UID    string `json:"uid"` // of the event that tells it
	Hold   string `json:"hold"`
	Added  bool   `json:"added"`
	Time   int64  `json:"time"` // ms
	Reason string `json:"reason"`
	By     string `json:"by,omitempty"`
}

// What a caller can decide on.
var (
	// ErrClock says that the clock is far ahead of where it was when retention
	// ran last, so that it may be wrong, and nothing expires.
	ErrClock = errors.New("the clock has gone far ahead")
	// ErrNoHold says that there is no hold of that name.
	ErrNoHold = errors.New("no such hold")
	// ErrHoldExists says that a hold on the same, for the same reason, is there: who
	// orders it again did not hear of the first one.
	ErrHoldExists = errors.New("that is held already")
)

// An OrderError is of an order that is wrong, whatever there is.
type OrderError struct {
	Field string // of the order that is at fault, as JSON has it; "" for none alone
	Err   error
}

func (e *OrderError) Error() string { return e.Err.Error() }

// Unwrap returns what is wrong.
func (e *OrderError) Unwrap() error { return e.Err }

// A HoldError is [ErrNoHold] or [ErrHoldExists], of a hold.
type HoldError struct {
	ID  string
	Err error
}

func (e *HoldError) Error() string { return fmt.Sprintf("%v: %.80q", e.Err, e.ID) }

// Unwrap returns the cause.
func (e *HoldError) Unwrap() error { return e.Err }

// Hint says where to look.
func (*HoldError) Hint() string { return "docket hold ls names them" }

// MaxLeap is how far the clock may have gone since retention ran last, or since
// the newest commit where it never ran. Beyond, somebody has to say that it is
// right: else a clock that is set a year ahead by mistake would empty a store.
const MaxLeap = 7 * 24 * time.Hour

// A Book remembers. Its methods may be called concurrently; one process at a
// time may have a file open.
type Book struct {
	policy Policy
	path   string
	fault  func(point string) error

	mu   sync.Mutex
	page page // guarded by mu; as it is in the file
}

// A page is what the file holds.
type page struct {
	Holds  []Hold   `json:"holds"`
	Untold []Change `json:"untold"`
	Told   uint64   `json:"told"`            // the last statement of the store that events have told of
	Clock  int64    `json:"clock,omitempty"` // ms; when retention ran last
}

// Options of a book; the zero value works.
type Options struct {
	// Fault is asked at each point of a write at which a crash would leave
	// something else: "book begin", "book written", "book renamed". For tests.
	Fault func(point string) error
}

// Open reads the book in a file, which need not be there. A file that is damaged
// is an error: what it held must not expire because nobody knows.
func Open(path string, policy Policy, opts Options) (*Book, error) {
	b := &Book{policy: policy, path: path, fault: opts.Fault}
	if b.fault == nil {
		b.fault = func(string) error { return nil }
	}
	var err error
	if b.page, err = read(path); err != nil {
		return nil, err
	}
	return b, nil
}

// ReadHolds returns the holds in a file, which need not be there.
func ReadHolds(path string) ([]Hold, error) {
	p, err := read(path)
	return p.Holds, err
}

func read(path string) (p page, err error) {
	raw, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return page{}, nil
	}
	if err != nil {
		return p, fmt.Errorf("read holds: %w", err)
	}
	d := json.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields()
	if err := d.Decode(&p); err != nil {
		return p, &Error{path, err, "it says what is under a legal hold: put it back from a copy"}
	}
	return p, nil
}

// An Error is one that a human must act on.
type Error struct {
	Path string
	Err  error
	hint string
}

func (e *Error) Error() string { return fmt.Sprintf("retention %s: %v", e.Path, e.Err) }

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Hint says what to do about it.
func (e *Error) Hint() string { return e.hint }

// put replaces the file, durably, and then the page.
func (b *Book) put(next page) error {
	raw, err := json.MarshalIndent(next, "", "  ")
	if err != nil {
		return fmt.Errorf("write holds: %w", err)
	}
	if err := b.write(append(raw, '\n')); err != nil {
		return fmt.Errorf("write holds: %w", err)
	}
	b.page = next
	return nil
}

func (b *Book) write(raw []byte) error {
	if err := b.fault("book begin"); err != nil {
		return err
	}
	f, err := os.OpenFile(b.path+".tmp", os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(raw)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err := b.fault("book written"); err != nil {
		return err
	}
	if err := os.Rename(b.path+".tmp", b.path); err != nil {
		return err
	}
	if err := b.fault("book renamed"); err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(b.path))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// Holds returns the holds, oldest first.
func (b *Book) Holds() []Hold {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.page.Holds)
}

// Add places a hold and returns it with its ID. One that is there is
// [ErrHoldExists], and returned. A new one is durable when Add returns,
// and what erases or expires afterwards heeds it.
func (b *Book) Add(h Hold, now time.Time) (Hold, error) {
	switch {
	case h.Selection.IsZero():
		return h, &OrderError{"", errors.New("add hold: say what it holds: a tenant, a subject, an operation or a time range")}
	case h.Until != 0 && h.Until <= h.Since:
		return h, &OrderError{"until", errors.New("add hold: the time range is empty")}
	case h.Reason == "":
		return h, &OrderError{"reason", errors.New("add hold: give a reason")}
	case h.Subject.named(h.Reason, h.By):
		return h, &OrderError{"reason", fmt.Errorf("add hold: %w", ErrNamed)}
	}
	h.ID, h.Placed = uuid.Must(uuid.NewV7()).String(), now.UnixMilli()
	b.mu.Lock()
	defer b.mu.Unlock()
	if i := slices.IndexFunc(b.page.Holds, func(o Hold) bool { return o.Selection.Equal(h.Selection) && o.Reason == h.Reason }); i >= 0 {
		return b.page.Holds[i], &HoldError{b.page.Holds[i].ID, ErrHoldExists}
	}
	next := b.page
	next.Holds = append(slices.Clip(next.Holds), h)
	next.Untold = append(slices.Clip(next.Untold), change(&h, true, h.Reason, h.By, now))
	return h, b.put(next)
}

// Remove takes a hold away; reason and by are those of the removal.
func (b *Book) Remove(id, reason, by string, now time.Time) (Hold, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	i := slices.IndexFunc(b.page.Holds, func(h Hold) bool { return h.ID == id })
	switch {
	case i < 0:
		return Hold{}, &HoldError{id, ErrNoHold}
	case reason == "":
		return Hold{}, &OrderError{"reason", errors.New("remove hold: give a reason")}
	case b.page.Holds[i].Subject.named(reason, by):
		return Hold{}, &OrderError{"reason", fmt.Errorf("remove hold: %w", ErrNamed)}
	}
	h := b.page.Holds[i]
	next := b.page
	next.Holds = slices.Delete(slices.Clone(next.Holds), i, i+1)
	next.Untold = append(slices.Clip(next.Untold), change(&h, false, reason, by, now))
	return h, b.put(next)
}

func change(h *Hold, added bool, reason, by string, now time.Time) Change {
	return Change{UID: uuid.Must(uuid.NewV7()).String(), Hold: h.ID, Added: added, Time: now.UnixMilli(), Reason: reason, By: by}
}

// Begin says of when the newest commit is, before anything is committed by a clock
// that may be wrong: where retention never ran, its clock begins there.
func (b *Book) Begin(newest time.Time) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.page.Clock > 0 || newest.IsZero() {
		return nil
	}
	next := b.page
	next.Clock = newest.UnixMilli()
	return b.put(next)
}

// Terms returns what may expire at now. newest is the time of the store's newest
// commit. Forced takes the clock for right; without, a leap of it is [ErrClock].
// What is granted is remembered.
func (b *Book) Terms(now, newest time.Time, forced bool) (Terms, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	last := newest
	if b.page.Clock > 0 {
		last = time.UnixMilli(b.page.Clock)
	}
	if last.IsZero() {
		last = now // there is nothing yet that could leave
	}
	if leap := now.Sub(last); leap > MaxLeap && !forced {
		return Terms{}, &Error{b.path, fmt.Errorf("%w: it says %s, %s days after %s", ErrClock, now.UTC().Format(time.RFC3339),
			fmt.Sprint(int64(leap/(24*time.Hour))), last.UTC().Format(time.RFC3339)), "nothing expires meanwhile; when the clock is right: docket expire --trust-clock"}
	}
	// An hour is exact enough, and spares the disk.
	if at := now.UnixMilli(); at-b.page.Clock > time.Hour.Milliseconds() || at < b.page.Clock && forced {
		next := b.page
		next.Clock = at
		if err := b.put(next); err != nil {
			return Terms{}, err
		}
	}
	return Terms{Policy: b.policy, Holds: slices.Clone(b.page.Holds), Now: now}, nil
}

// Untold returns the changes of holds that no event has told, and the last
// statement of which one has.
func (b *Book) Untold() (changes []Change, told uint64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.page.Untold), b.page.Told
}

// Tell says that events have told the changes and the statements up to one. The
// events are durable.
func (b *Book) Tell(changes []Change, statement uint64) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	next := b.page
	next.Told = max(next.Told, statement)
	next.Untold = slices.DeleteFunc(slices.Clone(next.Untold), func(c Change) bool {
		return slices.ContainsFunc(changes, func(d Change) bool { return c.UID == d.UID })
	})
	if len(changes) == 0 && next.Told == b.page.Told {
		return nil
	}
	return b.put(next)
}
