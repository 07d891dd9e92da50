// SPDX-License-Identifier: Apache-2.0

// Package serve answers questions about what is stored, over HTTP.
//
//	GET  /v1/events?page_size=&page_token=&filter=   one page of events
//	GET  /v1/tail?last=&follow=&filter=              ndjson: what is there, then what comes
//	POST /v1/query    {"sql": "SELECT ..."}          ndjson: one object per row
//	GET  /v1/status                                  what the owner knows of itself
//	POST /v1/chain/reload                            the chain is read anew; what changed
//	POST /v1/quarantine/requeue                      ndjson: what became of each message
//
// The same [Server] stands behind the socket in the data directory, behind the
// listener api, and behind the command line when it reads a directory whose
// owner is not there: three doors, one set of answers.
//
// Filters are CEL expressions over the columns of an event's header, such as
//
//	tenant == "acme" && kind == "outcome" && decision == "deny"
//
// A tail has one cursor over the store: first what is stored, then each commit
// as it comes, nothing twice and nothing missed. It sees an event when the
// event is durable in the store, not before.
//
// No question may take the one who records along. A page ends where it would be
// too large to be held, a tail is sent as it is read, and a query runs in a
// process of its own, of which there are few: see [sql.Processes].
//
// An error is an object {"error":{"code","message","hint"}}; the one mapping of
// errors to HTTP statuses is in errors.go. What a stream cannot say with its
// status any more, because it has begun, it says in the trailer Docket-Error.
package serve
