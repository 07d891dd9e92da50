// SPDX-License-Identifier: Apache-2.0

package activity

import "github.com/docket-audit/docket/internal/profile"

// ReadPlainly is [Read] in the plain way.
var ReadPlainly = readPlainly

// Usual says whether an event has nothing in it that package ocsf is asked about.
func Usual(raw []byte) bool {
	var t profile.Tree
	if _, err := profile.ParseTree(raw, &t); err != nil {
		return false
	}
	var l look
	l.over(&t)
	return !l.unusual
}
