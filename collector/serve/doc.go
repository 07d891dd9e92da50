// SPDX-License-Identifier: Apache-2.0

// Package serve answers questions about what is stored: docket.audit.v1 in gRPC,
// the same in REST (grpc-gateway, within the process), and what admins may have
// done.
//
//	GET  /v1/events            one page of events             SearchEvents
//	GET  /v1/events/{uid}      one event                      GetEvent
//	GET  /v1/operations        one page of operations         ListOperations
//	GET  /v1/operations/{uid}  the timeline of one            GetOperation
//	GET  /v1/tail              what is there, then what comes Tail
//	POST /v1/query             {"sql": "SELECT ..."}          Query
//	GET  /v1/stats             counts by value and time       Stats
//	GET  /v1/plans             when plans were in force       ListPlans
//	GET  /v1/plans/{digest}    a plan                         GetPlan
//	GET  /v1/ledger            checkpoint and proof           GetLedger
//	GET  /openapi.json, /docs  all of this, for programs and people
//	GET  /v1/status            what the owner knows of itself
//	POST /v1/chain/reload, /v1/quarantine/requeue, /v1/erase, ...
//
// There is one way for all: a [Door] finds out who asks, and puts it into the
// context; the interceptors of access.go judge the capability, bound the time by
// the token's and tell of the access; the methods see events through the caller's
// [authz.View]. gRPC comes to the methods by its server, REST and the command
// line by a connection that stays in the process (conn.go), so an answer does not
// depend on the door.
//
// Filters are CEL expressions over the columns of an event's header, such as
//
//	tenant == "acme" && kind == "outcome" && decision == "deny"
//
// No question may take the one who records along. A page ends where it would be
// too large to be held, a tail is sent as it is read, and a query runs in a
// process of its own, of which there are few: see [sql.Processes].
//
// The one mapping of errors to status codes is in errors.go. In REST an error is
// an object {"error":{"code","message","field","hint"}}. A stream ends with a last
// line, that or {"end":{}}, as in gRPC with a status (answer.go): where neither
// came, the connection was cut.
package serve
