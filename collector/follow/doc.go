// SPDX-License-Identifier: Apache-2.0

// Package follow gives events as they come to any number of subscribers: one
// cursor over the store and the stream. It knows no protocol; doors call it.
//
//	hub, err := follow.New(follow.Config{ID: id, Store: lake, Commits: commits, JetStream: js})
//	go hub.Run(ctx)
//	for item, err := range hub.Follow(ctx, follow.Options{After: token, View: view, Filter: filter}) {
//		switch {
//		case err != nil: // the end
//		case item.Entry != nil: // an event; item.Token() resumes behind it
//		case item.Gap != nil, item.Missed != nil, item.Position != nil:
//		}
//	}
//
// # Exactly once
//
// The stream is at least once and the store exactly once, so the store is the
// arbiter. A subscriber's place is a position: a cursor of the store, up to which
// all is decided, and the sequences of events that were shown before they were
// stored. What the stream shows is put into that set, what is committed moves the
// cursor and is taken out of it again, and what is committed and not in the set
// is given then. So the stream may show events twice, in another order, or not at
// all: it makes events early, and the store makes them complete. A resume token
// is a position, and needs nothing of the hub that made it.
//
// A position is of events that were decided, not of those that were given: the
// view and the filter are applied behind it, to each event, wherever it comes
// from. The tokens of a subscriber have nothing of epochs that its view does not
// see.
//
// Two events in conflict, of one epoch and sequence, are both given, as both are
// stored. The first one on the stream is shown, the other one when it is stored.
//
// # Shape
//
// One goroutine reads the stream and judges each message as the collector does
// (package judge). One reads the commits, once for all: what was shown is settled,
// what was not is shown now. Both write to one tape, bounded in records and bytes.
// A subscriber has no goroutine and no queue: it reads the tape in the goroutine
// of its caller, at its own place, so that it can keep nothing and nobody waiting.
// One that falls too far behind counts what it would have been given, by the tape
// or, where that has gone on, by the store, and is told; see [Missed].
//
// Whoever comes reads the store first, then takes what is shown and not stored
// yet, and goes over to the tape. While NATS is away, or more is not stored than
// the hub keeps in memory, the tape has what is committed and nothing else, and
// subscribers are told.
//
// What a hub keeps is bounded: the tape, the identities that are shown and not
// stored yet, of as many epochs as [Config] says (of others, events are shown when
// they are stored), and per subscriber a position.
package follow
