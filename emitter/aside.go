// SPDX-License-Identifier: Apache-2.0

package emitter

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
)

// aside is where events wait that are durable and larger than what the server
// takes: its max_payload was lowered, or was not known when they were sealed.
// Their bytes cannot change any more, and what follows them shall not wait. Each
// is a file of its own, synced before anything behind it is published, and is
// sent when a server takes it. Until then its sequence is a hole on the stream,
// which no watermark passes, and the emitter says so.
type aside struct {
	dir string

	mu      sync.Mutex
	waiting map[place]int // what is set aside, with its length; guarded by mu
	changed broadcast
}

// asideDir is where the files are, beside those of the WAL.
const (
	asideDir    = "aside"
	asideSuffix = ".record"
)

// An oversizeError says that events wait for a server that takes them.
type oversizeError struct {
	events, bytes int
	takes         int64
}

func (e *oversizeError) Error() string {
	return fmt.Sprintf("%d events are larger than the server's max_payload of %d bytes, the largest of %d; they wait in the directory %s, the others go on", e.events, e.takes, e.bytes, asideDir)
}

// Hint tells what to do about it.
func (e *oversizeError) Hint() string {
	return fmt.Sprintf("set max_payload of the NATS server to at least %d and restart it: they are sent then", e.bytes+messageHeadroom)
}

// openAside finds what an earlier start set aside. What cannot be read is damage, as it
// is in a WAL file: it is told, and stops nothing.
func (e *Emitter) openAside() error {
	a := &e.aside
	a.dir = filepath.Join(e.cfg.Dir, asideDir)
	a.waiting = map[place]int{}
	names, err := a.files()
	if err != nil {
		return err
	}
	for _, name := range names {
		if r, ok := e.readAside(name); ok {
			a.waiting[place{r.epoch, r.sequence}] = len(r.raw)
		}
	}
	return nil
}

// files returns the names of the files, in their order.
func (a *aside) files() (names []string, err error) {
	entries, err := os.ReadDir(a.dir)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	for _, entry := range entries {
		if strings.HasSuffix(entry.Name(), asideSuffix) {
			names = append(names, entry.Name())
		}
	}
	return names, nil
}

// readAside reads a file, or tells that it is damaged. That stays where it is, and
// is told in each start: its event is nowhere else.
func (e *Emitter) readAside(name string) (record, bool) {
	d := damage{file: filepath.Join(asideDir, name), reason: "event set aside is unreadable"}
	b, err := readFile(filepath.Join(e.aside.dir, name))
	if err != nil {
		d.reason += ": " + err.Error()
	} else {
		r, n, err := decodeRecord(b)
		if err == nil && n == len(b) {
			return r, true
		}
		d.to = int64(len(b))
	}
	e.damaged(d)
	e.aside.lose(name)
	return record{}, false
}

func (a *aside) path(at place) string {
	return filepath.Join(a.dir, fmt.Sprintf("%s-%d%s", at.epoch, at.sequence, asideSuffix))
}

// has reports whether the event at a place is set aside.
func (a *aside) has(at place) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	_, ok := a.waiting[at]
	return ok
}

// count returns how many there are, and the length of the longest.
func (a *aside) count() (events, longest int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, n := range a.waiting {
		longest = max(longest, n)
	}
	return len(a.waiting), longest
}

// put sets r aside, durably.
func (a *aside) put(fs FS, r *record) error {
	at := place{r.epoch, r.sequence}
	if a.has(at) {
		return nil
	}
	if err := makeDir(fs, a.dir); err != nil {
		return err
	}
	path := a.path(at)
	_ = fs.Remove(path) // of an attempt that failed after its rename
	f, err := writeFile(fs, path, r.append(nil))
	if err == nil {
		err = f.Close()
	}
	if err != nil {
		return fmt.Errorf("set event %s aside: %w", r.uid, err)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.waiting[at] = len(r.raw)
	return nil
}

// lose forgets a file that cannot be read any more.
func (a *aside) lose(name string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for at := range a.waiting {
		if filepath.Base(a.path(at)) == name {
			delete(a.waiting, at)
		}
	}
}

// sent forgets what is on the stream now.
func (a *aside) sent(fs FS, at place) error {
	if err := fs.Remove(a.path(at)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	a.mu.Lock()
	delete(a.waiting, at)
	a.mu.Unlock()
	a.changed.notify()
	return nil
}

// fit takes those off records that the server does not take, and sets them aside.
func (p *publisher) fit(records []record) ([]record, error) {
	takes := p.nc.MaxPayload()
	tooLong := func(r record) bool { return int64(len(r.raw))+messageHeadroom > takes }
	if takes <= 0 || !slices.ContainsFunc(records, tooLong) {
		return records, nil
	}
	for i := range records {
		if tooLong(records[i]) {
			if err := p.e.aside.put(p.e.cfg.FS, &records[i]); err != nil {
				return nil, err
			}
		}
	}
	p.tellAside()
	return slices.DeleteFunc(records, tooLong), nil
}

// tellAside says what is set aside now.
func (p *publisher) tellAside() {
	events, longest := p.e.aside.count()
	if events == 0 {
		p.e.trouble(troubleAside, nil)
		return
	}
	p.e.trouble(troubleAside, &oversizeError{events, longest, p.nc.MaxPayload()})
}

// sendAside publishes what was set aside and the server takes now, each as a
// batch of one.
func (p *publisher) sendAside(ctx context.Context) error {
	if events, _ := p.e.aside.count(); events == 0 {
		return nil
	}
	defer p.tellAside()
	names, err := p.e.aside.files()
	if err != nil {
		return err
	}
	for _, name := range names {
		r, ok := p.e.readAside(name)
		if !ok {
			continue
		}
		if int64(len(r.raw))+messageHeadroom > p.nc.MaxPayload() {
			continue
		}
		p.e.marks.sending([]record{r})
		b := p.out.begin([]record{r}, position{})
		if err := p.out.commit(b); err != nil {
			p.out.abandon(b)
			return err
		}
		if err := p.out.settle(ctx, b, p.lostSoon()); err != nil {
			return err
		}
		p.e.count.streamed.Add(1)
		p.e.count.streamedBytes.Add(int64(len(r.raw)))
		if err := p.e.aside.sent(p.e.cfg.FS, place{r.epoch, r.sequence}); err != nil {
			return err
		}
	}
	return nil
}
