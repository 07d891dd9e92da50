// SPDX-License-Identifier: Apache-2.0

package serve

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"
)

// ColumnsHeader is the HTTP header that names a query's columns, as a JSON
// array: an answer without rows has columns too.
const ColumnsHeader = "Docket-Columns"

const (
	maxBody    = 512 << 10 // the longest query that is run, every character escaped
	maxColumns = 48 << 10  // bytes of ColumnsHeader; clients refuse headers that are much longer
)

// A Question is one SELECT, and over what.
type Question struct {
	SQL string `json:"sql"`
	// Tenants, if there are any, are those whose events are seen.
	Tenants []string `json:"tenants,omitempty"`
	// Filter is CEL over columns: the events that are seen are those that it
	// selects, in all views.
	Filter string `json:"filter,omitempty"`
	// At is the number of a commit: what is seen is the store as it was then, less
	// what has been deleted since; 0 is now.
	At uint64 `json:"at,omitempty"`
}

func (s *Server) query(w http.ResponseWriter, r *http.Request) {
	if s.cfg.Query == nil {
		err := s.cfg.Unsupported
		if err == nil {
			err = ErrUnsupported
		}
		writeError(w, fmt.Errorf("%w: %w", ErrUnsupported, err))
		return
	}
	q, err := readQuery(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		writeError(w, err)
		return
	}
	rows := &rowWriter{w: w, out: http.NewResponseController(w), stall: s.cfg.Stall}
	err = s.cfg.Query(r.Context(), q, func(columns []string) error {
		list, err := json.Marshal(columns)
		if err != nil {
			return err
		}
		if len(list) > maxColumns {
			return fmt.Errorf("%w: %d columns whose names take %d bytes; select fewer", ErrInvalid, len(columns), len(list))
		}
		w.Header().Set("Content-Type", "application/x-ndjson")
		w.Header().Set(ColumnsHeader, string(list))
		w.Header().Set("Trailer", ErrorTrailer)
		return nil
	}, rows)
	if rows.stall > 0 {
		_ = rows.out.SetWriteDeadline(time.Time{}) // the connection may be used again
	}
	switch {
	case err != nil && !rows.begun:
		w.Header().Del(ColumnsHeader)
		w.Header().Del("Trailer")
		writeError(w, err)
	case err != nil:
		fail(w, err)
	}
}

// readQuery reads a question and nothing else.
func readQuery(body io.Reader) (Question, error) {
	var q Question
	dec := json.NewDecoder(body)
	dec.DisallowUnknownFields()
	err := dec.Decode(&q)
	if err == nil {
		if _, err = dec.Token(); err == nil {
			err = errors.New("something follows the object")
		}
	}
	if errors.Is(err, io.EOF) {
		if err = nil; q.SQL == "" {
			err = errors.New("no SQL is in it")
		}
	}
	if err != nil {
		return q, fmt.Errorf("%w: the body is not {\"sql\": \"...\"}: %w", ErrInvalid, err)
	}
	return q, nil
}

// A rowWriter sends rows, and fails when they are not taken for too long: the
// process that makes them is one of few.
type rowWriter struct {
	w     io.Writer
	out   *http.ResponseController
	stall time.Duration
	begun bool
}

func (r *rowWriter) Write(b []byte) (int, error) {
	r.begun = true
	if r.stall > 0 {
		_ = r.out.SetWriteDeadline(time.Now().Add(r.stall)) // where there is a connection
	}
	return r.w.Write(b)
}
