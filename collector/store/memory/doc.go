// SPDX-License-Identifier: Apache-2.0

// Package memory is a store that keeps events in the memory of its process: for
// tests, and for programs that look at a stream for as long as they run.
//
//	st := memory.New(memory.Options{})
//	c, err := collector.New(collector.Config{JetStream: js, Store: st})
//	go c.Run(ctx)
//	for e, err := range st.Scan(ctx, store.Query{Tenant: "acme", Descending: true, Limit: 10}) {
//		...
//	}
//
// It keeps the contract of package store as the lake does, which storetest checks:
// each event once, conflicts beside what they are in conflict with, epochs and
// where they end, what is in quarantine, fences, and a [Statement] for each
// commit, each naming the one before it, so that a ledger can follow. A commit is
// there as a whole or not at all, and any number of readers go on beside it: a
// scan gives what was there when it began.
//
// What it is not: durable. Close, or the end of the process, forgets everything;
// a new one counts commits from 1 and takes all that the stream still has. So it
// must not be the store whose watermark lets emitters drop what they hold, unless
// nobody minds: give such a collector a stream of its own, or emitters that trim
// by the stream. Nothing is ever dropped before, either: the store grows by what
// it is sent, about twice the bytes of small events, and look-ups read all
// headers. Ask a lake for more than some hundred thousand events.
package memory
