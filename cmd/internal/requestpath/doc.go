// SPDX-License-Identifier: Apache-2.0

// Package requestpath is what stands in the way of a call, composed: the
// emitter, the chain of one plan, and the proxy in front of one service. Both
// commands run it; docket-gateway runs nothing else.
//
//	caller -> proxy -> chain -> service
//	                     '-> recorder -> emitter -> WAL -> JetStream
//
// It is pure Go and knows no store and no ledger.
//
// The order of a clean stop is the order of what depends on what: the proxy
// takes no more calls and sees those under way to their end, the chain waits
// for post_commit, and only then the emitter writes its stop events, so that
// nothing is left to be said after them.
package requestpath
