// SPDX-License-Identifier: Apache-2.0

package ocsf

import "github.com/docket-audit/docket/ocsf/internal/jsontree"

// A SyntaxError says why a text is not JSON: where, in bytes, and what was
// expected there.
type SyntaxError = jsontree.SyntaxError
