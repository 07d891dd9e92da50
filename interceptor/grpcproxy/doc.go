// SPDX-License-Identifier: Apache-2.0

// Package grpcproxy puts an [interceptor.Chain] in front of gRPC services. It
// only translates: a call becomes an [interceptor.Operation], an
// [interceptor.Outcome] becomes the answer.
//
// [Unary] is for servers that have the chain in their own process:
//
//	srv := grpc.NewServer(grpc.UnaryInterceptor(grpcproxy.Unary(chain)))
//
// [New] makes a reverse proxy for services that know nothing of it:
//
//	proxy, err := grpcproxy.New(grpcproxy.Config{Chain: chain, Upstream: conn})
//	err = proxy.Serve(ctx, listener) // until ctx ends
//
// # What passes as it is
//
// Methods that the plan does not govern pass byte for byte: unary calls and
// streams of all kinds, of any size, with their metadata, trailers, status and
// its details, half-close, deadline and cancellation. Messages are not decoded,
// so no descriptor is needed. They are counted per method, see
// [Proxy.Ungoverned]. With unmatched = "deny" they are refused instead, which
// the chain records.
//
// What a hop of gRPC changes all the same: the user-agent, the peer's address
// and the compression of messages are the proxy's own towards the upstream, and
// metadata that begins with "docket-" is taken from the caller's request, for
// callers have no say about it.
//
// # What is governed
//
// A unary method that a binding selects is decoded by its descriptor, runs
// through the chain, and is then forwarded: with the caller's own bytes when no
// binding changed it, else encoded anew, with the unknown fields that it came
// with. The upstream is told the operation in metadata "docket-operation-uid".
// Its answer goes back as it came.
//
//   - Requests are at most 1 MiB (Config.MaxRequestBytes), else
//     RESOURCE_EXHAUSTED. A longer one is refused by its length, before it is
//     read; a compressed one is unpacked no further than to the limit. What is
//     not governed is held in memory once, and of a stream one message at a time;
//     grpc.MaxRecvMsgSize among Config.ServerOptions bounds that.
//   - Descriptors come from a FileDescriptorSet, or from the upstream's server
//     reflection (v1, then v1alpha), where they are kept, and asked for again
//     when a request has fields that they do not know, and when the connection
//     was lost: behind the next one there may be another version. A governed
//     method without a descriptor is an error of [New] when there is a
//     FileDescriptorSet, of [Proxy.Check], and FAILED_PRECONDITION for its
//     callers: it is never forwarded unseen.
//   - A streaming method cannot be governed. A binding that names one is an
//     error in the same places. A binding for every method does not select it,
//     so it is unmatched.
//   - A call that is refused before a binding can judge it, for the size or the
//     form of its request or for want of a descriptor, is an operation too: the
//     chain denies and records it, without the request. Of [Unary] that holds
//     for the requests that its server has decoded.
//   - Every answer carries trailer "docket-operation-uid", and
//     "docket-audit: pending" when it is given before its record is durable. What
//     gRPC itself refuses is no operation: metadata of more than 64 KiB, a path
//     without a method, a compression that it does not know.
//
// # Whose operation it is
//
// Nothing that a caller sends is trusted by default: the tenant is "default"
// and the principal anonymous. [TenantFrom] and [PrincipalFrom] trust a metadata
// key by the operator's word, who then has to see to it that only an
// authenticating proxy can set it.
//
// # What bindings may see of the call
//
// An operation's attributes are "source.address" (host:port), "user_agent",
// "request.method", which is POST, "request.path", which is "/service/method",
// and, as Config.Attributes names them, headers as "request.headers.NAME".
// Config.Metadata makes metadata namespaces of the caller's metadata. Of all
// that a binding sees what it is granted. Authorization, cookies, API keys and
// tokens are not among it: they go to the service alone.
package grpcproxy
