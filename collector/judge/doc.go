// SPDX-License-Identifier: Apache-2.0

// Package judge says of a message on the stream whether it is an event that its
// sender may send. The collector stores what passes and puts the rest into
// quarantine; whoever shows events before they are stored asks the same judge,
// so that nothing is shown that the store refuses.
//
//	j := judge.New(prefix, store)
//	header, err := j.Event(judge.Message{Subject: ..., Headers: ..., Data: ...})
//
// NATS binds the last token of a subject to its sender. So subject, headers and
// event must agree, and an epoch is of the emitter and the tenant that its first
// event is of. A [Judge] learns these from what it is shown: two that are shown
// the same messages in the same order judge alike, and one that begins behind
// what the store accounts for knows the rest from the store.
package judge
