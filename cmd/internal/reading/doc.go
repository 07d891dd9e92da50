// SPDX-License-Identifier: Apache-2.0

// Package reading is how every verb that reads gets at a data directory.
//
// While the directory's owner lives, it is asked over its socket: it knows what
// it has just stored. Without one the directory is read as it lies, from the
// newest manifest, without a lock and without writing to it; a copy, a backup
// or a read-only mount will do.
//
// [Remote] asks the server of a context (package contexts) over the network in
// place of a directory.
//
// All ways end at the same handlers (collector/serve), so an answer does not
// depend on who gave it.
package reading
