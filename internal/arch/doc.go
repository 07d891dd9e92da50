// SPDX-License-Identifier: Apache-2.0

// Package arch holds the rules of the layout as tests; it has no other code.
//
// What may import what is the architecture: it decides what a user of one
// package has to download, what can be tested without a broker, and where a
// reader has to look. So each rule is stated once, in a table, and checked on
// what `go list` says of the whole module, tests included:
//
//   - imports_test.go: which package of ours may import which, the leaves
//     under internal/, who may use cgo, the Arrow version that must not link.
//   - modules_test.go: for each public package the third-party modules that its
//     code and its tests reach, as golden lists in testdata. A new line there
//     is a new line in some user's go.sum: look at it in review, then accept
//     it with -update.
//   - pins_test.go: the versions in go.mod.
//   - surface_test.go: how much package interceptor exports; package comments.
//   - docs_test.go: the documents name tests, files and targets that exist.
//   - source_test.go: licence line, format and length of every file; flags and
//     environment are read by commands alone.
package arch
