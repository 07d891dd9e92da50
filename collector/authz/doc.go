// SPDX-License-Identifier: Apache-2.0

// Package authz decides who may read what, for every door: gRPC, REST, Flight
// SQL, the socket and loopback. A door only brings what its protocol has, a
// bearer token or a client's certificate; who that is, what they may do and
// whose events they may see is decided here and nowhere else.
//
//	verifier, err := authz.New(config)             // once
//	grant, err := verifier.HTTP(request)           // or Caller, Token, Certificate
//	err = grant.May(authz.Read)                    // the capability
//	view, err := grant.View(include, exclude)      // the tenants
//	if view.Sees(header.Tenant) { ... }            // once more, of each event
//
// A [Grant] has capabilities and prefixes. A prefix covers the tenant of its name
// and those below it at a "/": "acme" covers "acme" and "acme/eu", never
// "acmeCorp". "/" covers all tenants; nothing else does, the empty prefix covers
// none. Whoever names tenants must be covered for each of them, or the request
// is refused as a whole; whoever names none sees those that the grant covers.
// What is excluded grants nothing: without a tenant that is named, only a grant
// that covers all may exclude.
//
// A [Verifier] knows callers by a JWT that one of its keys signed (HS256 by keys in
// files; EdDSA, ES256, RS256 by a key set in a file or at a URL), by the secret in the
// data directory, or by a client's certificate. The algorithm belongs to the key and
// not to the token, all files may be replaced while they are in use, and there is no
// key by default. A [Signer] mints what it verifies, for those who have no issuer.
// [CORS] says which web pages may read answers; package tlsfiles serves TLS.
//
// There are two refusals, [ErrUnauthenticated] (nobody knows who asks; 401) and
// [ErrDenied] (it is known, and not theirs to ask; 403), both as an [*Error] that
// says why and what to do, and never quotes a token.
package authz
