// SPDX-License-Identifier: Apache-2.0

package jsontree

import "fmt"

// A SyntaxError says why a text is not JSON, or not JSON that is taken here.
type SyntaxError struct {
	// Offset, in bytes, is where the fault was noticed: the first byte that
	// cannot be there, or the length of the text when more should have followed.
	Offset int64
	// Reason is a phrase such as "comma or closing bracket expected".
	Reason string
}

// Error implements error.
func (e *SyntaxError) Error() string {
	return fmt.Sprintf("invalid JSON at byte %d: %s", e.Offset, e.Reason)
}
