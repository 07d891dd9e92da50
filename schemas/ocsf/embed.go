// SPDX-License-Identifier: Apache-2.0

// Package ocsf holds catalogs of the Open Cybersecurity Schema Framework, one
// for each version, for tools in any language; README.md describes their
// format. In Go, package ocsf/schema reads them.
package ocsf

import "embed"

// Catalogs holds catalog/VERSION.json for each version.
//
//go:embed catalog/*.json
var Catalogs embed.FS
