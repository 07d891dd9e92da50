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
// metadata key docket-operation-uid, the trace context in traceparent, and the
// caller's x-request-id if it sent one. Nothing else of the caller's own metadata
// goes out. An interceptor written for OpenShell sees nothing else that is new to
// it but the fields from 1000 on, which it skips; one that is served by this
// package and called by OpenShell has no operation uid to see.
//
// Who calls whom is settled by TLS ([CACert], [ClientCert], [TLS]), and by tokens:
// a [Signer] makes a short-lived JWT for each audience, [Token] sends it along,
// and [Verify] has a server refuse who has none.
//
//	err := remote.ListenAndServe(ctx, endpoint, noroot.New(), remote.Verify(remote.VerifyConfig{
//		Issuer: "openshell-gateway:prod", Audience: "urn:openshell:extension:interceptor:no-root", Keys: jwks,
//	}))
//
// A server answers a panic as an error, bounds each call ([Budget]), serves
// grpc.health.v1, and welcomes the pings of gateways. A client finds a server that
// comes back within seconds; calls fail at once while it is away.
//
// What does not travel: the uid and place of an evaluation, and the kind of a
// Failure beyond what a gRPC status code says.
package remote
