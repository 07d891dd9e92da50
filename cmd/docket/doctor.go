// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/docket-audit/docket/cmd/internal/cli"
	"github.com/docket-audit/docket/cmd/internal/datadir"
	"github.com/docket-audit/docket/cmd/internal/ops"
	"github.com/docket-audit/docket/cmd/internal/reading"
	"github.com/docket-audit/docket/collector"
	"github.com/docket-audit/docket/collector/lake"
	"github.com/docket-audit/docket/collector/sql"
	"github.com/docket-audit/docket/collector/store"
)

// A check is one thing that doctor looked at.
type check struct {
	State string `json:"state"` // ok, warning, problem
	About string `json:"about"`
	What  string `json:"what"`
	Hint  string `json:"hint,omitempty"`
}

const (
	stateOK      = "ok"
	stateWarning = "warning"
	stateProblem = "problem"
)

// A diagnosis is all of them.
type diagnosis struct {
	Checks []check `json:"checks"`
	// Conservation adds up all epochs: sequenced = stored + quarantined +
	// missing + in flight.
	Conservation conservation `json:"conservation"`
}

type conservation struct {
	Epochs      int   `json:"epochs"`
	Sequenced   int64 `json:"sequenced"`
	Stored      int64 `json:"stored"`
	Quarantined int64 `json:"quarantined"`
	Missing     int64 `json:"missing"`
	InFlight    int64 `json:"in_flight"`
	Conflicts   int64 `json:"conflicts"`
}

func doctorCommand(s *settings) *cobra.Command {
	var format string
	c := &cobra.Command{
		Use:   "doctor",
		Short: "Say what is up, what is not, and whether the numbers add up",
		Long: `Say what is up and what is not: the owner of the data directory and its listeners,
emitter, stream and collector, the store, the disk, the clocks, the keys; and whether every event that
got a sequence number is accounted for. Nothing is changed. Of the directory of a
docket-gateway it says what there is to see: its emitter, its WAL, its NATS.

The exit code is 3 when there is a problem; warnings do not change it.`,
		Example: "  docket doctor\n  docket doctor -o json",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			d := &diagnosis{Checks: []check{}}
			if err := d.look(c.Context(), s.data); err != nil {
				return err
			}
			if err := d.print(c, format); err != nil {
				return err
			}
			if slices.ContainsFunc(d.Checks, func(k check) bool { return k.State == stateProblem }) {
				return cli.Code(cli.ExitFound)
			}
			return nil
		},
	}
	cli.OutputFlag(c.Flags(), &format)
	return c
}

func (d *diagnosis) say(state, about, hint, format string, args ...any) {
	d.Checks = append(d.Checks, check{State: state, About: about, What: fmt.Sprintf(format, args...), Hint: hint})
}

// sayError says err, with its own hint if it has one.
func (d *diagnosis) sayError(state, about string, err error) {
	var h interface{ Hint() string }
	hint := ""
	if errors.As(err, &h) {
		hint = h.Hint()
	}
	d.say(state, about, hint, "%v", err)
}

func (d *diagnosis) look(ctx context.Context, dir string) error {
	if err := datadir.Check(dir); err != nil {
		return err
	}
	d.say(stateOK, "data directory", "", "%s, format %d", dir, datadir.Format)
	if isGateway(dir) {
		d.gateway(ctx, dir)
		return nil
	}
	d.sql(ctx, dir)
	run, err := datadir.Owner(dir)
	switch {
	case errors.Is(err, datadir.ErrNotOwned):
		d.offline(ctx, dir)
		return nil
	case err != nil:
		d.sayError(stateProblem, "owner", err)
		return nil
	}
	return d.live(ctx, dir, run)
}

// sql says whether the engine for SQL works that a lake is asked by.
func (d *diagnosis) sql(ctx context.Context, dir string) {
	if at, err := datadir.Elsewhere(dir); err != nil || at != "" {
		return // the server answers
	}
	db, err := sql.Open(ctx, sql.Scope{Dir: filepath.Join(dir, "lake")})
	if err == nil {
		err = db.Close()
	}
	if err != nil {
		d.sayError(stateWarning, "sql", err)
	}
}

// owner says who has the directory, where it listens, and whether it is ready.
func (d *diagnosis) owner(ctx context.Context, run *datadir.Run) *ops.State {
	d.say(stateOK, "owner", "", "%s %s, pid %d, since %s", run.Command, run.Version, run.PID, run.Started.Local().Format(time.DateTime))
	for _, name := range slices.Sorted(maps.Keys(run.Addresses)) {
		d.say(stateOK, name, "", "%s", run.Addresses[name])
	}
	if url := run.Addresses["ops"]; url != "" {
		return d.ready(ctx, url+"/readyz")
	}
	return nil
}

// live asks the owner.
func (d *diagnosis) live(ctx context.Context, dir string, run datadir.Run) error {
	d.owner(ctx, &run)
	client, err := reading.Open(ctx, dir)
	if err != nil {
		d.sayError(stateProblem, "socket", err)
		return nil
	}
	defer client.Close()
	b, err := client.Status(ctx)
	if err != nil {
		d.sayError(stateProblem, "socket", err)
		return nil
	}
	var r report
	if err := json.Unmarshal(b, &r); err != nil {
		return fmt.Errorf("read status: %w", err)
	}
	d.interceptors(r.Interceptors)
	d.emitter(&r)
	c := r.Collector
	switch {
	case c.Error != "":
		d.say(stateProblem, "collector", "", "%s", c.Error)
	case c.Connected && c.Lease != nil && c.Lease.State == collector.LeaseStandby:
		d.say(stateOK, "collector", "", "stands by: %s fills its store under fence %d", or(c.Lease.Holder, "nobody yet"), c.Lease.Fence)
	case !c.Connected:
		d.say(stateProblem, "collector", "is NATS up at "+run.Addresses["nats"]+"?", "not connected to NATS")
	default:
		d.say(stateOK, "collector", "", "%d messages on the stream wait", c.Pending)
	}
	if c.Retention != "" {
		d.say(stateWarning, "retention", "when the clock is right: docket expire --trust-clock; else it is tried again", "nothing expires: %s", c.Retention)
	}
	if c.Compaction != "" {
		d.say(stateWarning, "compaction", "events are stored all the same; it is tried again", "%s", c.Compaction)
	}
	if l := c.Lease; l != nil && l.State == collector.LeaseActive {
		state := stateOK
		if l.Error != "" {
			state = stateWarning
		}
		d.say(state, "lease", "", "active as %s under fence %d, since %s%s", l.Holder, l.Fence, time.UnixMilli(l.Since).Format(time.DateTime), strings.TrimSuffix("; "+l.Error, "; "))
	}
	if at := r.Store.ClickHouse; at != "" {
		d.say(stateOK, "store", "", "%d events were stored in ClickHouse at %s, commit %d; what they take there, and how much room is left, docket does not know", r.Store.Events, at, r.Store.Commit)
		for _, t := range r.Store.Troubles {
			d.say(stateWarning, "store", t.Hint, "%s", t.What)
		}
	} else {
		d.say(stateOK, "store", "", "%d events in %d files, commit %d", r.Store.Events, r.Store.Files, r.Store.Commit)
	}
	if r.Stream.Name != "" { // an owner of another version does not tell
		d.stream(&r.Stream)
	}
	d.room(dir, time.Now())
	d.conserve(withEmitted(c.Epochs, r.Emitter.Name, r.Emitter.Epochs))
	d.emitterKeys(ctx, client)
	if r.KeysTogether {
		d.keysTogether()
	}
	return nil
}

func (d *diagnosis) emitter(r *report) {
	e := r.Emitter
	for _, about := range slices.Sorted(maps.Keys(e.Troubles)) {
		d.say(stateProblem, "emitter", "", "%s: %s", about, e.Troubles[about])
	}
	// Offered and sequenced are read one after the other, while more comes: the
	// difference is what is on its way between them, never less than nothing.
	onItsWay := e.Offered - e.Sequenced - e.Refused
	state := stateOK
	if onItsWay < 0 || e.Refused > e.Declared {
		state = stateWarning
	}
	d.say(state, "emitter", "", "%d events offered, %d sequenced, %d refused of which %d are stated in gap findings; %d bytes of WAL, %d not yet on the stream",
		e.Offered, e.Sequenced, e.Refused, e.Declared, e.WALBytes, e.Behind)
}

// offline judges the directory by itself.
func (d *diagnosis) offline(ctx context.Context, dir string) {
	d.say(stateOK, "owner", "", "none; the directory is read as it lies")
	if datadir.Crashed(dir) {
		d.say(stateWarning, "owner", "the next start stores what is still in the WAL", "the last one did not stop cleanly")
	}
	if at, err := datadir.Elsewhere(dir); err == nil && at != "" {
		d.say(stateOK, "store", "start `docket up` on it to ask for more", "the events are in ClickHouse at %s", at)
		d.room(dir, time.Now())
		d.keyFiles(dir)
		return
	}
	_, kept := os.Stat(filepath.Join(dir, "ledger", "checkpoint"))
	if _, err := os.Stat(filepath.Join(dir, "lake")); errors.Is(err, os.ErrNotExist) && errors.Is(kept, os.ErrNotExist) {
		d.say(stateWarning, "store", "start `docket up` on it; its own error says what was in the way", "nothing was ever stored: no start came that far")
		d.keyFiles(dir)
		return
	}
	r, err := lake.OpenReader(filepath.Join(dir, "lake"))
	if err != nil {
		d.sayError(stateProblem, "store", err)
		return
	}
	defer r.Close()
	if err := r.Damaged(); err != nil {
		d.say(stateProblem, "store", "run `docket verify`", "%v", err)
	}
	m := r.Manifest()
	d.say(stateOK, "store", "", "%d events in %d files, commit %d", m.Rows(), len(m.Files), m.Number)
	d.room(dir, time.Now())
	missing, err := collector.Missing(ctx, r)
	if err != nil {
		d.sayError(stateProblem, "store", err)
	}
	var epochs []collector.EpochStatus
	for _, uid := range slices.Sorted(maps.Keys(m.Epochs)) {
		e := m.Epochs[uid]
		epochs = append(epochs, collector.Account(uid, &store.Epoch{
			Tenant: e.Tenant, Emitter: e.Emitter, Stored: e.Stored, Quarantined: e.Quarantined, Conflicts: e.Conflicts,
			HeadSequence: e.HeadSequence, HeadFingerprint: e.HeadFingerprint, Closed: e.Closed,
		}, missing[uid]))
	}
	d.conserve(epochs)
	if client, err := reading.Open(ctx, dir); err != nil {
		d.sayError(stateProblem, "store", err)
	} else {
		d.emitterKeys(ctx, client)
		client.Close()
	}
	d.keyFiles(dir)
}

// keyFiles says whether both keys are in the directory.
func (d *diagnosis) keyFiles(dir string) {
	_, emitterErr := os.Stat(filepath.Join(dir, "keys", "emitter.key"))
	_, ledgerErr := os.Stat(filepath.Join(dir, "keys", "ledger.key"))
	if emitterErr == nil && ledgerErr == nil {
		d.keysTogether()
	}
}

func (d *diagnosis) keysTogether() {
	d.say(stateWarning, "keys", "[ledger] key puts it elsewhere", "the keys of emitter and ledger lie in one directory: who reads it can forge the history")
}

// withEmitted corrects the accounts by what the emitter beside the store says
// of its own epochs: a store that has stopped storing knows nothing of what it
// does not have.
func withEmitted(epochs []collector.EpochStatus, emitter string, emitted map[string]int64) []collector.EpochStatus {
	rest := maps.Clone(emitted)
	for i := range epochs {
		e := &epochs[i]
		if beyond := rest[e.Epoch] - e.Sequenced; beyond > 0 {
			e.Sequenced += beyond
			e.InFlight += beyond
		}
		delete(rest, e.Epoch)
	}
	for _, uid := range slices.Sorted(maps.Keys(rest)) {
		epochs = append(epochs, collector.EpochStatus{Epoch: uid, Emitter: emitter, Sequenced: rest[uid], InFlight: rest[uid]})
	}
	return epochs
}

// conserve adds the accounts up and says what does not.
func (d *diagnosis) conserve(epochs []collector.EpochStatus) {
	t := &d.Conservation
	for i := range epochs {
		e := &epochs[i]
		t.Epochs++
		t.Sequenced += e.Sequenced
		t.Stored += e.Stored
		t.Quarantined += e.Quarantined
		t.Missing += e.Missing
		t.InFlight += e.InFlight
		t.Conflicts += e.Conflicts
		if e.Missing > 0 {
			d.say(stateProblem, "epoch", "a finding of type missing names them and what the emitter said; if they come after all, it is closed", "%s of %s: %d of %d events are missing", e.Epoch, e.Emitter, e.Missing, e.Sequenced)
		}
		if a := e.Asking; a != nil && e.InFlight > 0 {
			d.say(stateWarning, "epoch", "its emitter has a day to send them; is it up, and may it listen to its questions?",
				"%s of %s: %d of %d events are not here; it has been asked since %s, and answered: %s", e.Epoch, e.Emitter, e.InFlight, e.Sequenced,
				a.Since.Local().Format(time.DateTime), strings.TrimSuffix(or(a.Answer, "nothing")+": "+a.Why, ": "))
		}
		if e.Conflicts > 0 {
			d.say(stateProblem, "epoch", "`docket verify` names them", "%s of %s: %d events claim a place that another has", e.Epoch, e.Emitter, e.Conflicts)
		}
	}
	if t.Quarantined > 0 {
		d.say(stateWarning, "quarantine", "`docket quarantine ls` lists them with the reason", "%d sequences are claimed by messages that are no events of their epochs, and by nothing else", t.Quarantined)
	}
	state := stateOK
	if t.Missing > 0 || t.Sequenced != t.Stored+t.Quarantined+t.Missing+t.InFlight {
		state = stateProblem
	}
	d.say(state, "conservation", "", "%d sequenced = %d stored + %d quarantined + %d missing + %d in flight, in %d epochs",
		t.Sequenced, t.Stored, t.Quarantined, t.Missing, t.InFlight, t.Epochs)
}

func (d *diagnosis) print(c *cobra.Command, format string) error {
	if format == cli.JSON {
		return cli.PrintJSON(c.OutOrStdout(), d)
	}
	p, err := cli.NewPrinter(c.OutOrStdout(), format, []string{"state", "about", "what", "hint"}, false)
	if err != nil {
		return err
	}
	for _, k := range d.Checks {
		b, err := json.Marshal(k)
		if err != nil {
			return err
		}
		row := cli.Row{Cells: []string{k.State, k.About, k.What, k.Hint}, JSON: b, Short: k.State + ": " + k.About + ": " + k.What}
		if err := p.Row(row); err != nil {
			return err
		}
	}
	return p.Close()
}
