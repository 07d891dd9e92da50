// SPDX-License-Identifier: Apache-2.0

// Package plans tells which plan was in force when, and at which gateway. It
// keeps nothing: a [Period] is derived from the events that gateways sign for, so
// that whoever believes the record believes it, and whoever does not can derive
// it again.
//
// What is looked at, of the tenant "docket", to which a gateway's words about
// itself belong, since a plan governs all of a gateway's tenants:
//
//   - an activation (class 3004) says that a plan is in force from now on;
//   - a rejection (class 6008) says that another was refused, and which is in
//     force. What was activated before it and is not that one never was;
//   - a stop of the emitter ends what is in force, and so does a start, for a
//     gateway that was killed: then the period ends with its last event.
//
// These may be missing: retention took them, they were lost, or a gateway of
// somebody's own does not write them. So outcomes are looked at too, for they name
// the plan that judged them. Where no activation explains the plan of an outcome,
// there is a period that began with the first of them, and says so ([Operation]).
//
// What cannot be told: which of two plans was in force at a reading of a clock
// that was set back, for there were two such moments. Both have it.
//
//	periods, err := plans.Read(ctx, store, plans.Query{Gateway: "gateway-0"})
//	for _, p := range plans.At(periods, time.Date(2026, 10, 28, 6, 0, 0, 0, time.UTC)) {
//		fmt.Println(p.Gateway, p.Digest)
//	}
package plans
