// SPDX-License-Identifier: Apache-2.0

// Package why says what decided one recorded operation, and what would have had
// to be otherwise for it to be allowed.
//
//	answer, err := why.Explain(ctx, op, plan, why.Options{Allowed: others})
//
// The record names the binding that denied, its reason, and the plan. Whether
// the binding still says so is asked, where it has an implementation. Then the
// request is changed, a little at a time, and asked again ([replay.Stage.Ask]):
// a field is decisive when the deciding binding decides otherwise without it or
// with another value, and of the changes that the whole chain allows the
// smallest is told, as a JSON Patch (RFC 6902).
//
// What it tries, in this order, until the budget is used up:
//
//   - One field at a time: what allowed operations of the same method had at this
//     place ([Options.Allowed]), the other truth, zero and its like, leaving it
//     out, leaving out an item of a list. Fields that the reason speaks of come
//     first. Of numbers the limit is then looked for by halves.
//   - One more field, where a change led to another answer: to another binding
//     that denies, or to another reason of the same.
//   - The whole difference to an allowed operation, of which then everything is
//     dropped that is not needed (delta debugging).
//   - Two fields at a time.
//
// What is found was asked and allowed, twice more in the end. That nothing was
// found says no more than how far was looked: see [Search]. The order of all of
// it follows from the operation and the options alone, so that the same question
// has the same answer, provided that the interceptors judge equal input equally;
// those that are seen not to are told as unstable.
//
// Only the request is varied, not who asked, nor attributes, metadata or the
// current state. Fields that the schema marks secret are not in the record and
// stay unknown. Bindings of post_commit and shadows decide nothing and are not
// called. A change that is only allowed because a binding fails on it does not
// count.
package why
