// SPDX-License-Identifier: Apache-2.0

package flight

import (
	"context"

	"github.com/apache/arrow/go/v17/arrow"

	"github.com/docket-audit/docket/collector/authz"
	"github.com/docket-audit/docket/collector/sql"
)

// A Question is one SELECT, the values of its parameters, and whose events it
// sees.
type Question struct {
	SQL        string
	Parameters []sql.Parameter
	View       authz.View
}

// An Engine answers questions. Its errors are those of [sql.Processes].
type Engine interface {
	// Describe says what a question would answer, without running it.
	Describe(ctx context.Context, q Question) (sql.Description, error)

	// Query calls schema once and then batch for each batch of the answer, which
	// is good until that returns. An error of either is its own.
	Query(ctx context.Context, q Question, schema func(*arrow.Schema) error, batch func(arrow.Record) error) error

	// Tables returns the views that can be asked, sorted by name.
	Tables(ctx context.Context) ([]sql.Table, error)
}

// SQL returns an [Engine] of processes. For each question it asks scope what may be
// seen at that moment; done is called when the answer has ended, and until then
// the files of the scope must stay.
func SQL(processes *sql.Processes, scope func(Question) (s sql.Scope, done func(), err error)) Engine {
	return engine{processes, scope}
}

type engine struct {
	processes *sql.Processes
	scope     func(Question) (sql.Scope, func(), error)
}

func (e engine) Describe(ctx context.Context, q Question) (sql.Description, error) {
	s, done, err := e.scope(q)
	if err != nil {
		return sql.Description{}, err
	}
	defer done()
	return e.processes.Describe(ctx, s, q.SQL)
}

func (e engine) Query(ctx context.Context, q Question, schema func(*arrow.Schema) error, batch func(arrow.Record) error) error {
	s, done, err := e.scope(q)
	if err != nil {
		return err
	}
	defer done()
	return e.processes.Arrow(ctx, s, sql.Statement{Text: q.SQL, Parameters: q.Parameters}, schema, batch)
}

func (e engine) Tables(ctx context.Context) ([]sql.Table, error) { return e.processes.Tables(ctx) }
