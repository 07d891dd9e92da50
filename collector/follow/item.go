// SPDX-License-Identifier: Apache-2.0

package follow

import (
	"time"

	"github.com/docket-audit/docket/collector/authz"
	"github.com/docket-audit/docket/collector/filter"
	"github.com/docket-audit/docket/collector/store"
)

// Options say what a subscriber wants. At most one of After, All, Last and Since
// may be set; with none it begins with what is not stored yet.
type Options struct {
	// After is the token of the last item of an earlier Follow, of this hub or of
	// another of the same store.
	After string
	// All begins with the oldest event that is stored.
	All bool
	// Last begins with the last events that are stored, so many of those that
	// Filter and View select.
	Last int
	// Since leaves out events that happened before, whenever they come.
	Since time.Time

	// View is whose events the subscriber may see. The zero View sees nothing.
	View authz.View
	// Filter selects further; nil selects everything. It applies to what comes
	// behind a token, also where that is of another filter.
	Filter *filter.Filter

	// Stored ends where it would begin to wait for what is not stored yet.
	Stored bool
	// Whole has a subscriber that is too slow read on from the store, in its own
	// time, in the place of being told what it missed.
	Whole bool
	// Events and Bytes are how far a subscriber may be behind the newest event, in
	// events of all tenants, until it is too slow. 0 means half of what the hub
	// keeps, and is the most.
	Events int
	Bytes  int
	// Positions is how often to give a [Position] while nothing else comes; 0
	// means 5 seconds, less than 0 never.
	Positions time.Duration
}

// An Item is one of an event, a gap, a statement of what was missed, and a
// position.
type Item struct {
	// Entry is an event. Its Commit and Stored time are zero while it is not stored
	// yet. It is shared with other subscribers: it MUST NOT be changed.
	Entry    *store.Entry
	Gap      *Gap
	Missed   *Missed
	Position *Position

	of *follower
}

// Token returns where to resume behind this item. It MUST be called before the
// next item is asked for.
func (i Item) Token() string {
	if i.of == nil {
		return ""
	}
	return i.of.token()
}

// Why there is a gap.
const (
	// GapRefused: the emitter says that it had no room for events, which got no
	// sequence. Count is how many.
	GapRefused = "refused"
	// GapMissing: the collector says that events are missing for good.
	GapMissing = "missing"
	// GapHole: sequences are not there though the epoch has gone on. They may
	// come yet, and are shown when they do.
	GapHole = "hole"
	// GapWithdrawn: an event was shown that the store did not take. It is in
	// quarantine.
	GapWithdrawn = "withdrawn"
)

// A Gap says that events are not there. It may be told more than once.
type Gap struct {
	Reason  string
	Tenant  string
	Emitter string
	Epoch   string
	Ranges  store.Intervals // sequences; nil for GapRefused. The first maxRanges of them
	Count   int64
}

// maxRanges bounds what one gap names.
const maxRanges = 100

// A Missed says that the subscriber was too slow for what came between two
// positions. Whoever wants it all resumes from From, in the place of going on.
type Missed struct {
	From, To string // tokens
	// Events is how many that it would have been given, Gaps the same of gaps.
	Events int64
	Gaps   int64
	// First and Last are the times of the oldest and the newest of these events, in
	// ms; 0 without any.
	First, Last int64
}

// A Position says where the subscriber is when nothing else does. The first one
// comes when it has caught up with what there was.
type Position struct {
	// Live says that events are shown as they come by the stream; else they are
	// shown when they are stored, and Reason says why.
	Live   bool
	Reason string
}

// Why events are shown only when they are stored.
const (
	ReasonNoStream     = "no_stream"    // there is none
	ReasonConnecting   = "connecting"   // the hub has just begun
	ReasonDisconnected = "disconnected" // NATS is away
	ReasonFailing      = "failing"      // the stream cannot be read
	ReasonBehind       = "behind"       // more is not stored than the hub can keep
)
