// SPDX-License-Identifier: Apache-2.0

// Package datadir is the data directory as a whole: who owns it, in which
// format it is, where its owner listens, and where its keys lie. What is inside
// wal/, lake/, ledger/ and nats/ belongs to the packages that write it.
//
//	DIR/FORMAT       the format's number and a newline
//	DIR/lock         locked (flock) by the one writer while it lives
//	DIR/run.json     who that is and where it listens; removed on a clean stop
//	DIR/docket.sock  its socket; removed on a clean stop
//	DIR/unclean      there while it lives, and behind one that was killed; removed on
//	                 a clean stop, or when what a killed one left has been put right
//	DIR/keys/        private keys (0600) and public ones (.vkey)
//
// Ownership is the lock and nothing else. A process id proves nothing: it may
// belong to another program by now, or to another machine's process when the
// directory was copied. So a run.json without a held lock is stale, whatever
// it says, and readers then read the directory themselves.
//
// A stopped directory holds relative paths only and can be moved or copied.
package datadir
