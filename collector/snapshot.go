// SPDX-License-Identifier: Apache-2.0

package collector

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/docket-audit/docket/collector/store"
)

// snapshotEvery is how much of the past a restart may have to read again.
const snapshotEvery = time.Minute

// snapshotName is the file of the snapshot in DataDir.
const snapshotName = "followers.json"

// A snapshot is where the followers stood after a commit. It only saves work:
// without it, or with an old one, more is read again, and what is found again is
// found to be stored.
type snapshot struct {
	Commit uint64          `json:"commit"`
	Judged []string        `json:"judged"`
	Epochs []epochSnapshot `json:"epochs"`
}

// An epochSnapshot is a follower between two events.
type epochSnapshot struct {
	Epoch   string              `json:"epoch"`
	Tenant  string              `json:"tenant"`
	Emitter string              `json:"emitter"`
	Next    int64               `json:"next"`
	Link    string              `json:"link"`
	First   int64               `json:"first"`
	Time    int64               `json:"time"`
	Passed  []int64             `json:"passed"`
	Skipped store.Intervals     `json:"skipped"`
	Told    []string            `json:"told"` // all of them stored
	Open    []operationSnapshot `json:"open"`
}

type operationSnapshot struct {
	UID         string              `json:"uid"`
	Awaits      bool                `json:"awaits"`
	Evaluations map[string]eventRef `json:"evaluations"`
	Begun       []eventRef          `json:"begun"`
	FirstSeq    int64               `json:"first_sequence"`
	Last        int64               `json:"last"`
	Finding     string              `json:"finding"`
}

// settled reports whether f stands between two events and everything it found
// is stored. Only then a snapshot of it says all; else it is read again.
func (s *followers) settled(f *follower) bool {
	return len(f.ahead) == 0 && !f.lost && !f.again && len(f.found) == 0 &&
		!slices.ContainsFunc(f.told, func(uid string) bool { return !s.findings[uid] })
}

// save writes a snapshot. A failure costs the next start some reading.
func (s *followers) save() {
	if s.c.cfg.DataDir == "" || s.commit == 0 {
		return
	}
	shot := snapshot{Commit: s.commit, Judged: slices.Sorted(maps.Keys(s.judged))}
	for _, uid := range slices.Sorted(maps.Keys(s.epochs)) {
		f := s.epochs[uid]
		if !s.settled(f) {
			continue
		}
		e := epochSnapshot{
			Epoch: uid, Tenant: f.owner.tenant, Emitter: f.owner.emitter, Next: f.next, Link: f.link, First: f.first, Time: f.time,
			Passed: slices.Sorted(maps.Keys(f.passed)), Skipped: f.skipped, Told: f.told,
		}
		for _, op := range slices.Sorted(maps.Keys(f.open)) {
			o := f.open[op]
			e.Open = append(e.Open, operationSnapshot{op, o.awaits, o.evaluations, o.begun, o.firstSeq, o.last, o.finding})
		}
		shot.Epochs = append(shot.Epochs, e)
	}
	b, err := json.Marshal(shot)
	if err == nil {
		err = replace(filepath.Join(s.c.cfg.DataDir, snapshotName), b)
	}
	if err != nil {
		s.c.log.Warn("cannot write the snapshot of what is open; the next start reads more", "error", err)
	}
}

// load takes up the snapshot, if there is one of this store.
func (s *followers) load() {
	if s.c.cfg.DataDir == "" {
		return
	}
	path := filepath.Join(s.c.cfg.DataDir, snapshotName)
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return
	}
	var shot snapshot
	if err == nil {
		err = json.Unmarshal(b, &shot)
	}
	if err == nil && !s.committed(shot.Commit) {
		err = fmt.Errorf("it is of commit %d, which the store has not", shot.Commit)
	}
	if err != nil {
		s.c.log.Warn("the snapshot of what is open is of no use; reading all of the epochs", "path", path, "error", err)
		return
	}
	s.commit = shot.Commit
	for _, uid := range shot.Judged {
		s.judged[uid] = true
	}
	for i := range shot.Epochs {
		e := &shot.Epochs[i]
		f := newFollower(e.Epoch, owner{e.Tenant, e.Emitter})
		f.next, f.highest, f.link, f.first, f.time, f.told = e.Next, e.Next-1, e.Link, e.First, e.Time, e.Told
		f.skipped = e.Skipped
		for _, n := range e.Passed {
			f.passed[n] = true
		}
		for _, uid := range e.Told {
			s.findings[uid] = true
		}
		for _, o := range e.Open {
			if o.Evaluations == nil {
				o.Evaluations = make(map[string]eventRef)
			}
			f.open[o.UID] = &operation{o.UID, o.Awaits, o.Evaluations, o.Begun, o.FirstSeq, o.Last, o.Finding}
		}
		s.epochs[e.Epoch] = f
	}
}

// committed reports whether the store has a commit of that number.
func (s *followers) committed(number uint64) bool {
	for _, err := range s.c.cfg.Store.Statements(number) {
		return err == nil
	}
	return false
}

// replace writes a file so that there is the old one or the new one, also after
// a power cut.
func replace(path string, b []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*.tmp")
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("write %s: %w", path, err), os.Remove(f.Name()))
	}
	d, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
