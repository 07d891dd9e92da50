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
// hole that may still be filled: when the epoch is over (its stop event, or the start event that follows
// a crash), or when its events went on without the operation for a quarter of
// an hour of their own time. A late answer takes the finding back.
//
// A hole, sequences of an epoch that are not stored although later ones are, is
// asked for after 5 s: its emitter sends it again from the WAL, or says that it is
// gone. What is gone is missing, and so is what did not come within a day of the
// first question. That is a finding, with epoch, ranges and answer; a late arrival
// takes it back. The watermark goes over what is gone, and not over what is missing
// for another reason: the emitter may have it. See holes.
//
// Findings are events: they go to the emitter, and come back by the stream.
// Their uids follow from what was found, so that a crash does not tell it twice.
// What the followers know is made of what is stored; a snapshot of it spares a
// restart to read all of it again.
//
// # Compaction
//
// A store that is a [store.Compactor] is asked every few seconds whether
// something is due. That goes on beside the flushes, which wait for the one
// statement in which it ends; it never keeps an event from being stored.
//
// # What it is not
//
// It does not share the work. Of several collectors of one store on one stream,
// one fills it and the others stand by, which a [Lease] decides; more throughput
// takes more streams. Where the store is a directory, its lock keeps two writers
// apart as well, so that a standby that shares the disk opens it under the lease
// only. One with a disk of its own goes on from where its own store has come to: it
// has everything while the stream keeps what it lacks, for [Config].Keep, and asks
// emitters for the rest.
package collector
