// SPDX-License-Identifier: Apache-2.0

// Package checker judges what came of a campaign of crashes and faults: by the
// journal that a client kept, and by the bytes themselves. Only tests use it.
//
// It shares no code with what it judges. It reads events with encoding/json,
// makes their canonical form itself, and knows the WAL's format from its
// description alone: so one mistake cannot hide another.
package checker
