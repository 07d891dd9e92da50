// SPDX-License-Identifier: Apache-2.0

package storetest

import (
	"fmt"
	"strconv"
	"testing"

	"github.com/google/uuid"

	"github.com/docket-audit/docket/collector/store"
	"github.com/docket-audit/docket/internal/profile"
	"github.com/docket-audit/docket/ocsf"
)

// Start is the time of the first event of an epoch, in ms.
const Start = int64(1793215000100)

// An Epoch makes the events of one epoch in turn, sealed as an emitter seals
// them. Its fields may be changed between events.
type Epoch struct {
	UID, Tenant, Emitter string
	Time                 int64  // of the next event, in ms; each event adds 1
	Version              string // of OCSF; 1.8.0 when empty
	Trace                string // trace.uid of API events; none when empty

	t        testing.TB
	sequence int64
	prevUID  string
	prev     string
}

// NewEpoch returns an epoch without events.
func NewEpoch(t testing.TB, tenant, emitter string) *Epoch {
	return &Epoch{UID: NewUID(), Tenant: tenant, Emitter: emitter, Time: Start, t: t}
}

// NewUID returns a new UUIDv7.
func NewUID() string { return uuid.Must(uuid.NewV7()).String() }

// Sequence returns the sequence of the last event.
func (e *Epoch) Sequence() int64 { return e.sequence }

// Fingerprint returns the fingerprint of the last event.
func (e *Epoch) Fingerprint() string { return e.prev }

// Seal makes event the next of the epoch.
func (e *Epoch) Seal(event ocsf.Event) store.Entry {
	e.t.Helper()
	b := event.Common()
	if b.Metadata.UID == "" {
		b.Metadata.UID = NewUID()
	}
	b.Metadata.TenantUID = e.Tenant
	if b.Metadata.Version == "" {
		b.Metadata.Version = e.Version
	}
	if b.Time == 0 {
		b.Time = e.Time
	}
	b.SeverityID = max(b.SeverityID, ocsf.SeverityInformational)
	if b.Metadata.Product == nil {
		b.Metadata.Product = &ocsf.Product{Name: "docket"}
	}
	e.Time++
	e.sequence++
	raw, fingerprint, err := profile.Seal(event, profile.Link{
		Emitter: e.Emitter, Epoch: e.UID, Sequence: e.sequence, PrevUID: e.prevUID, PrevFingerprint: e.prev,
	})
	if err != nil {
		e.t.Fatal(err)
	}
	e.prevUID, e.prev = b.Metadata.UID, fingerprint
	h, err := profile.Check(raw)
	if err != nil {
		e.t.Fatal(err)
	}
	return store.Entry{Raw: raw, Header: h}
}

// Fork returns a copy of e that goes on by itself: its next event is in
// conflict with the next of e.
func (e *Epoch) Fork() *Epoch {
	fork := *e
	return &fork
}

// Skip leaves n sequences out, as those of events that did not come.
func (e *Epoch) Skip(n int64) { e.sequence += n }

// Start makes a start event, which names the epochs that it closes.
func (e *Epoch) Start(closes ...store.Closed) store.Entry {
	event := lifecycle(ocsf.ApplicationLifecycleStart)
	list := []any{}
	for _, c := range closes {
		list = append(list, map[string]any{"epoch": c.Epoch, "last_sequence": c.LastSequence, "fingerprint": c.Fingerprint})
	}
	if len(list) > 0 {
		event.Unmapped = map[string]any{profile.Unmapped: map[string]any{"closes": list}}
	}
	return e.Seal(event)
}

// Stop makes a stop event: the epoch's last.
func (e *Epoch) Stop() store.Entry {
	return e.Seal(lifecycle(ocsf.ApplicationLifecycleStop))
}

func lifecycle(activity ocsf.ApplicationLifecycleActivityID) *ocsf.ApplicationLifecycle {
	return &ocsf.ApplicationLifecycle{
		ActivityID: activity,
		Base:       ocsf.Base{Metadata: ocsf.Metadata{EventCode: profile.KindLifecycle}},
		App:        &ocsf.Product{Name: "docket"},
	}
}

// API makes an event of kind about an operation, and of an evaluation of it
// unless evaluation is "".
func (e *Epoch) API(kind, operation, evaluation string) store.Entry {
	event := &ocsf.APIActivity{
		ActivityID: ocsf.APIActivityCreate,
		Base: ocsf.Base{
			ActionID: ocsf.ActionAllowed,
			Metadata: ocsf.Metadata{EventCode: kind, CorrelationUID: operation, Profiles: []string{"security_control"}},
			Actor:    &ocsf.Actor{User: &ocsf.User{UID: "user-" + strconv.FormatInt(e.sequence%7, 10)}},
			API:      &ocsf.API{Operation: "CreateSandbox", Service: &ocsf.Service{Name: "demo.v1.Sandboxes"}},
		},
		SrcEndpoint: &ocsf.NetworkEndpoint{IP: "192.0.2.7"},
	}
	if e.Trace != "" {
		event.Metadata.Profiles = append(event.Metadata.Profiles, "trace")
		event.Trace = &ocsf.Trace{UID: e.Trace}
	}
	event.Message = fmt.Sprintf("event %d", e.sequence+1)
	if evaluation != "" {
		event.API.Request = &ocsf.Request{UID: evaluation}
		event.Metadata.Tags = []ocsf.KeyValueObject{{Name: profile.TagPhase, Value: "validate"}}
	}
	return e.Seal(event)
}

// Operation makes the events of one whole operation with one evaluation.
func (e *Epoch) Operation() []store.Entry {
	operation, evaluation := NewUID(), NewUID()
	return []store.Entry{
		e.API(profile.KindEvaluation, operation, evaluation),
		e.API(profile.KindResult, operation, evaluation),
		e.API(profile.KindOutcome, operation, ""),
	}
}
