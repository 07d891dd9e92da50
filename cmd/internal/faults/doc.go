// SPDX-License-Identifier: Apache-2.0

// Package faults holds no code. Its tests let interceptors fail in every way
// they can, under every failure policy and in every phase, with all that is
// between a caller and the upstream in place: the chain file, the proxy, the
// chain, the client of package remote, a real server behind a real socket, and
// the record. Each cell of that matrix says what the caller is told, whether the
// upstream was called, and which events there are of it.
package faults
