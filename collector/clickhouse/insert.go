// SPDX-License-Identifier: Apache-2.0

package clickhouse

import (
	"context"
	"crypto/sha256"
	"fmt"
	"reflect"
	"strings"

	"github.com/docket-audit/docket/collector/store"
	"github.com/docket-audit/docket/internal/profile"
)

// headerFields maps columns of events to the fields of [profile.Header]. The
// header's json tags are the names: there is no second list that could differ.
var headerFields = reflect.VisibleFields(reflect.TypeFor[profile.Header]())

func columnName(f reflect.StructField) string {
	name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
	return name
}

// headerNames are the names of those columns.
var headerNames = func() (names []string) {
	for _, f := range headerFields {
		names = append(names, columnName(f))
	}
	return names
}()

// headerColumns returns what entries have in the columns of the header.
func headerColumns(entries []store.Entry) []column {
	columns := make([]column, 0, len(headerFields)+6)
	for _, f := range headerFields {
		c := column{name: columnName(f)}
		field := func(i int) reflect.Value { return reflect.ValueOf(&entries[i].Header).Elem().FieldByIndex(f.Index) }
		switch f.Type.Kind() {
		case reflect.String:
			c.typ, c.values = "String", collect(len(entries), func(i int) string { return field(i).String() })
		case reflect.Int64:
			c.typ, c.values = "Int64", collect(len(entries), func(i int) int64 { return field(i).Int() })
		case reflect.Int32:
			c.typ, c.values = "Int32", collect(len(entries), func(i int) int32 { return int32(field(i).Int()) })
		case reflect.Bool:
			c.typ, c.values = "Bool", collect(len(entries), func(i int) bool { return field(i).Bool() })
		default:
			// The header is a type of ours, so this is seen when a test first runs.
			panic("clickhouse: no column type for " + f.Type.String())
		}
		columns = append(columns, c)
	}
	return columns
}

// collect makes a slice of what of returns for each index.
func collect[T any](n int, of func(i int) T) []T {
	out := make([]T, n)
	for i := range out {
		out[i] = of(i)
	}
	return out
}

// same makes a slice of one value.
func same[T any](n int, v T) []T { return collect(n, func(int) T { return v }) }

func (s *server) putEvents(ctx context.Context, at place, token string, entries []store.Entry) error {
	n := len(entries)
	columns := append(headerColumns(entries),
		column{"_raw", "String", collect(n, func(i int) []byte { return entries[i].Raw })},
		column{"_stored_time", "Int64", collect(n, func(i int) int64 { return entries[i].StoredTime.UnixMilli() })},
		column{"_stream_seq", "Int64", collect(n, func(i int) int64 { return int64(entries[i].StreamSeq) })},
		column{"_commit", "Int64", same(n, int64(at.number))},
		column{"_pos", "Int32", collect(n, func(i int) int32 { return int32(entries[i].Pos) })},
		column{"_writer", "Int64", same(n, at.writer)})
	return s.insert(ctx, "docket_events", token, columns)
}

// own is a token of an insert that nobody else can make.
func (at place) own() string { return fmt.Sprintf("%d.w%d", at.number, at.writer) }

func (s *server) putStubs(ctx context.Context, at place, entries []store.Entry) error {
	n := len(entries)
	prints := make([]string, n)
	for i := range entries {
		b, err := fingerprint(&entries[i].Header)
		if err != nil {
			return err
		}
		prints[i] = string(b)
	}
	header := func(of func(h *profile.Header) string) []string {
		return collect(n, func(i int) string { return of(&entries[i].Header) })
	}
	return s.insert(ctx, "docket_stubs", at.own(), []column{
		{"epoch", "String", header(func(h *profile.Header) string { return h.Epoch })},
		{"sequence", "Int64", collect(n, func(i int) int64 { return entries[i].Header.Sequence })},
		{"fingerprint", "FixedString(32)", prints},
		{"kind", "String", header(func(h *profile.Header) string { return h.Kind })},
		{"tenant", "String", header(func(h *profile.Header) string { return h.Tenant })},
		{"class_uid", "Int32", collect(n, func(i int) int32 { return entries[i].Header.ClassUID })},
		{"time", "Int64", collect(n, func(i int) int64 { return entries[i].Header.Time })},
		{"uid", "String", header(foreign)},
		{"day", "String", header(func(h *profile.Header) string { return Day(h.Time) })},
		{"_commit", "Int64", same(n, int64(at.number))},
		{"_pos", "Int32", collect(n, func(i int) int32 { return int32(entries[i].Pos) })},
		{"_writer", "Int64", same(n, at.writer)},
	})
}

// foreign returns the uid of an event of another producer, "" of one of ours. Who
// ingests a file again knows by it what left.
func foreign(h *profile.Header) string {
	if h.Kind != profile.KindForeign {
		return ""
	}
	return h.MetadataUID
}

func (s *server) putHeld(ctx context.Context, at place, ms int64, messages []store.Quarantined) error {
	n := len(messages)
	return s.insert(ctx, "docket_quarantine", at.own(), []column{
		{"subject", "String", collect(n, func(i int) string { return messages[i].Subject })},
		{"headers", "Map(String, Array(String))", collect(n, func(i int) map[string][]string { return messages[i].Headers })},
		{"data", "String", collect(n, func(i int) []byte { return messages[i].Data })},
		{"digest", "FixedString(32)", collect(n, func(i int) string { return digestOf(messages[i].Data) })},
		{"reason", "String", collect(n, func(i int) string { return messages[i].Reason })},
		{"epoch", "String", collect(n, func(i int) string { return messages[i].Epoch })},
		{"sequence", "Int64", collect(n, func(i int) int64 { return messages[i].Sequence })},
		{"_stored_time", "Int64", same(n, ms)},
		{"_stream_seq", "Int64", collect(n, func(i int) int64 { return int64(messages[i].StreamSeq) })},
		{"_commit", "Int64", same(n, int64(at.number))},
		{"_index", "Int32", collect(n, func(i int) int32 { return int32(i + 1) })},
		{"_writer", "Int64", same(n, at.writer)},
	})
}

// digestOf returns the 32 bytes of the SHA-256 of data.
func digestOf(data []byte) string {
	sum := sha256.Sum256(data)
	return string(sum[:])
}

func (s *server) putPrepared(ctx context.Context, at place, st *Statement, raw []byte, bytes int64) error {
	return s.insert(ctx, "docket_prepared", at.own(), []column{
		{"number", "Int64", []int64{int64(at.number)}},
		{"writer", "Int64", []int64{at.writer}},
		{"time", "Int64", []int64{st.Time}},
		{"events", "Int64", []int64{st.Events()}},
		{"bytes", "Int64", []int64{bytes}},
		{"quarantined", "Int64", []int64{st.Quarantined}},
		{"fence", "Int64", []int64{int64(st.Fence)}},
		{"stream_seq", "Int64", []int64{int64(st.StreamSeq)}},
		{"digest", "String", []string{Digest(raw)}},
		{"statement", "String", [][]byte{raw}},
	})
}

func (s *server) putCommit(ctx context.Context, at place, token string, rows int64) error {
	const columns = "number, writer, time, events, bytes, quarantined, fence, stream_seq, digest, statement"
	whose := fmt.Sprintf("_writer = %d", at.writer)
	if rows == 0 {
		whose = "true" // nobody's rows may be there, or that number is for those
	}
	return s.exec(ctx, s.inserting(token), fmt.Sprintf(
		"INSERT INTO docket_commits (%s) SELECT %s FROM docket_prepared WHERE number = %d AND writer = %d"+
			" AND (SELECT max(number) FROM docket_commits) = %d"+
			" AND (SELECT count() FROM docket_events WHERE _commit = %d AND %s) = %d LIMIT 1",
		columns, columns, at.number, at.writer, at.number-1, at.number, whose, rows))
}

func (s *server) putGeneration(ctx context.Context, after int64, uid, token string) error {
	return s.exec(ctx, s.inserting(token), fmt.Sprintf(
		"INSERT INTO docket_writers (generation, uid, opened) SELECT %d, %s, now64(3) WHERE (SELECT max(generation) FROM docket_writers) = %d",
		after+1, text(uid), after))
}

func (s *server) putSnapshot(ctx context.Context, number uint64, digest string, raw []byte) error {
	return s.insert(ctx, "docket_snapshots", digest, []column{
		{"number", "Int64", []int64{int64(number)}},
		{"digest", "String", []string{digest}},
		{"state", "String", [][]byte{raw}},
	})
}
