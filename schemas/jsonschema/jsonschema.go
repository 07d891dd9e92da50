// SPDX-License-Identifier: Apache-2.0

// Package jsonschema holds the JSON Schema of the configuration file, for
// editors and for programs that write one. It says what a file may contain;
// what its parts mean together is checked by package chainfile and by the
// commands, which refuse more than a schema can.
package jsonschema

import _ "embed"

// Config is the schema of Docket's configuration file, in draft 2020-12.
//
//go:embed docket.schema.json
var Config []byte
