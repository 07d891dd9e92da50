// SPDX-License-Identifier: Apache-2.0

// Package interceptor is the enforcing chain: it judges each [Operation] by
// the bindings of a [Plan] and tells a [Recorder] every fact before it acts on
// it.
//
// Everything goes through [Chain.Run]. Adapters such as package grpcproxy only
// translate their protocol to an Operation and an [Outcome] back to it:
//
//	modify_operation -> validate -> Recorder.Barrier -> Handler -> Outcome -> post_commit
//
// The handler is the line of no return. Before it, an operation that changes
// state waits until every fact so far is durable, and is denied when that does
// not happen in time. After it nothing is called a deny.
//
// What the package promises:
//
//   - A deny is final, over failures, over order, over the failure policy.
//
//   - Each call of a binding gives exactly one [Result] or one [Failure], and each
//     operation one [Outcome], whatever panics.
//
//   - No error path allows unless the failure policy says fail_open, and then
//     the Failure says so.
//
//   - The patches of one binding are one candidate: all are applied and the
//     whole is a valid message of the RPC's type, or nothing changes.
//
//   - Fields marked secret in their descriptor (option 50001) are invisible to
//     bindings, unpatchable, and survive patches of other fields.
//
//   - A binding sees those attributes and metadata namespaces that its plan
//     grants, and writes those that it grants. What one binding wrote reaches the
//     next, and dies with the operation.
//
//   - A shadow binding is called and recorded like any, in its turn and for as
//     long as it takes, and changes nothing.
//
//   - Run comes back. Interceptors are called with a deadline, and left behind
//     when they do not heed it; what the chain starts, [Chain.Close] waits for.
//
// A plan may be replaced while operations run, by [Chain.Swap]: each ends by the
// plan that it began with.
//
// The package knows no transport, no file format and no stream. Reading order:
// operation.go, plan.go, fact.go, chain.go, force.go, run.go, room.go, walk.go,
// watch.go, evaluate.go, payload.go, writer.go, patch.go.
package interceptor
