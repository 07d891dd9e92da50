// SPDX-License-Identifier: Apache-2.0

package flight

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/flight"
	"github.com/apache/arrow/go/v17/arrow/flight/flightsql"
	"github.com/apache/arrow/go/v17/arrow/memory"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	pb "github.com/apache/arrow/go/v17/arrow/flight/gen/flight"

	"github.com/docket-audit/docket/collector/authz"
	"github.com/docket-audit/docket/collector/sql"
)

// A server is what the calls of Flight SQL mean. Those that it leaves to
// BaseServer are not implemented.
type server struct {
	flightsql.BaseServer

	door    *Door
	engine  Engine
	tickets *sealer
	handles *handles
	running running
}

func newServer(d *Door) (*server, error) {
	tickets, err := newSealer(d.cfg.Now)
	if err != nil {
		return nil, err
	}
	s := &server{
		door: d, engine: d.cfg.Engine, tickets: tickets,
		handles: &handles{limits: d.cfg.Statements.withDefaults(), now: d.cfg.Now, all: map[string]*prepared{}},
		running: running{cancels: map[[32]byte]map[*context.CancelCauseFunc]bool{}},
	}
	s.Alloc = memory.DefaultAllocator // before calls are, which would set it
	return s, s.registerInfo(d.cfg.Version)
}

// question is what the caller of ctx asks.
func question(ctx context.Context, text string, parameters []sql.Parameter) (Question, error) {
	view, err := authz.FromContext(ctx).View(nil, nil)
	return Question{text, parameters, view}, err
}

var errTransaction = status.Error(codes.Unimplemented, "there are no transactions: a query sees the store as it is when it begins")

func (s *server) describe(ctx context.Context, query flightsql.StatementQuery) (sql.Description, error) {
	if len(query.GetTransactionId()) > 0 {
		return sql.Description{}, errTransaction
	}
	text := query.GetQuery()
	noted(ctx).sql.Store(&text)
	q, err := question(ctx, text, nil)
	if err != nil {
		return sql.Description{}, err
	}
	return s.engine.Describe(ctx, q)
}

// info says how an answer is got.
func info(desc *flight.FlightDescriptor, schema *arrow.Schema, ticket []byte) *flight.FlightInfo {
	i := &flight.FlightInfo{
		FlightDescriptor: desc, TotalRecords: -1, TotalBytes: -1,
		Endpoint: []*flight.FlightEndpoint{{Ticket: &flight.Ticket{Ticket: ticket}}},
	}
	if schema != nil {
		i.Schema = flight.SerializeSchema(schema, memory.DefaultAllocator)
	}
	return i
}

func schemaResult(schema *arrow.Schema) *flight.SchemaResult {
	return &flight.SchemaResult{Schema: flight.SerializeSchema(schema, memory.DefaultAllocator)}
}

// GetFlightInfoStatement gives a ticket for a query.
func (s *server) GetFlightInfoStatement(ctx context.Context, cmd flightsql.StatementQuery, desc *flight.FlightDescriptor) (*flight.FlightInfo, error) {
	d, err := s.describe(ctx, cmd)
	if err != nil {
		return nil, err
	}
	if n := d.Parameters.NumFields(); n > 0 {
		return nil, status.Errorf(codes.InvalidArgument, "the query takes %d parameters; prepare it, and bind values to them", n)
	}
	ticket, err := flightsql.CreateStatementQueryTicket(s.tickets.seal(authz.FromContext(ctx), cmd.GetQuery()))
	if err != nil {
		return nil, err
	}
	return info(desc, d.Columns, ticket), nil
}

// GetSchemaStatement says what a query would answer.
func (s *server) GetSchemaStatement(ctx context.Context, cmd flightsql.StatementQuery, _ *flight.FlightDescriptor) (*flight.SchemaResult, error) {
	d, err := s.describe(ctx, cmd)
	if err != nil {
		return nil, err
	}
	return schemaResult(d.Columns), nil
}

// DoGetStatement runs the query of a ticket.
func (s *server) DoGetStatement(ctx context.Context, cmd flightsql.StatementQueryTicket) (*arrow.Schema, <-chan flight.StreamChunk, error) {
	text, err := s.tickets.open(authz.FromContext(ctx), cmd.GetStatementHandle())
	if err != nil {
		return nil, nil, err
	}
	return s.run(ctx, cmd.GetStatementHandle(), text, nil)
}

// CreatePreparedStatement keeps a query, and says what it takes and would answer.
func (s *server) CreatePreparedStatement(ctx context.Context, req flightsql.ActionCreatePreparedStatementRequest) (out flightsql.ActionCreatePreparedStatementResult, err error) {
	d, err := s.describe(ctx, req)
	if err != nil {
		return out, s.door.status(ctx, err)
	}
	handle, err := s.handles.create(prepared{
		caller: caller(authz.FromContext(ctx)), sql: req.GetQuery(), columns: d.Columns, takes: d.Parameters.NumFields(),
	})
	if err != nil {
		return out, err
	}
	return flightsql.ActionCreatePreparedStatementResult{Handle: []byte(handle), DatasetSchema: d.Columns, ParameterSchema: d.Parameters}, nil
}

// ClosePreparedStatement forgets one.
func (s *server) ClosePreparedStatement(ctx context.Context, req flightsql.ActionClosePreparedStatementRequest) error {
	s.handles.close(authz.FromContext(ctx), req.GetPreparedStatementHandle())
	return nil
}

// DoPutPreparedStatementQuery binds one row of values to a statement.
func (s *server) DoPutPreparedStatementQuery(ctx context.Context, cmd flightsql.PreparedStatementQuery, r flight.MessageReader, _ flight.MetadataWriter) ([]byte, error) {
	var parameters []sql.Parameter
	for rows := 0; r.Next(); {
		record := r.Record()
		if record.NumRows() == 0 {
			continue
		}
		if rows++; rows > 1 {
			return nil, status.Error(codes.InvalidArgument, "several rows of parameters; bind one and execute the statement, for each")
		}
		var err error
		if parameters, err = sql.Parameters(record); err != nil {
			return nil, err
		}
	}
	if err := r.Err(); err != nil {
		return nil, status.Errorf(codes.InvalidArgument, "read parameters: %v", err)
	}
	return cmd.GetPreparedStatementHandle(), s.handles.use(authz.FromContext(ctx), cmd.GetPreparedStatementHandle(), func(p *prepared) error {
		if len(parameters) != p.takes {
			return status.Errorf(codes.InvalidArgument, "the statement takes %d parameters, and %d values were sent", p.takes, len(parameters))
		}
		p.parameters = parameters
		return nil
	})
}

// GetFlightInfoPreparedStatement gives a ticket for a statement. What a statement
// answers may depend on the types of what is bound to it, and then comes with the
// answer.
func (s *server) GetFlightInfoPreparedStatement(ctx context.Context, cmd flightsql.PreparedStatementQuery, desc *flight.FlightDescriptor) (*flight.FlightInfo, error) {
	p, err := s.handles.get(authz.FromContext(ctx), cmd.GetPreparedStatementHandle())
	if err != nil {
		return nil, err
	}
	if p.takes > 0 {
		p.columns = nil
	}
	return info(desc, p.columns, desc.GetCmd()), nil
}

// GetSchemaPreparedStatement says what a statement would answer.
func (s *server) GetSchemaPreparedStatement(ctx context.Context, cmd flightsql.PreparedStatementQuery, _ *flight.FlightDescriptor) (*flight.SchemaResult, error) {
	var columns *arrow.Schema
	err := s.handles.use(authz.FromContext(ctx), cmd.GetPreparedStatementHandle(), func(p *prepared) error {
		columns = p.columns
		return nil
	})
	if err != nil {
		return nil, err
	}
	return schemaResult(columns), nil
}

// DoGetPreparedStatement runs a statement with what is bound to it.
func (s *server) DoGetPreparedStatement(ctx context.Context, cmd flightsql.PreparedStatementQuery) (*arrow.Schema, <-chan flight.StreamChunk, error) {
	p, err := s.handles.get(authz.FromContext(ctx), cmd.GetPreparedStatementHandle())
	if err != nil {
		return nil, nil, err
	}
	return s.run(ctx, cmd.GetPreparedStatementHandle(), p.sql, p.parameters)
}

// run begins an answer, and returns when there is one: until then an error is all
// that the caller gets. handle is what it can be cancelled by.
func (s *server) run(ctx context.Context, handle []byte, text string, parameters []sql.Parameter) (*arrow.Schema, <-chan flight.StreamChunk, error) {
	q, err := question(ctx, text, parameters)
	if err != nil {
		return nil, nil, err
	}
	c := noted(ctx)
	c.sql.Store(&text)
	type beginning struct {
		schema *arrow.Schema
		err    error
	}
	begun, chunks := make(chan beginning, 1), make(chan flight.StreamChunk)
	s.door.work.Go(func() {
		defer close(chunks)
		running, cancel := context.WithCancelCause(ctx)
		defer cancel(nil)
		defer s.running.add(authz.FromContext(ctx), handle, &cancel)()
		started := false
		err := s.engine.Query(running, q, func(schema *arrow.Schema) error {
			started = true
			begun <- beginning{schema: schema}
			return nil
		}, func(batch arrow.Record) error {
			batch.Retain() // it is released by who sends it
			rows := batch.NumRows()
			if err := s.send(running, chunks, flight.StreamChunk{Data: batch}); err != nil {
				return err
			}
			c.rows.Add(rows)
			return nil
		})
		if err == nil && !started {
			err = errors.New("the engine has not answered")
		}
		switch {
		case err == nil:
		case !started:
			begun <- beginning{err: s.door.status(ctx, err)}
		default:
			_ = s.send(ctx, chunks, flight.StreamChunk{Err: s.door.status(ctx, err)}) // or nobody is there
		}
	})
	b := <-begun
	return b.schema, chunks, b.err
}

// send hands a chunk to who sends it to the caller, and ends the stream when the
// one before it is not taken for too long: what makes the rows is one of few.
func (s *server) send(ctx context.Context, chunks chan<- flight.StreamChunk, c flight.StreamChunk) error {
	var long <-chan time.Time
	if s.door.cfg.Stall > 0 {
		timer := time.NewTimer(s.door.cfg.Stall)
		defer timer.Stop()
		long = timer.C
	}
	var err error
	select {
	case chunks <- c:
		return nil
	case <-ctx.Done():
		err = context.Cause(ctx)
	case <-long:
		err = errStalled
		abortStream(ctx, err)
	}
	if c.Data != nil {
		c.Data.Release()
	}
	return err
}

// running are the answers under way, by who asked and the handle of what.
type running struct {
	mu      sync.Mutex
	cancels map[[32]byte]map[*context.CancelCauseFunc]bool // guarded by mu
}

func runningKey(g *authz.Grant, handle []byte) [32]byte {
	return sha256.Sum256(fmt.Appendf(nil, "%q %q", caller(g), handle))
}

func (r *running) add(g *authz.Grant, handle []byte, cancel *context.CancelCauseFunc) (remove func()) {
	key := runningKey(g, handle)
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.cancels[key] == nil {
		r.cancels[key] = map[*context.CancelCauseFunc]bool{}
	}
	r.cancels[key][cancel] = true
	return func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		if delete(r.cancels[key], cancel); len(r.cancels[key]) == 0 {
			delete(r.cancels, key)
		}
	}
}

// cancel ends what runs of a handle, and reports whether anything did.
func (r *running) cancel(g *authz.Grant, handle []byte) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := r.cancels[runningKey(g, handle)]
	for cancel := range all {
		(*cancel)(errCanceled)
	}
	return len(all) > 0
}

// CancelFlightInfo ends the answers to the tickets of a FlightInfo, of the caller
// who cancels.
func (s *server) CancelFlightInfo(ctx context.Context, req *flight.CancelFlightInfoRequest) (flight.CancelFlightInfoResult, error) {
	became := flight.CancelStatusNotCancellable
	for _, endpoint := range req.GetInfo().GetEndpoint() {
		handle, err := handleOf(endpoint.GetTicket().GetTicket())
		if err != nil {
			return flight.CancelFlightInfoResult{}, err
		}
		if s.running.cancel(authz.FromContext(ctx), handle) {
			became = flight.CancelStatusCancelled
		}
	}
	return flight.CancelFlightInfoResult{Status: became}, nil
}

// handleOf returns the handle of a query or a statement in a ticket.
func handleOf(ticket []byte) ([]byte, error) {
	var command anypb.Any
	if err := proto.Unmarshal(ticket, &command); err != nil {
		return nil, status.Error(codes.InvalidArgument, "no ticket of this server")
	}
	message, err := command.UnmarshalNew()
	if err != nil {
		return nil, status.Error(codes.InvalidArgument, "no ticket of this server")
	}
	switch m := message.(type) {
	case *pb.TicketStatementQuery:
		return m.GetStatementHandle(), nil
	case *pb.CommandPreparedStatementQuery:
		return m.GetPreparedStatementHandle(), nil
	}
	return nil, nil // catalogs, say, which are there at once
}
