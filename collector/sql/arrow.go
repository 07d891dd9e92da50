// SPDX-License-Identifier: Apache-2.0

package sql

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/ipc"
)

// Bounds of the batches of an answer in Arrow, in bytes.
const (
	// MaxBatch is what a batch of several rows takes at most: clients of gRPC
	// refuse messages of 4 MiB.
	MaxBatch = 2 << 20
	// MaxRow is what one row takes at most. One that takes more than MaxBatch has
	// a batch of its own; one that takes more than this ends the answer.
	MaxRow = 16 << 20

	maxBatchRows = 64 << 10
	maxSchema    = 1 << 20
)

// TypeNameKey is the key in the metadata of a field under which stands DuckDB's
// name of its type, such as UUID. Flight SQL names it so.
const TypeNameKey = "ARROW:FLIGHT:SQL:TYPE_NAME"

// A Description is what a statement asks for and answers.
type Description struct {
	// Columns are those of the answer. Where they depend on the types of values
	// that parameters will have, it is one column whose type is null.
	Columns *arrow.Schema
	// Parameters are named by their numbers; the type of one that may be any is null.
	Parameters *arrow.Schema
}

// Arrow runs one SELECT over scope, as [Processes.Query] does, and hands the
// answer on in Arrow: it calls schema once and then batch for each batch, which is
// good until that returns. The errors are those of Query. Nothing is called of an
// answer that fails before its first batch is full.
func (p *Processes) Arrow(ctx context.Context, scope Scope, s Statement, schema func(*arrow.Schema) error, batch func(arrow.Record) error) error {
	q := request{Text: s.Text, Parameters: s.Parameters, Form: formArrow}
	return p.ask(ctx, scope, q, func(f *frames) error {
		r, err := ipc.NewReader(f)
		if err != nil {
			return f.because(err)
		}
		defer r.Release()
		if err := schema(r.Schema()); err != nil {
			return err
		}
		for r.Next() {
			if err := batch(r.Record()); err != nil {
				return err
			}
		}
		if err := r.Err(); err != nil {
			return f.because(err)
		}
		return f.end()
	})
}

// because returns why a reader of f failed: what f told it, if that was it.
func (f *frames) because(err error) error {
	if f.err != nil && !errors.Is(f.err, io.EOF) {
		return f.err
	}
	return fmt.Errorf("read answer: %w", err)
}

// Describe says what a SELECT over scope would answer, without running it. The
// errors are those of [Processes.Query].
func (p *Processes) Describe(ctx context.Context, scope Scope, text string) (d Description, err error) {
	err = p.ask(ctx, scope, request{Text: text, Form: formDescription}, func(f *frames) error {
		var sent description
		if err := json.NewDecoder(f).Decode(&sent); err != nil {
			return f.because(err)
		}
		var err error
		if d.Columns, err = readSchema(sent.Columns); err != nil {
			return err
		}
		if d.Parameters, err = readSchema(sent.Parameters); err != nil {
			return err
		}
		return f.end()
	})
	return d, err
}

// A Table is a view that can be asked, with its columns.
type Table struct {
	Name    string
	Columns *arrow.Schema
}

// Tables returns every view, sorted by name. They are the same for all scopes.
func (p *Processes) Tables(ctx context.Context) ([]Table, error) {
	p.described.Lock()
	defer p.described.Unlock()
	if p.tables != nil {
		return p.tables, nil
	}
	var tables []Table
	for _, name := range []string{"evaluations", "events", "operations"} {
		d, err := p.Describe(ctx, Scope{}, "FROM "+name)
		if err != nil {
			return nil, err
		}
		tables = append(tables, Table{name, d.Columns})
	}
	for _, c := range classes {
		tables = append(tables, Table{c.name, tables[1].Columns})
	}
	slices.SortFunc(tables, func(a, b Table) int { return strings.Compare(a.Name, b.Name) })
	p.tables = tables
	return tables, nil
}

// A description is a [Description] between two processes, as Arrow IPC streams.
type description struct {
	Columns    []byte `json:"columns"`
	Parameters []byte `json:"parameters"`
}

func readSchema(b []byte) (*arrow.Schema, error) {
	r, err := ipc.NewReader(bytes.NewReader(b))
	if err != nil {
		return nil, fmt.Errorf("read answer: %w", err)
	}
	defer r.Release()
	return r.Schema(), nil
}

// writeSchema returns a stream that has a schema and no batches.
func writeSchema(s *arrow.Schema) ([]byte, error) {
	var b bytes.Buffer
	if err := ipc.NewWriter(&b, ipc.WithSchema(s)).Close(); err != nil {
		return nil, fmt.Errorf("write answer: %w", err)
	}
	if b.Len() > maxSchema {
		return nil, &StatementError{
			Found: fmt.Sprintf("%d columns whose names and types take %d bytes", s.NumFields(), b.Len()),
			hint:  fmt.Sprintf("select fewer columns, or give them shorter names with AS; %d bytes is the most", maxSchema),
		}
	}
	return b.Bytes(), nil
}

// answerArrow writes everything but the end of an answer in Arrow. What is
// written ends where a batch does, so that an error can follow.
func answerArrow(ctx context.Context, db *DB, s Statement, out io.Writer) error {
	buffered := bufio.NewWriterSize(&framer{out, frameArrow}, maxFrame)
	var w *ipc.Writer
	err := db.Arrow(ctx, s, func(schema *arrow.Schema) error {
		// It is written with the first batch: an error before that is all there is.
		w = ipc.NewWriter(buffered, ipc.WithSchema(schema))
		return nil
	}, func(batch arrow.Record) error {
		if err := w.Write(batch); err != nil {
			return fmt.Errorf("write answer: %w", err)
		}
		return buffered.Flush()
	})
	if err != nil {
		return err
	}
	if err := w.Close(); err != nil {
		return fmt.Errorf("write answer: %w", err)
	}
	return buffered.Flush()
}

// answerDescription writes everything but the end of a description.
func answerDescription(ctx context.Context, db *DB, text string, out io.Writer) error {
	d, err := db.Describe(ctx, text)
	if err != nil {
		return err
	}
	var sent description
	if sent.Columns, err = writeSchema(d.Columns); err != nil {
		return err
	}
	if sent.Parameters, err = writeSchema(d.Parameters); err != nil {
		return err
	}
	b, err := json.Marshal(sent)
	if err != nil {
		return fmt.Errorf("write answer: %w", err)
	}
	_, err = (&framer{out, frameArrow}).Write(b)
	return err
}
