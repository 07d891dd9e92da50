// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/docket-audit/docket/cmd/internal/datadir"
	"github.com/docket-audit/docket/cmd/internal/recordpath"
	"github.com/docket-audit/docket/collector/lake"
	"github.com/docket-audit/docket/collector/retention"
	"github.com/docket-audit/docket/internal/stream"
)

// A streamStatus is the stream as its server tells of it.
type streamStatus struct {
	Name     string `json:"name"`
	Messages uint64 `json:"messages"`
	Bytes    uint64 `json:"bytes"`
	MaxBytes int64  `json:"max_bytes"` // -1 is without a limit
	Replicas int    `json:"replicas"`
	// Emitters are those that the stream is assigned to; empty when it is for all.
	Emitters []string `json:"emitters,omitempty"`
	// Leader is the server that leads a stream of several copies, and Behind are
	// those that have a copy and are away, or have not caught up.
	Leader string   `json:"leader,omitempty"`
	Behind []string `json:"behind,omitempty"`
	// ClockMS is how far the server's clock is ahead of ours, in milliseconds; the
	// time of an answer is part of it.
	ClockMS int64  `json:"clock_ms"`
	Error   string `json:"error,omitempty"` // what is wrong with it, or with asking
	Hint    string `json:"hint,omitempty"`
}

// streamOf asks for the stream, and whether it is as strong as declared.
func (d *daemon) streamOf(ctx context.Context) streamStatus {
	s := streamStatus{Name: d.cfg.NATS.Stream}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	fail := func(err error) streamStatus {
		s.Error, s.Hint = err.Error(), hintOf(err)
		return s
	}
	if !d.conn.IsConnected() { // who asks for the status is told at once, not when patience is over
		return fail(fmt.Errorf("ask for stream %s: %w", s.Name, nats.ErrDisconnected))
	}
	js, err := jetstream.New(d.conn)
	if err != nil {
		return fail(fmt.Errorf("open JetStream: %w", err))
	}
	found, err := js.Stream(ctx, s.Name)
	if err != nil {
		return fail(fmt.Errorf("ask for stream %s: %w", s.Name, err))
	}
	info := found.CachedInfo()
	s.Messages, s.Bytes, s.MaxBytes, s.Replicas = info.State.Msgs, info.State.Bytes, info.Config.MaxBytes, info.Config.Replicas
	if !info.TimeStamp.IsZero() {
		s.ClockMS = time.Until(info.TimeStamp).Milliseconds()
	}
	s.Emitters, _ = stream.Assigned(info.Config.Subjects)
	s.copies(info.Cluster)
	if err := stream.Check(ctx, js, stream.Name(s.Name), stream.Replicas(d.cfg.NATS.Replicas), stream.AnyEmitters()); err != nil {
		return fail(err)
	}
	return s
}

// copies takes from a cluster who leads the stream and whose copy is behind.
func (s *streamStatus) copies(c *jetstream.ClusterInfo) {
	if c == nil || s.Replicas < 2 {
		return
	}
	s.Leader = c.Leader
	for _, r := range c.Replicas {
		if r.Offline || !r.Current {
			s.Behind = append(s.Behind, r.Name)
		}
	}
}

// What doctor warns of.
const (
	clockTolerance = 5 * time.Second // two machines that are kept on time differ by milliseconds
	fullDays       = 14
)

// stream says how the stream is.
func (d *diagnosis) stream(s *streamStatus) {
	if s.Error != "" {
		d.say(stateProblem, "stream", s.Hint, "%s: %s", s.Name, s.Error)
		return
	}
	state, hint, limit := stateOK, "", "without a limit"
	if s.MaxBytes > 0 {
		limit = "of " + size(s.MaxBytes)
		if s.Bytes > uint64(s.MaxBytes)/10*9 {
			state, hint = stateWarning, "it refuses when it is full; does every store that has a consumer collect?"
		}
	}
	what := fmt.Sprintf("%s is as declared; %d messages, %s %s, %d copies", s.Name, s.Messages, size(int64(s.Bytes)), limit, s.Replicas)
	if len(s.Emitters) > 0 {
		what += ", for " + strings.Join(s.Emitters, " ")
	}
	if s.Leader != "" {
		what += ", led by " + s.Leader
	}
	if len(s.Behind) > 0 {
		state, hint = stateWarning, "touch no other server of NATS until it is back and has caught up: one more away, and events wait in the WALs; docs/operations.md"
		what += "; away or behind: " + strings.Join(s.Behind, " ")
	}
	d.say(state, "stream", hint, "%s", what)
	d.clock("the server of NATS is ahead by", time.Duration(s.ClockMS)*time.Millisecond)
}

// clock says by how much another clock differs from ours.
func (d *diagnosis) clock(whose string, ahead time.Duration) {
	state, hint := stateOK, ""
	if ahead.Abs() > clockTolerance {
		state, hint = stateWarning, "set the clocks: events are told apart by place, but times and time ranges are only as good as these"
	}
	d.say(state, "clock", hint, "%s %s", whose, ahead.Round(time.Millisecond))
}

// room says how much of it there is on disk, and for how long, and whether the
// clock has come behind what was stored.
func (d *diagnosis) room(dir string, now time.Time) {
	disk, err := datadir.DiskOf(dir)
	if err != nil {
		d.sayError(stateWarning, "disk", err)
		return
	}
	if at, err := datadir.Elsewhere(dir); err == nil && at != "" {
		d.local(disk)
		return
	}
	r, err := lake.OpenReader(filepath.Join(dir, "lake"))
	if err != nil {
		d.disk(&costReport{Disk: disk}) // what is wrong with the lake is said elsewhere
		return
	}
	defer r.Close()
	m := r.Manifest()
	if last := time.UnixMilli(m.Time); m.Number > 0 && last.Sub(now) > 0 {
		d.clock("the newest commit is ahead of this clock by", last.Sub(now))
	}
	d.left(dir, m)
	costs, err := readCosts(dir, m, now)
	if err != nil {
		d.disk(&costReport{Disk: disk})
		return
	}
	d.disk(costs)
}

// local says how much room there is for what lies in a directory without a lake: WAL,
// broker, ledger.
func (d *diagnosis) local(disk datadir.Disk) {
	state, hint := stateOK, ""
	if disk.Free < 2<<30 {
		state, hint = stateWarning, "make room: WAL, broker and ledger are in the data directory"
	}
	if disk.Free < 256<<20 {
		state = stateProblem
	}
	d.say(state, "disk", hint, "%s of %s free for WAL, broker and ledger; the events are elsewhere", size(disk.Free), size(disk.Total))
}

// left says what left the store, and what is under a hold.
func (d *diagnosis) left(dir string, m *lake.Manifest) {
	holds, err := retention.ReadHolds(filepath.Join(dir, recordpath.BookPath))
	if err != nil {
		d.sayError(stateProblem, "retention", err)
		return
	}
	if expired, erased := m.Left(); expired+erased > 0 || len(holds) > 0 {
		d.say(stateOK, "retention", "", "%d events expired, %d were erased; %d legal holds", expired, erased, len(holds))
	}
}

func (d *diagnosis) disk(r *costReport) {
	const hint = "make room, or take a larger disk: what is not stored waits on the stream and in WALs, until they are full, too"
	switch free := r.Disk.Free; {
	case free < 256<<20:
		d.say(stateProblem, "disk", hint, "%s", r.outlook())
	case free < 2<<30, r.Disk.Total > 0 && free < r.Disk.Total/20, r.DaysUntilFull != nil && *r.DaysUntilFull < fullDays:
		d.say(stateWarning, "disk", hint+"; docket stats --cost says whose events take it", "%s", r.outlook())
	default:
		d.say(stateOK, "disk", "", "%s", r.outlook())
	}
}
