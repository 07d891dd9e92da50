// SPDX-License-Identifier: Apache-2.0

// Package activity translates between what happens in a chain and what is
// written about it: facts become OCSF events, and events become facts again.
//
// One way goes the [Recorder], an [interceptor.Recorder] that hands each event
// to an emitter and waits for its acknowledgements at the chain's barriers:
//
//	rec := activity.NewRecorder(func(ctx context.Context, e ocsf.Event) activity.Ack { return em.Emit(ctx, e) })
//	chain, err := interceptor.New(plan, rec)
//
// Every fact becomes one event: API Activity (6003) of kind evaluation, result,
// failure or outcome. A failure that its policy let pass before the handler
// also raises a finding (2004).
//
// The other way go [Read], event by event, and [Operations], which puts the
// events of an operation together. What they give back is what the chain
// recorded, so that a plan can be tried on it again.
//
// What is written:
//
//   - The input once, with the evaluation. A payload equal to one that an earlier
//     evaluation of the same operation was shown is {"same_as": <its uid>}.
//   - Payloads as bindings see them: fields marked secret are not in them, and
//     what a result says about such a field loses its value.
//   - The principal as OCSF's actor, and in full beside it, because bindings
//     judge by it.
//   - How well an evaluation can be replayed: its grade, and why if not fully.
//
// What a fact and its events do not share: the Failures and evaluation uids of
// an Outcome's parts are found in the events of those evaluations.
package activity
