// SPDX-License-Identifier: Apache-2.0

// Package ocsfbench measures package ocsf beside the JSON libraries that people
// would otherwise take. It is a module of its own, so that none of them becomes
// a dependency of Docket.
//
// The rows are named after the contenders, all of which do the same work, but for
// two that are about ocsf alone. In ocsf-canonical-payload, of Encode, the
// free-form value api.response.data is an [ocsf.Canonical], which is copied, where
// in ocsf it is a Go map, whose members are sorted and encoded each time: the
// difference is the cost of a free-form value. ocsf-strict, of Validate, is the
// other of the two modes.
//
// On a machine that does other work the time tells little. What the process used
// of the processors (cpu-ns/op), its garbage collector too, tells more, and the
// number of instructions most: run the test binary under valgrind twice, and
// divide the difference of the instructions that it reports as collected by that
// of the iterations.
//
//	GODEBUG=asyncpreemptoff=1 GOGC=off GOMAXPROCS=1 valgrind --tool=callgrind \
//		./bench -test.run '^$' -test.bench '^BenchmarkEncode/ocsf$' -test.benchtime=200x
package ocsfbench
