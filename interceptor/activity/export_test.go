// SPDX-License-Identifier: Apache-2.0

package activity

import (
	"github.com/docket-audit/docket/interceptor"
	"github.com/docket-audit/docket/internal/profile"
)

// ReadPlainly is [Read] in the plain way.
var ReadPlainly = readPlainly

// OperationsPlainly puts together operations of which each event is read in the plain
// way.
func OperationsPlainly(events [][]byte) []*Operation {
	a := assembly{open: map[interceptor.UID]*assembled{}}
	for i, raw := range events {
		if r, err := readPlainly(raw); err == nil {
			a.take(a.open[r.Operation.UID], r, i+1)
		}
	}
	var all []*Operation
	for _, op := range a.rest() {
		all = append(all, op.finish())
	}
	return all
}

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
