// SPDX-License-Identifier: Apache-2.0

// Package eventfile takes OCSF events out of files as people have them: one
// event, an array, one event a line, values one behind the other, bundles
// {"events": [...]}, all of these with or without gzip.
//
//	in, err := eventfile.Open("events.ndjson.gz", os.Stdin)
//	defer in.Close()
//	r := eventfile.NewReader(in, eventfile.Options{})
//	for {
//		e, err := r.Next() // io.EOF: that was all; *eventfile.Fault: go on
//
// A [Reader] finds where an event begins and ends, by its brackets, and leaves
// to its caller whether what is between them is JSON. That is enough to lose
// little to a fault: an event that is no JSON costs itself alone, and so does a
// line that was cut off, wherever it was cut.
//
// Memory is bounded by the longest event that is allowed, not by the input: an
// array or a bundle is never held as a whole.
package eventfile
