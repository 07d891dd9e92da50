// SPDX-License-Identifier: Apache-2.0

package follow

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"
	"time"

	"github.com/docket-audit/docket/collector/store"
	"github.com/docket-audit/docket/internal/profile"
)

// stated returns the gap that an event states, if it is one that does: an
// emitter's about what it refused, or a collector's about what is missing.
func stated(e *store.Entry) (Gap, bool) {
	if e.Header.Kind != profile.KindFinding || !bytes.Contains(e.Raw, []byte(`"finding":"gap"`)) && !bytes.Contains(e.Raw, []byte(`"finding":"missing"`)) {
		return Gap{}, false
	}
	var f struct {
		StatusID int32 `json:"status_id"`
		Unmapped struct {
			Docket struct {
				Finding string `json:"finding"`
				Count   int64  `json:"count"`
			} `json:"docket"`
		} `json:"unmapped"`
		Evidences []struct {
			Data struct {
				Epoch   string          `json:"epoch"`
				Emitter string          `json:"emitter"`
				Ranges  store.Intervals `json:"ranges"`
				Count   int64           `json:"count"`
			} `json:"data"`
		} `json:"evidences"`
	}
	if json.Unmarshal(e.Raw, &f) != nil {
		return Gap{}, false
	}
	g := Gap{Tenant: e.Header.Tenant, Emitter: e.Header.Emitter, Epoch: e.Header.Epoch}
	switch said := &f.Unmapped.Docket; {
	case said.Finding == "gap" && said.Count > 0:
		g.Reason, g.Count = GapRefused, said.Count
		return g, true
	case said.Finding == "missing" && f.StatusID == statusNew && len(f.Evidences) == 1:
		d := &f.Evidences[0].Data
		g.Reason, g.Count, g.Emitter, g.Epoch = GapMissing, d.Count, d.Emitter, d.Epoch
		g.Ranges = d.Ranges[:min(len(d.Ranges), maxRanges)]
		return g, true
	}
	return Gap{}, false
}

// statusNew is the status_id of a finding that is not taken back.
const statusNew = 1

// holes knows which sequences are missing in epochs that have had events since
// the hub began.
type holes struct {
	hub    *Hub
	epochs map[string]*hole
}

// A hole is what is missing of one epoch.
type hole struct {
	since time.Time       // when fresh was seen first
	fresh store.Intervals // not told yet
	told  store.Intervals
}

// maxHoles bounds of how many epochs holes are known.
const maxHoles = 4096

// look looks at the epochs of a commit.
func (s *holes) look(touched map[string]bool) {
	if s.hub.knower == nil {
		return
	}
	now := s.hub.cfg.Now()
	for uid := range touched {
		_, missing := s.missing(uid)
		if len(missing) == 0 {
			delete(s.epochs, uid)
			continue
		}
		x := s.epochs[uid]
		if x == nil {
			if len(s.epochs) >= maxHoles {
				continue
			}
			if s.epochs == nil {
				s.epochs = make(map[string]*hole)
			}
			x = new(hole)
			s.epochs[uid] = x
		}
		x.told = x.told.Within(missing)
		if len(x.fresh) == 0 {
			x.since = now
		}
		x.fresh = missing.Without(x.told)
	}
}

// missing returns what an epoch lacks, up to its highest stored sequence.
func (s *holes) missing(uid string) (*store.Epoch, store.Intervals) {
	e := s.hub.knower.Epoch(uid)
	if e == nil {
		return nil, nil
	}
	return e, e.Accounted().Holes(e.HeadSequence)
}

// tell tells what has been missing for long enough.
func (s *holes) tell() error {
	now := s.hub.cfg.Now()
	for _, uid := range slices.Sorted(maps.Keys(s.epochs)) {
		x := s.epochs[uid]
		if len(x.fresh) == 0 || now.Sub(x.since) < s.hub.cfg.HoleAfter {
			continue
		}
		e, missing := s.missing(uid)
		fresh := x.fresh.Within(missing)
		x.fresh = nil
		if len(fresh) == 0 {
			continue
		}
		x.told = store.Union(x.told, fresh)
		s.hub.mu.Lock()
		s.hub.add(&record{sort: sortGap, gap: holeGap(e, uid, fresh)})
		s.hub.mu.Unlock()
	}
	return nil
}

func holeGap(e *store.Epoch, uid string, missing store.Intervals) Gap {
	return Gap{
		Reason: GapHole, Tenant: e.Tenant, Emitter: e.Emitter, Epoch: uid,
		Ranges: missing[:min(len(missing), maxRanges)], Count: missing.Count(),
	}
}
