// SPDX-License-Identifier: Apache-2.0

// Package config reads the one configuration file of both commands.
//
// The file is TOML. Its tables [gateway], [audit], [[interceptors]],
// [[openshell.gateway.interceptors]], [capture], [[redact]] and [tokens] say what
// is enforced and what is recorded of it; they belong to package chainfile, which
// reads and checks them itself. The others say how this process runs:
//
//	[tenant] [principal] [nats] [ocsf] [emitter] [collector] [api] [auth] [ops] [ledger] [telemetry]
//
// Each of their keys, and where calls go, what is unmatched and [audit], can also be
// given as the environment variable DOCKET_<TABLE>_<KEY>, and by the flag
// --set TABLE.KEY=VALUE. The flag wins over the environment, the environment
// over the file, the file over the default.
//
// A key that does not exist is an error which names file and line and the key
// that was probably meant. In an audit system a typo that is silently ignored
// is a control that is silently off.
package config
