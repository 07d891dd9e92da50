// SPDX-License-Identifier: Apache-2.0

package lake

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/apache/arrow/go/v17/parquet"
	"github.com/apache/arrow/go/v17/parquet/compress"

	"github.com/docket-audit/docket/collector/store"
)

const (
	segmentSuffix = ".parquet"

	// A row group is held in memory whole while it is written: at 1.6 KB an
	// event this is about 80 MB.
	rowGroupRows = 50_000
	// Rows are read so many at a time.
	recordRows = 4096
	// Rows go to the writer so many at a time, as it would take them of more.
	flushRows = 1024
)

var (
	writerProperties = parquet.NewWriterProperties(baseProperties()...)
	publicProperties = parquet.NewWriterProperties(publicBaseProperties()...)
)

// publicBaseProperties are those of public files. Of the nested columns, in which payloads
// are, there are no minima either.
func publicBaseProperties() []parquet.WriterProperty {
	props := append(baseProperties(), parquet.WithStats(false))
	for _, f := range schema.Fields() {
		props = append(props, parquet.WithStatsFor(f.Name, f.Name != ColumnRaw && f.Name != "message"))
	}
	return append(props, parquet.WithStatsFor(ColumnTimeDT, true))
}

func baseProperties() []parquet.WriterProperty {
	props := []parquet.WriterProperty{
		parquet.WithCompression(compress.Codecs.Zstd), parquet.WithCompressionLevel(segmentLevel),
		parquet.WithMaxRowGroupLength(rowGroupRows),
		parquet.WithDictionaryDefault(false),
		parquet.WithCreatedBy("docket"),
		// The minimum of a column of payloads is a payload: of no use to a
		// reader, and in the wrong place for those who erase.
		parquet.WithStatsFor(ColumnRaw, false),
		parquet.WithStatsFor("message", false),
	}
	for name := range repeating {
		props = append(props, parquet.WithDictionaryFor(name, true))
	}
	return props
}

// encodeSegment returns entries as one Parquet file and what it can tell of it;
// the path is the caller's to set. The file is made in memory, since this Arrow
// panics when what it writes to fails, and so that what fails here is due to
// the entries and never to a disk.
//
// The bytes are in r: they are gone with the next file.
func encodeSegment(entries []store.Entry, r *room) (b []byte, f File, err error) {
	r.file.Reset()
	if err := writeParquet(&r.file, entries, r); err != nil {
		return nil, File{}, err
	}
	f = describe(entries)
	sum := sha256.Sum256(r.file.b)
	f.SHA256, f.Bytes = hex.EncodeToString(sum[:]), int64(len(r.file.b))
	return r.file.b, f, nil
}

func writeParquet(w io.Writer, entries []store.Entry, r *room) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("write segment: %v", r)
		}
	}()
	t, err := newTable(w, schema, writerProperties, r)
	if err != nil {
		return fmt.Errorf("write segment: %w", err)
	}
	for batch := range slices.Chunk(entries, flushRows) {
		for i := range batch {
			if err := t.add(&batch[i]); err != nil {
				return err
			}
			if err := t.next(); err != nil {
				return fmt.Errorf("write segment: %w", err)
			}
		}
		if err := t.flush(); err != nil {
			return fmt.Errorf("write segment: %w", err)
		}
	}
	if err := t.close(); err != nil {
		return fmt.Errorf("write segment: %w", err)
	}
	return nil
}

// describe tells of a segment with entries what lets a reader pass over it.
func describe(entries []store.Entry) File {
	f := File{Epochs: make(map[string]store.Interval)}
	for i := range entries {
		f.describe(&entries[i])
	}
	return f
}

// describe adds a row to what f tells of its rows.
func (f *File) describe(e *store.Entry) {
	h := &e.Header
	if f.Rows == 0 {
		f.FirstCommit, f.LastCommit, f.MinTime, f.MaxTime = e.Commit, e.Commit, h.Time, h.Time
		f.Epochs = make(map[string]store.Interval)
	}
	f.Rows++
	f.FirstCommit, f.LastCommit = min(f.FirstCommit, e.Commit), max(f.LastCommit, e.Commit)
	f.MinTime, f.MaxTime = min(f.MinTime, h.Time), max(f.MaxTime, h.Time)
	widen(&f.MinEvent, &f.MaxEvent, h.MetadataUID)
	widen(&f.MinOperation, &f.MaxOperation, h.OperationUID)
	iv, ok := f.Epochs[h.Epoch]
	if !ok {
		iv = store.Interval{First: h.Sequence, Last: h.Sequence}
	}
	f.Epochs[h.Epoch] = store.Interval{First: min(iv.First, h.Sequence), Last: max(iv.Last, h.Sequence)}
}

// own makes the texts of f its own, where those of the headers are not for keeping.
func (f *File) own() {
	for _, text := range []*string{&f.MinEvent, &f.MaxEvent, &f.MinOperation, &f.MaxOperation} {
		*text = strings.Clone(*text)
	}
	epochs := make(map[string]store.Interval, len(f.Epochs))
	for epoch, iv := range f.Epochs {
		epochs[strings.Clone(epoch)] = iv
	}
	f.Epochs = epochs
}

func widen(lo, hi *string, v string) {
	if v == "" {
		return
	}
	if *hi == "" || v < *lo {
		*lo = v
	}
	if v > *hi {
		*hi = v
	}
}

// Describe makes of the rows of a segment what its [File] must say beside path,
// size and digest.
func Describe(entries []store.Entry) File { return describe(entries) }
