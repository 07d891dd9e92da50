// SPDX-License-Identifier: Apache-2.0

// Package emitter makes events durable and sends them to the stream.
//
//	em, err := emitter.New(emitter.Config{Dir: "wal", Name: "gateway-0", Conn: nc})
//	go em.Run(context.Background())   // publishes until em is closed
//	receipt := em.Emit(ctx, event)    // returns at once
//	err = receipt.Spooled(ctx)        // waits until it is on stable storage
//	err = em.Close(ctx)               // states what is left, flushes, while ctx lasts
//
// # Life of an event here
//
//  1. [Emitter.Emit] puts it into a queue and returns a [Receipt]. When the
//     queue is full, the event is refused and counted, and so it is when its
//     principal holds its share: a noisy one starves nobody. On a full disk
//     only outcomes are taken, into room that was kept for them.
//  2. One goroutine, the sequencer, takes everything that waits. It gives each
//     event the next sequence of its tenant's epoch, seals it into the epoch's
//     hash chain and encodes it; from here on the bytes never change. One that
//     holds a [Canary] is replaced by an event that says so. Of one that is too
//     large for the stream, digests stand for the payloads.
//  3. It appends them to the WAL as one group and has that synced; meanwhile it
//     seals what comes next. When it is synced, [Receipt.Spooled] returns.
//  4. Another goroutine, the publisher, follows the WAL and publishes what it
//     reads there, and only that, in atomic batches. An acknowledged batch is
//     [Receipt.Streamed].
//  5. The stores publish watermarks. What all of them have is [Receipt.Stored],
//     and WAL files that hold nothing else are deleted. A watermark is believed
//     for what JetStream acknowledged since the start and for no more; so what
//     an earlier start left in the WAL is sent again, to be a duplicate.
//  6. A collector whose store lacks a part of an epoch asks for it, on
//     docket.control.<emitter>.holes. The emitter sends it again from the WAL, or
//     says that it is not there any more. It never sends by that what JetStream
//     did not acknowledge once, so that on the stream it is a repetition.
//
// # Guarantees
//
// An event whose receipt said spooled is on the stream at least once, whatever
// is killed and however long the stream is away, and every copy of it has the
// same bytes. It can be lost only with the disk under the WAL, and damage there
// is found by checksums, told by an event, and never stops the emitter.
//
// In an epoch, sequences count 1, 2, 3 ... without a gap, and each event names
// the fingerprint of the one before. An epoch is one start of the emitter for
// one tenant. It begins with a start event and ends with a stop event that
// states, and with a key signs, the head of the hash chain. An epoch that a
// crash cut off is closed by the next start, which states its last sequence and
// fingerprint as the WAL has them. With more than 65,536 tenants, those that are
// idle for longest are stopped, and have another epoch when they come back.
//
// No event disappears silently: offered = sequenced + refused, and every refused
// event is counted by a gap finding, which is an event itself. What a crash
// takes from the queue was promised to nobody.
//
// # What it is not
//
// The stream gets repetitions after any doubt; who needs each event once drops
// them by epoch and sequence, which are headers of each message too. The order
// on the stream is that of the WAL, up to repetitions. The emitter redacts
// nothing: it never sees what may not be recorded.
package emitter
