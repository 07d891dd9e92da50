// SPDX-License-Identifier: Apache-2.0

// Package openapi holds the OpenAPI document of docket.audit.v1 in REST.
// `make generate` makes it from schemas/proto.
package openapi

import _ "embed"

// Document is OpenAPI 2.0, as JSON.
//
//go:embed docket.json
var Document []byte
