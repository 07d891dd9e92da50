// SPDX-License-Identifier: Apache-2.0

// Package retention says which events leave a store, and which must not: how
// long events are kept ([Policy]), what a legal hold keeps beyond that ([Hold]),
// whose events are to be erased ([Erasure]). It decides and remembers; a store
// does it, and leaves a stub for each row, so that completeness stays provable.
//
//	policy, err := retention.ParsePolicy("400d", "tenant=acme class=api_activity 30d")
//	book, err := retention.Open("docket-data/retention.json", policy)
//	terms, err := book.Terms(time.Now(), newest)
//
// A [Book] is what is kept beside the store: the holds, which changes of them no
// event has told yet, up to which statement of the store events have told what
// left, and how far the clock of retention has come.
package retention
