// SPDX-License-Identifier: Apache-2.0

// Docket-gateway is the request path alone, for machines that only govern
// calls: a proxy in front of one service, the chain of one file, and an emitter
// that sends what happened to a NATS elsewhere, where a `docket up` collects it.
//
//	docket-gateway --config docket.toml --data /var/lib/docket-gateway
//
// The file is that of `docket up`; [nats] url, and creds if the server asks for
// them, say where the events go. The stream is made by `docket stream apply`.
//
// NATS may be down, also when docket-gateway starts: what cannot be sent waits
// on disk in DIR/wal, and calls are governed and recorded all the same. What a
// caller was answered for under durable audit is on that disk before.
//
// It is pure Go, keeps no store, and never holds the ledger's key.
package main

import (
	"os"

	"github.com/docket-audit/docket/cmd/internal/cli"
)

func main() {
	os.Exit(cli.Run(root(), os.Args[1:], os.Stdout, os.Stderr))
}
