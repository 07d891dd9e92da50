// SPDX-License-Identifier: Apache-2.0

package collector

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/docket-audit/docket/collector/store"
	"github.com/docket-audit/docket/internal/profile"
)

// holesName is the file in DataDir of what is asked for and what is missing.
const holesName = "holes.json"

// saveEvery is how much of it a crash may take: as much longer an emitter has to
// answer.
const saveEvery = 5 * time.Second

// A holesFile is the content of the file. What is missing follows from the
// findings that are stored, too: without the file they are read again. Since when
// an emitter has been silent is known from here alone.
type holesFile struct {
	Commit uint64       `json:"commit"` // up to which findings were looked for in the store
	Asking []askingFile `json:"asking"`
	Lost   []lossesFile `json:"lost"`
}

type askingFile struct {
	Epoch string `json:"epoch"`
	First []mark `json:"first"`
}

type lossesFile struct {
	Epoch    string          `json:"epoch"`
	Findings []*loss         `json:"findings"`
	Gone     store.Intervals `json:"gone"`
}

// saveNow writes the file if there is something to save, and at once if asked to.
func (h *holes) saveNow(atOnce bool) {
	now := h.c.cfg.Now()
	h.mu.Lock()
	behind := h.commit > h.savedCommit && (atOnce || now.Sub(h.saved) >= snapshotEvery)
	due := h.dirty && (atOnce || now.Sub(h.saved) >= saveEvery)
	if h.c.cfg.DataDir == "" || !behind && !due {
		h.mu.Unlock()
		return
	}
	h.dirty, h.saved, h.savedCommit = false, now, h.commit
	b, err := json.Marshal(h.file())
	h.mu.Unlock()
	if err == nil {
		err = replace(filepath.Join(h.c.cfg.DataDir, holesName), b)
	}
	if err != nil {
		h.c.log.Warn("cannot write what is asked for; after a restart emitters have longer to answer", "error", err)
		h.mu.Lock()
		h.dirty = true
		h.mu.Unlock()
	}
}

func (h *holes) file() holesFile {
	f := holesFile{Commit: h.commit}
	for _, uid := range slices.Sorted(maps.Keys(h.asking)) {
		if q := h.asking[uid]; len(q.first) > 0 {
			f.Asking = append(f.Asking, askingFile{uid, q.first})
		}
	}
	for _, uid := range slices.Sorted(maps.Keys(h.lost)) {
		l := h.lost[uid]
		f.Lost = append(f.Lost, lossesFile{uid, l.findings, l.gone})
	}
	return f
}

// restore takes up the file and the findings that were stored since.
func (h *holes) restore(ctx context.Context) error {
	after := store.Cursor{}
	if commit := h.load(); commit > 0 {
		after = store.Cursor{Commit: commit, Pos: math.MaxUint32}
	}
	for e, err := range h.c.cfg.Store.Scan(ctx, store.Query{Kinds: []string{profile.KindFinding}, After: after}) {
		if err != nil {
			return fmt.Errorf("read stored findings: %w", err)
		}
		h.c.epochs.storedLoss(&e)
		h.followed(e.Commit)
	}
	return nil
}

// followed notes that the findings of a commit were looked at.
func (h *holes) followed(commit uint64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.commit = max(h.commit, commit)
}

// load takes up the file, if there is one of this store, and returns the commit
// that it is of.
func (h *holes) load() uint64 {
	if h.c.cfg.DataDir == "" {
		return 0
	}
	path := filepath.Join(h.c.cfg.DataDir, holesName)
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return 0
	}
	var f holesFile
	if err == nil {
		err = json.Unmarshal(b, &f)
	}
	if err == nil && f.Commit > 0 && !h.c.epochs.committed(f.Commit) {
		err = fmt.Errorf("it is of commit %d, which the store has not", f.Commit)
	}
	if err != nil {
		h.c.log.Warn("what was asked for is not known; emitters have a day to answer again", "path", path, "error", err)
		return 0
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.commit, h.savedCommit = f.Commit, f.Commit
	for _, a := range f.Asking {
		e := h.c.cfg.Store.Epoch(a.Epoch)
		h.touchLocked(a.Epoch, e)
		if q := h.asking[a.Epoch]; q != nil && len(a.First) > 0 {
			q.first = a.First
			q.ripe = min(a.First[len(a.First)-1].UpTo, sequenced(e))
		}
	}
	for _, l := range f.Lost {
		lost := &losses{gone: l.Gone}
		for _, x := range l.Findings {
			if x != nil && len(x.Ranges) > 0 {
				lost.findings, lost.told = append(lost.findings, x), append(lost.told, x.Ranges...)
			}
		}
		lost.told = store.Union(lost.told, nil)
		h.lost[l.Epoch], h.changed[l.Epoch] = lost, true
		if e := h.c.cfg.Store.Epoch(l.Epoch); e != nil {
			h.touchLocked(l.Epoch, e)
		}
	}
	return f.Commit
}
