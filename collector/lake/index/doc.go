// SPDX-License-Identifier: Apache-2.0

// Package index finds the rows of a Parquet segment that have a given event,
// operation or trace uid, and reads single rows of it.
//
//	b, err := index.Build(ctx, segment, of)             // the bytes of the index
//	x, err := index.Open(bytes.NewReader(b), size, of)  // or that of a file
//	rows, err := x.Find(index.Operation, uid, 1000)     // candidates, ascending
//	raw, err := x.Rows(segment).Bytes(rows[0])
//
// A look-up costs an open and a handful of reads: the header with the
// directory, one block of the index, and for each row the pages that hold it,
// where a scan would decompress a column of the whole file.
//
// # What it promises
//
// An index is derived: it holds nothing that its segment does not, it is no
// evidence, and losing it loses nothing but time. It is made of bytes with the
// digest that the segment should have, and says so, and every part of it that
// is read is checked against a checksum first. So one that is damaged, cut
// short, of another version or of another segment is refused with [ErrInvalid]
// and never believed; whoever can write makes it anew.
//
// A uid is known by 32 bits of its hash. Rows that Find returns are candidates:
// whether the uid is theirs is for the caller to see in the row. Rows that it
// does not return have another uid. The hash is seeded with the digest of the
// segment, so that nobody can choose uids that meet in it.
//
// # The file
//
// All numbers are little-endian. "uvarint" is that of encoding/binary. CRC is
// CRC-32C. Offsets in brackets.
//
//	header, 72 bytes
//	  [0]  8  "DOCKETIX"
//	  [8]  4  version: 1
//	  [12] 4  D, the length of the directory
//	  [16] 32 SHA-256 of the segment
//	  [48] 8  bytes of the segment
//	  [56] 8  rows of the segment
//	  [64] 4  CRC of the directory
//	  [68] 4  CRC of the 68 bytes before
//	directory, D bytes
//	  for each of metadata_uid, operation_uid, trace_uid:
//	     4    B, the number of its blocks
//	     B x  4 hash of the block's first entry, 4 length of the block, 4 CRC of the block
//	  for each of _raw, _stored_time, _stream_seq, _commit, _pos:
//	     4    P, the number of its pages in the segment
//	     P x  8 offset in the segment, 4 length with its header, 4 rows in it
//	blocks, one after the other, those of metadata_uid first
//	  entries to the end of the block, ascending by hash, then row:
//	     uvarint  hash, less that of the entry before; of the first, less the
//	              hash in the directory, which is 0
//	     uvarint  number of the row in the segment, from 0
//
// The hash is the first 4 bytes, big-endian, of the SHA-256 of the first 16
// bytes of the segment's SHA-256 and the uid. Rows without a uid have no entry.
// A block is at most 4 KiB. The file ends with the last block.
//
// # What it needs of a segment
//
// The columns above at the top level, all required, the last five in data pages
// of version 1, PLAIN, compressed with zstd: what the lake writes. Else Build
// fails with [ErrLayout].
package index
