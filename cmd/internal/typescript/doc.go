// SPDX-License-Identifier: Apache-2.0

// Package typescript holds no code. Its test, behind the build tag node, lets the
// client of schemas/typescript ask a real server: a lake with its ledger, SQL in
// processes of its own, listeners as docket up opens them. `make typescript`
// compiles the client and runs it.
package typescript
