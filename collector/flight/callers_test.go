// SPDX-License-Identifier: Apache-2.0

//go:build cgo

package flight

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"
	"github.com/apache/arrow/go/v17/arrow/flight"
	"github.com/apache/arrow/go/v17/arrow/flight/flightsql"
	pb "github.com/apache/arrow/go/v17/arrow/flight/gen/flight"
	"github.com/apache/arrow/go/v17/arrow/memory"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/docket-audit/docket/collector/sql"
)

// Who may not is told so by each call, and no secret.
func TestWhoMay(t *testing.T) {
	h := newHouse(t, sql.Limits{}, nil)
	c := h.client()
	info, err := c.Execute(as(t.Context(), "acme"), "SELECT 1")
	if err != nil {
		t.Fatal(err)
	}
	packed, err := anypb.New(&pb.CommandStatementUpdate{Query: "SELECT 1"})
	if err != nil {
		t.Fatal(err)
	}
	command, err := proto.Marshal(packed)
	if err != nil {
		t.Fatal(err)
	}
	calls := map[string]func(ctx context.Context) error{
		"Execute":    func(ctx context.Context) error { _, err := c.Execute(ctx, "SELECT 1"); return err },
		"DoGet":      func(ctx context.Context) error { _, err := c.DoGet(ctx, info.Endpoint[0].Ticket); return err },
		"Prepare":    func(ctx context.Context) error { _, err := c.Prepare(ctx, "SELECT 1"); return err },
		"GetTables":  func(ctx context.Context) error { _, err := c.GetTables(ctx, &flightsql.GetTablesOpts{}); return err },
		"GetSqlInfo": func(ctx context.Context) error { _, err := c.GetSqlInfo(ctx, nil); return err },
		// Not ExecuteUpdate: where the refusal is there before all is sent, it has io.EOF.
		"Update": func(ctx context.Context) error {
			s, err := c.Client.DoPut(ctx)
			if err != nil {
				return err
			}
			if err := s.Send(&flight.FlightData{FlightDescriptor: &flight.FlightDescriptor{Type: flight.DescriptorCMD, Cmd: command}}); err != nil && !errors.Is(err, io.EOF) {
				return err
			}
			_, err = s.Recv()
			return err
		},
		"Cancel": func(ctx context.Context) error {
			_, err := c.CancelFlightInfo(ctx, &flight.CancelFlightInfoRequest{Info: info})
			return err
		},
		"Handshake": func(ctx context.Context) error {
			s, err := c.Client.Handshake(ctx)
			if err != nil {
				return err
			}
			_, err = s.Recv()
			return err
		},
		"ListFlights": func(ctx context.Context) error {
			s, err := c.Client.ListFlights(ctx, &flight.Criteria{})
			if err != nil {
				return err
			}
			_, err = s.Recv()
			return err
		},
		"DoExchange": func(ctx context.Context) error {
			s, err := c.Client.DoExchange(ctx)
			if err != nil {
				return err
			}
			_, err = s.Recv()
			return err
		},
	}
	for name, call := range calls {
		wantCode(t, name+" without a token", call(t.Context()), codes.Unauthenticated, "no token that is known")
		wantCode(t, name+" with another's", call(as(t.Context(), "forged")), codes.Unauthenticated, "")
		wantCode(t, name+" without sql", call(as(t.Context(), "reader")), codes.PermissionDenied, "sql")
		err := call(as(t.Context(), "broken"))
		if wantCode(t, name+" where it fails", err, codes.Unauthenticated, ""); strings.Contains(err.Error(), "secret") {
			t.Errorf("%s tells %v", name, err)
		}
	}
}

// A ticket and a handle are their caller's, and good for a while.
func TestTicketsAndHandles(t *testing.T) {
	h := newHouse(t, sql.Limits{}, nil)
	c, acme, globex := h.client(), as(t.Context(), "acme"), as(t.Context(), "globex")
	info, err := c.Execute(acme, "SELECT 'acme''s question' AS q")
	if err != nil {
		t.Fatal(err)
	}
	ticket := info.Endpoint[0].Ticket
	if bytes.Contains(ticket.Ticket, []byte("question")) {
		t.Error("the ticket is not sealed")
	}
	again := func(ctx context.Context) error { _, err := got(ctx, c, info, nil); return err }
	if err := errors.Join(again(acme), again(acme)); err != nil {
		t.Error(err)
	}
	wantCode(t, "another's ticket", again(globex), codes.NotFound, "another caller's")
	_, err = c.CancelFlightInfo(globex, &flight.CancelFlightInfoRequest{Info: info})
	wantCode(t, "another's cancel", err, codes.OK, "")
	sealed, err := handleOf(ticket.Ticket)
	if err != nil {
		t.Fatal(err)
	}
	for i := range sealed {
		changed := bytes.Clone(sealed)
		changed[i] ^= 1
		ticket, err := flightsql.CreateStatementQueryTicket(changed)
		if err != nil {
			t.Fatal(err)
		}
		_, err = c.DoGet(acme, &flight.Ticket{Ticket: ticket})
		wantCode(t, fmt.Sprintf("byte %d changed", i), err, codes.NotFound, "no such ticket")
	}
	p, err := c.Prepare(acme, "SELECT ?::VARCHAR AS q")
	if err != nil {
		t.Fatal(err)
	}
	theirs := func(ctx context.Context) error {
		info, err := p.Execute(ctx)
		_, err = got(ctx, c, info, err)
		return err
	}
	wantCode(t, "without a value", theirs(acme), codes.InvalidArgument, "takes 1")
	p.SetParameters(values(t, "mine"))
	if err := theirs(acme); err != nil {
		t.Error(err)
	}
	wantCode(t, "another's statement", theirs(globex), codes.NotFound, "no such")
	same, err := c.LoadPreparedStatementFromResult(&flightsql.CreatePreparedStatementResult{PreparedStatementHandle: p.Handle()})
	if err != nil {
		t.Fatal(err)
	}
	if err := same.Close(globex); err != nil { // it is not known there
		t.Error(err)
	}
	if err := theirs(acme); err != nil {
		t.Errorf("another has closed it: %v", err)
	}
	h.clock.Add(9 * 60)
	if err := theirs(acme); err != nil {
		t.Error(err)
	}
	h.clock.Add(9 * 60)
	if err := theirs(acme); err != nil {
		t.Errorf("9 minutes after it was used: %v", err)
	}
	h.clock.Add(11 * 60)
	wantCode(t, "an old statement", theirs(acme), codes.NotFound, "no such")
	if err := again(acme); err != nil {
		t.Errorf("a ticket within its hour: %v", err)
	}
	h.clock.Add(31 * 60)
	wantCode(t, "an old ticket", again(acme), codes.NotFound, "expired")
}

// values makes a row of texts.
func values(t *testing.T, texts ...string) arrow.Record {
	t.Helper()
	fields, columns := make([]arrow.Field, len(texts)), make([]arrow.Array, len(texts))
	for i, s := range texts {
		b := array.NewStringBuilder(memory.DefaultAllocator)
		b.Append(s)
		fields[i] = arrow.Field{Name: fmt.Sprint(i), Type: arrow.BinaryTypes.String, Nullable: true}
		columns[i] = b.NewArray()
	}
	return array.NewRecord(arrow.NewSchema(fields, nil), columns, 1)
}

func TestPrepared(t *testing.T) {
	h := newHouse(t, sql.Limits{}, func(c *Config) { c.Statements = Statements{PerCaller: 3, All: 4} })
	c, ctx := h.client(), as(t.Context(), "acme")
	p, err := c.Prepare(ctx, "SELECT name FROM (SELECT unnest(['a', 'b''c', 'd']) AS name) WHERE name = $1 OR length(name) = $2")
	if err != nil {
		t.Fatal(err)
	}
	if p.DatasetSchema().NumFields() != 1 || p.ParameterSchema().NumFields() != 2 || p.ParameterSchema().Field(1).Type.ID() != arrow.INT64 {
		t.Errorf("prepared: %v, %v", p.DatasetSchema(), p.ParameterSchema())
	}
	schema, err := p.GetSchema(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if s, err := flight.DeserializeSchema(schema.Schema, memory.DefaultAllocator); err != nil || !s.Equal(p.DatasetSchema()) {
		t.Errorf("its schema: %v, %v", s, err)
	}
	for _, test := range []struct{ a, b, want string }{
		{"b'c", "9", "name;\nb'c;\n"},
		{"x' OR '1'='1", "9", "name;\n"},
		{"a' UNION SELECT _raw FROM events --", "3", "name;\nb'c;\n"},
		{"'; DROP VIEW events; --", "1", "name;\na;\nd;\n"},
	} {
		p.SetParameters(values(t, test.a, test.b))
		info, err := p.Execute(ctx)
		if s, err := got(ctx, c, info, err); err != nil || s != test.want {
			t.Errorf("%q, %q: %q, %v", test.a, test.b, s, err)
		}
	}
	// As many values as it takes, in one row.
	for what, rec := range map[string]arrow.Record{"one value": values(t, "a"), "three": values(t, "a", "b", "c")} {
		p.SetParameters(rec)
		_, err := p.Execute(ctx)
		wantCode(t, what, err, codes.InvalidArgument, "takes 2 parameters")
	}
	if _, err = p.ExecuteUpdate(ctx); status.Code(err) != codes.Unimplemented {
		t.Errorf("as an update: %v", err)
	}
	// They are few, and each caller has its part.
	var more []*flightsql.PreparedStatement
	for range 2 {
		p, err := c.Prepare(ctx, "SELECT 1 AS x")
		if err != nil {
			t.Fatal(err)
		}
		more = append(more, p)
	}
	_, err = c.Prepare(ctx, "SELECT 1")
	wantCode(t, "a fourth", err, codes.ResourceExhausted, "close some")
	if _, err := c.Prepare(as(t.Context(), "globex"), "SELECT 1"); err != nil {
		t.Errorf("another's first: %v", err)
	}
	_, err = c.Prepare(as(t.Context(), "globex"), "SELECT 1")
	wantCode(t, "a fifth of all", err, codes.ResourceExhausted, "close some")
	info, err := more[0].Execute(ctx)
	if s, err := got(ctx, c, info, err); err != nil || s != "x;\n1;\n" || len(info.Schema) == 0 {
		t.Errorf("without parameters: %q, %v", s, err)
	}
	if err := more[0].Close(ctx); err != nil {
		t.Error(err)
	}
	if _, err := c.Prepare(ctx, "SELECT 1"); err != nil {
		t.Errorf("with one closed: %v", err)
	}
	for _, q := range []string{"DROP VIEW events", "SELECT 1; SELECT ?", "FROM query(?)", "PREPARE q AS SELECT 1"} {
		_, err := c.Prepare(ctx, q)
		wantCode(t, q, err, codes.InvalidArgument, "")
	}
}
