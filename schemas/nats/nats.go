// SPDX-License-Identifier: Apache-2.0

// Package nats holds the declaration of Docket's JetStream stream and of the
// bucket beside it, for tools in any language. In Go, package internal/stream
// reads it, applies it and checks a server against it.
package nats

import _ "embed"

// Stream is stream.json: under "stream" a stream configuration as the
// JetStream API takes it, under "watermarks" the key-value bucket.
//
//go:embed stream.json
var Stream []byte
