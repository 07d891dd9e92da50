// SPDX-License-Identifier: Apache-2.0

// Package collector moves events from the stream into a store, exactly once,
// and notices what is not as it should be.
//
//	c, err := collector.New(collector.Config{JetStream: js, Store: lake, Ledger: ledger})
//	err = c.Run(ctx) // until ctx ends
//
// The stream is at least once; the store is exactly once, because it commits
// the set of sequences it holds together with the events. A collector can be
// killed between any two steps; what was not acknowledged comes again and is
// taken for what it is, a duplicate. See flush for the steps and why they come
// in that order.
//
// # What is let in
//
// A message is an event if its bytes are what was sealed, its subject and its
// headers are the event's own, and its epoch is its emitter's and tenant's. NATS
// binds the last token of the subject to the sender's credential, so no emitter
// can speak for another. Everything else goes to quarantine with the reason, and
// the collector goes on. A quarantined message accounts for the sequence that it
// claims only if it came by its emitter's subject.
//
// # What is found
//
// A follower goes through each epoch in the order of sequences. It finds hash
// chains that break, two events of one sequence, and dangling intents: an
// evaluation without result or failure, an operation without outcome. Those are
// judged by the epoch's own progress, never by wall clock and never behind a
// hole: when the epoch is over (its stop event, or the start event that follows
// a crash), or when its events went on without the operation for a quarter of
// an hour of their own time. A late answer takes the finding back.
//
// Findings are events: they go to the emitter, and come back by the stream.
// Their uids follow from what was found, so that a crash does not tell it twice.
// What the followers know is made of what is stored; a snapshot of it spares a
// restart to read all of it again.
//
// # What it is not
//
// One collector per store and stream runs at a time; the lock of the store's
// directory sees to that. There is no lease yet by which a second one on
// another machine would stand by. A hole is shown, not asked for: emitters send
// what was not acknowledged by themselves.
package collector
