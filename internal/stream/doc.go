// SPDX-License-Identifier: Apache-2.0

// Package stream knows what Docket wants of JetStream: one stream for events
// and two key-value buckets, for watermarks and for leases, declared once in
// schemas/nats/stream.json.
//
// The stream is the road between the emitters and the stores, and its settings
// decide what a publish acknowledgement is worth. A stream in memory forgets
// on a restart, one that discards old messages forgets when it is full, one
// without atomic publish can be made durable only one message at a time. So
// [Apply] creates what is declared, and whoever connects calls [Check], which
// refuses a stream that promises less, naming the setting, what was found and
// what is wanted. A setting that promises more is fine: more replicas, more
// space, more subjects.
//
// Where one stream is not enough there are several, each with buckets of its own and
// for the emitters that its subjects name; see [Name] and [Emitters].
//
// Who reads it does so by [ReadAhead]; while it grows fast, at a distance from its end.
//
// A watermark says that a store accounts for every sequence of an epoch up to
// a number; see [PutWatermark] and [WatchWatermarks]. A lease says which
// collector fills a store; see [Lease].
package stream
