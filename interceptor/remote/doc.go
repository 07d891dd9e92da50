// SPDX-License-Identifier: Apache-2.0

// Package remote carries the interceptor contract
// (openshell.gateway_interceptor.v1) over gRPC: [Dial] makes an interceptor
// served elsewhere an [interceptor.Interceptor], [Serve] serves one. A chain
// cannot tell a dialled interceptor from one linked into its process.
//
//	err := remote.ListenAndServe(ctx, "unix:///run/no-root.sock", noroot.New())
//
// Endpoints are unix:///ABSOLUTE/PATH, http://HOST:PORT (gRPC in the clear) and
// https://HOST:PORT (gRPC over TLS).
//
// A call carries its deadline (grpc-timeout), the operation's uid in the
// metadata key docket-operation-uid, and the caller's trace context in
// traceparent. An interceptor written for OpenShell sees nothing else that is
// new to it; one that is served by this package and called by OpenShell has no
// operation uid to see.
//
// What does not travel: the uid and place of an evaluation, and the kind of a
// Failure beyond what a gRPC status code says.
package remote
