// SPDX-License-Identifier: Apache-2.0

// Package replay runs recorded operations through a plan again and says what
// would come of them now.
//
// In a test, before a change of policy ships:
//
//	func TestPolicyAgainstHistory(t *testing.T) {
//		replay.Test(t, chainfile.ForTest(t, "chain.toml", chainfile.Local("no-root", noroot.New())), replay.File("testdata/march.ndjson"),
//			replay.Allow(replay.Flip("allow", "deny").On("no-root").Max(12)))
//	}
//
// Each operation is rebuilt from what its bindings were shown and goes through
// a real [interceptor.Chain] of the candidate plan:
//
//   - A binding with an implementation is re-executed.
//   - A binding that failed at the time is answered from the record, whether it
//     has an implementation or not: timeouts and outages are not the candidate's
//     doing. What the failure makes of the operation is the candidate's policy.
//   - A binding without an implementation is answered from the record, as long
//     as it would be shown just what it was shown then. Else the operation cannot
//     be replayed, and the [Report] says why.
//   - A shadow is called or answered like any other binding. Whatever it says,
//     and whether it can be had at all, no operation comes out otherwise for it.
//   - Bindings select by principals as they did, and by the labels in what was
//     shown of the request.
//   - A binding whose input an operator had redacted is not re-executed: it would
//     judge what nobody asked. It is answered from the record, if it can be.
//   - The handler answers what it answered then.
//   - An implementation has 30 seconds to answer, or the plan's timeout if that is
//     longer: a shorter timeout changes nothing in replay.
//
// How an operation then compares is a [Comparison], the gravest one that holds:
// a binding failed now that did not then; the operation flips, to another
// decision or to a handler that would run where it did not; it has another
// patched payload, whatever the patches that make it; callers would be denied
// with another status; a failure is under another policy, though that comes to
// the same; results are annotated otherwise. A [Diff] says which binding was the
// first to answer otherwise, and what changed, as a JSON Patch. [Against] puts
// what another plan makes of the operations now in the place of the record.
//
// Interceptors are shown the record's uids and times, so that one which takes
// samples by uid, or looks at the time of the evaluation, judges as it did. What
// differs by itself all the same, [LearnNoise] finds, and it is passed over.
//
// Replay knows payloads as bindings saw them, as JSON without secrets. It
// applies patches to that, and does not know the protobuf type that the chain
// checked them against. A metadata namespace that no binding was shown then is
// shown to none now, nor is a current state: an operation that was denied before
// validate is judged there as one that has none.
//
// Histories come from a [Source]: a store, an export of one, or a cassette, which
// is a file beside the tests that [Record] and [Cut] make; package served has
// those of a server. [Between], [Select], [Only] and [Sample] choose among their
// operations. [Server] plays the interceptors of a history for a gateway under
// test.
//
// The way of an operation: choose.go chooses it, run.go gives it to a worker,
// stage.go runs it through the plan, act.go answers for its bindings, take.go is
// what came of it, then and now, compare.go compares the two, report.go counts.
//
// Nothing here stores or sends anything, and two runs give equal reports,
// provided that the interceptors judge equal input equally.
package replay
