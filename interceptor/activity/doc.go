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
// Events are of OCSF 1.8.0 or, with [WithSchema], of 1.9.0. They pass the schema's
// own validation without errors or warnings in the version that they name, so
// that what 1.9.0 deprecates is not in events of it. Both are read, and what was
// recorded years ago too.
//
// What is written:
//
//   - The input once, with the evaluation. A payload equal to one that an earlier
//     evaluation of the same operation was shown is {"same_as": <its uid>}; so it
//     is with metadata. Attributes and labels are told by the outcome. The principal
//     alone is told by each evaluation: one whose outcome is lost is judged by it too.
//   - Payloads as bindings see them: fields marked secret are not in them, and
//     what a result says about such a field loses its value.
//   - What a [Rule] of the [Redactor] finds is left out, masked, or replaced by a
//     keyed digest before anything else is made of it, digests too. The event says
//     what, in unmapped.docket.redactions, as it does of secret fields, and how many
//     values, in unmapped.docket.redacted. A rule that fails replaces the value; writing that fails leaves an event that says so.
//     Pointers find places: what a patch copies elsewhere takes a rule there.
//   - As much of payloads, states and patches as the binding's capture says. Of
//     metadata, reasons and the rest rules alone leave something out.
//   - What shadows would have decided, as unmapped.docket.would.
//   - Which attributes and metadata namespaces a binding was granted, as
//     unmapped.docket.visible; the metadata beside it, the values of attributes
//     with the outcome.
//   - The principal as OCSF's actor, and in full beside it, because bindings
//     judge by it.
//   - The AI agent that the operation comes from, if there is one, beside the
//     principal for whom it acts; see below.
//   - How well an evaluation can be replayed: its grade, and why if not fully.
//
// What a fact and its events do not share: the Failures and evaluation uids of
// an Outcome's parts are found in the events of those evaluations.
//
// # Agents
//
// An adapter tells of an agent by attributes of the operation, or by a principal
// of the kind "agent":
//
//	told                          1.8.0               1.9.0
//	agent.id, or the subject      actor.app_uid       actor.application.uid, ai_agent.uid
//	of a principal "agent"
//	display_name of such a one    actor.app_name      actor.application.name, ai_agent.name
//	agent.session                 actor.session.uid   the same
//	model, as "provider/name"     ai_model            the same
//
// A sandbox is the actor's application itself; its agent is then told by ai_agent
// alone. A model without a provider is of the provider "unknown". Events with
// ai_model or ai_agent name the profile ai_operation, others do not.
package activity
