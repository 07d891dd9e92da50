// SPDX-License-Identifier: Apache-2.0

package collector

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/docket-audit/docket/internal/profile"
	"github.com/docket-audit/docket/ocsf"
)

// streamName is the file in DataDir that says which stream the store is filled
// from.
const streamName = "stream.json"

// A seenStream is what is known of the stream from earlier sessions. A stream of
// the same name may be another one: its sequences count from 1 again, and what
// the store says of the old one's is of no use.
type seenStream struct {
	Created time.Time `json:"created"`
	// Began is the number of the last commit before the stream was seen first, or
	// seen to be shorter than it was: its sequences are in later commits only.
	Began uint64 `json:"began"`
	// Removed is up to where it was told that messages are gone.
	Removed uint64 `json:"removed"`
}

// What an event about the stream says has changed.
const (
	changeMadeAnew = "made_anew" // another stream has the name
	changeShorter  = "shorter"   // it ends before what was read of it
	changeRemoved  = "removed"   // messages went before they were read
)

// A streamChange is what happened to the stream that nobody of Docket did.
type streamChange struct {
	change      string
	first, last uint64 // the stream sequences that it is about
}

// begin returns behind which stream sequence to read, and what has changed since
// the stream was seen last.
func (c *Collector) begin(info *jetstream.StreamInfo) (begin uint64, changes []streamChange, err error) {
	seen := c.loadSeen()
	begin = c.cfg.Store.StreamSeq()
	commit, err := c.lastCommit()
	if err != nil {
		return 0, nil, err
	}
	state := &info.State
	now := seenStream{Created: info.Created, Began: seen.Began, Removed: seen.Removed}
	known := !seen.Created.IsZero()
	if known && seen.Created.Equal(info.Created) && seen.Began > 0 && commit <= seen.Began {
		begin = 0 // nothing of this one is stored yet: it was read, and all of it was known
	}
	switch {
	case known && !seen.Created.Equal(info.Created):
		changes = append(changes, streamChange{changeMadeAnew, state.FirstSeq, state.LastSeq})
		begin, now.Began, now.Removed = 0, commit, 0
	case state.LastSeq < begin:
		changes = append(changes, streamChange{changeShorter, state.LastSeq + 1, begin})
		begin, now.Began, now.Removed = 0, commit, 0
	}
	// A store that has nothing yet joins a stream that others have read.
	if first := state.FirstSeq; begin > 0 && first > begin+1 && first-1 > now.Removed {
		changes = append(changes, streamChange{changeRemoved, begin + 1, first - 1})
		now.Removed = first - 1
	}
	if now != seen {
		c.saveSeen(now)
	}
	return begin, changes, nil
}

// lastCommit returns the number of the store's last commit.
func (c *Collector) lastCommit() (uint64, error) {
	number := c.epochs.commit
	for _, err := range c.cfg.Store.Statements(number + 1) {
		if err != nil {
			return 0, fmt.Errorf("count commits: %w", err)
		}
		number++
	}
	return number, nil
}

// tellStream tells what happened to the stream: what was on it may be lost. If
// it was an event, a hole says so too, and the emitter is asked for it.
func (c *Collector) tellStream(ctx context.Context, changes []streamChange) {
	for _, x := range changes {
		message := map[string]string{
			changeMadeAnew: "the stream was deleted and made anew: all of it is read again, up to stream sequence %[2]d",
			changeShorter:  "the stream lost its end, stream sequences %[1]d to %[2]d: all of it is read again",
			changeRemoved:  "messages were removed from the stream before they were stored, between stream sequences %[1]d and %[2]d",
		}[x.change]
		message = fmt.Sprintf(message, x.first, x.last)
		c.log.Warn("the stream is not what it was", "change", x.change, "first", x.first, "last", x.last)
		if c.cfg.Findings == nil {
			continue
		}
		c.cfg.Findings(ctx, &ocsf.ApplicationLifecycle{
			ActivityID: ocsf.ApplicationLifecycleOther, StatusID: ocsf.StatusFailure,
			Base: ocsf.Base{
				ActivityName: "Stream", Time: c.cfg.Now().UnixMilli(), SeverityID: ocsf.SeverityHigh, Message: message,
				Metadata: ocsf.Metadata{UID: c.cfg.NewUID(), EventCode: profile.KindLifecycle, TenantUID: profile.TenantDocket},
				Unmapped: map[string]any{profile.Unmapped: map[string]any{
					"lifecycle": "stream", "change": x.change, "first": x.first, "last": x.last,
				}},
			},
		})
	}
}

func (c *Collector) loadSeen() (seen seenStream) {
	if c.cfg.DataDir == "" {
		return c.seen
	}
	path := filepath.Join(c.cfg.DataDir, streamName)
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return seenStream{}
	}
	if err == nil {
		err = json.Unmarshal(b, &seen)
	}
	if err != nil {
		c.log.Warn("which stream the store is filled from is not known; it is taken for the one that is there", "path", path, "error", err)
		return seenStream{}
	}
	return seen
}

func (c *Collector) saveSeen(seen seenStream) {
	c.seen = seen
	if c.cfg.DataDir == "" {
		return
	}
	b, err := json.Marshal(seen)
	if err == nil {
		err = replace(filepath.Join(c.cfg.DataDir, streamName), b)
	}
	if err != nil {
		c.log.Warn("cannot write which stream the store is filled from; what changed may be told again", "error", err)
	}
}
