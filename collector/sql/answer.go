// SPDX-License-Identifier: Apache-2.0

package sql

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"time"
)

// A request is what [Processes] ask a process of theirs.
type request struct {
	Scope      Scope
	Text       string
	Parameters []Parameter   `json:",omitempty"`
	Form       string        `json:",omitempty"` // of the answer: formRows, ...
	Memory     int64         // bytes
	CPU        time.Duration // 0 is without a limit
}

// What a process answers with.
const (
	formRows        = ""            // a row in JSON for each
	formArrow       = "arrow"       // an Arrow IPC stream
	formDescription = "description" // a Description, of a statement that is not run
)

// Answer is the other half of [Processes]: it reads one question from in,
// limits this process to what it may take, and writes the answer to out. The
// process is its own from then on, and ends when in does.
func Answer(ctx context.Context, in io.Reader, out io.Writer) error {
	var q request
	if err := json.NewDecoder(in).Decode(&q); err != nil {
		return fmt.Errorf("read question: %w", err)
	}
	go func() {
		// An engine that parses cannot be interrupted, and nobody is there any
		// more to whom it could matter how this ends.
		_, _ = io.Copy(io.Discard, in)
		os.Exit(1)
	}()
	if err := limitSelf(q.Memory, q.CPU); err != nil {
		return err
	}
	if err := answer(ctx, &q, out); err != nil {
		return writeError(out, err, q.Scope.MemoryLimit)
	}
	return writeFrame(out, frameEnd, nil)
}

// answer writes everything but the end of an answer.
func answer(ctx context.Context, q *request, out io.Writer) error {
	q.Scope.Asked = q.Text
	db, err := Open(ctx, q.Scope)
	if err != nil {
		return err
	}
	// Nothing is closed: the end of the process is faster, and safer where
	// memory is at an end.
	switch q.Form {
	case formArrow:
		return answerArrow(ctx, db, Statement{q.Text, q.Parameters}, out)
	case formDescription:
		return answerDescription(ctx, db, q.Text, out)
	}
	rows, err := db.Query(ctx, q.Text)
	if err != nil {
		return err
	}
	names, members, err := encodeNames(rows.Columns())
	if err != nil {
		return err
	}
	if err := writeFrame(out, frameColumns, names); err != nil {
		return err
	}
	var b []byte
	for rows.Next() {
		for i, v := range rows.Values() {
			b = append(append(b, "{,"[min(i, 1)]), members[i]...)
			if b, err = AppendJSON(b, v); err != nil {
				return err
			}
		}
		b = append(b, "}\n"...)
		if len(b) < maxFrame {
			continue
		}
		rest := b
		for ; len(rest) >= maxFrame; rest = rest[maxFrame:] {
			if err := writeFrame(out, frameRows, rest[:maxFrame]); err != nil {
				return err
			}
		}
		b = append(b[:0], rest...)
	}
	// Rows that wait here are no answer yet: if none went before them, the
	// error is the whole of it.
	if err := rows.Err(); err != nil || len(b) == 0 {
		return err
	}
	return writeFrame(out, frameRows, b)
}

// maxNames bounds the names of the columns, which travel in one piece and, in
// an HTTP answer, in a header.
const maxNames = 32 << 10

// encodeNames returns the names of columns as one list, and each as what stands
// before its value in a row.
func encodeNames(columns []Column) (list []byte, members [][]byte, err error) {
	list = append(list, '[')
	for i, c := range columns {
		member, err := AppendJSON(nil, c.Name)
		if err != nil {
			return nil, nil, err
		}
		if i > 0 {
			list = append(list, ',')
		}
		list = append(list, member...)
		members = append(members, append(member, ':'))
	}
	if list = append(list, ']'); len(list) > maxNames {
		return nil, nil, &StatementError{
			Found: fmt.Sprintf("%d columns whose names take %d bytes", len(columns), len(list)),
			hint:  fmt.Sprintf("select fewer columns, or give them shorter names with AS; %d bytes is the most", maxNames),
		}
	}
	return list, members, nil
}
