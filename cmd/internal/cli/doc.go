// SPDX-License-Identifier: Apache-2.0

// Package cli is what both commands say and how they say it: exit codes,
// errors with hints, and the one [Printer] that every verb writes its data to.
//
// The rules, so that scripts can rely on them:
//
//   - Standard output carries data only. Everything else (errors, hints,
//     notes, progress) goes to standard error.
//   - The exit code is 0 when all is well, 1 on failure, 2 on wrong usage,
//     3 when something was found (differences, damage, invalid events), 4 when
//     only part of the answer could be given.
//   - The default format is a table on a terminal and ndjson when piped.
//   - What comes out of events is hostile: control characters in it never
//     reach a terminal unescaped.
//   - A reader that goes away (`docket tail | head -1`) is no error.
package cli
