// SPDX-License-Identifier: Apache-2.0

//go:build cgo

package main

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	arrowflight "github.com/apache/arrow/go/v17/arrow/flight"
	"github.com/apache/arrow/go/v17/arrow/flight/flightsql"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/docket-audit/docket/collector/authz"
	"github.com/docket-audit/docket/collector/serve/servetest"
	auditv1 "github.com/docket-audit/docket/schemas/proto/docket/audit/v1"
)

type claims = map[string]any

// token makes a token of a header and claims that anybody could write, signed by
// a key with HS256; no key is no signature.
func token(t *testing.T, header, body claims, key []byte) string {
	t.Helper()
	part := func(v claims) string {
		b, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return base64.RawURLEncoding.EncodeToString(b)
	}
	text := part(header) + "." + part(body)
	if key == nil {
		return text + "."
	}
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(text))
	return text + "." + base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

// Every method at every door, for every kind of caller who may not: gRPC, REST and
// all calls of Flight SQL, with tokens as they come, by the verifier of the daemon.
func TestAuthorizationMatrix(t *testing.T) {
	first, second := []byte(strings.Repeat("1", 32)), []byte(strings.Repeat("2", 32))
	file := filepath.Join(t.TempDir(), "hs256")
	if err := os.WriteFile(file, first, 0o600); err != nil {
		t.Fatal(err)
	}
	v, err := authz.New(authz.Config{HS256: []string{file}})
	if err != nil {
		t.Fatal(err)
	}
	h := openHouse(t, v.HTTP, authorizeFlight(v, false))
	now := time.Now()
	with := func(change claims) claims {
		c := claims{"sub": "alice", "aud": authz.DefaultAudience, "iat": now.Unix(), "exp": now.Add(time.Hour).Unix(), "prefixes": []string{"acme"}, "cap": authz.Capabilities()}
		for name, value := range change {
			c[name] = value
		}
		return c
	}
	hs := claims{"alg": "HS256", "typ": "JWT"}
	good := token(t, hs, with(nil), first)
	unknown := map[string]string{
		"missing":      "",
		"no token":     "x",
		"a wrong key":  token(t, hs, with(nil), second),
		"expired":      token(t, hs, with(claims{"iat": now.Add(-2 * time.Hour).Unix(), "exp": now.Add(-time.Hour).Unix()}), first),
		"a wrong aud":  token(t, hs, with(claims{"aud": "elsewhere"}), first),
		"no aud":       token(t, hs, with(claims{"aud": nil}), first),
		"alg none":     token(t, claims{"alg": "none"}, with(nil), nil),
		"alg None":     token(t, claims{"alg": "None"}, with(nil), []byte{}),
		"another alg":  token(t, claims{"alg": "RS256"}, with(nil), first),
		"a kid's swap": token(t, claims{"alg": "HS256", "kid": file}, with(nil), second),
		"a kid's path": token(t, claims{"alg": "HS256", "kid": "/dev/null"}, with(nil), []byte{}),
	}
	lacking := func(c authz.Capability) string {
		var rest []authz.Capability
		for _, other := range authz.Capabilities() {
			if other != c {
				rest = append(rest, other)
			}
		}
		return token(t, hs, with(claims{"cap": rest}), first)
	}

	requests := map[string]proto.Message{
		"SearchEvents": &auditv1.SearchEventsRequest{}, "GetEvent": &auditv1.GetEventRequest{Uid: "event-1"}, "ListOperations": &auditv1.ListOperationsRequest{},
		"GetOperation": &auditv1.GetOperationRequest{Uid: "op-1"}, "Tail": &auditv1.TailRequest{All: true}, "Query": &auditv1.QueryRequest{Sql: "SELECT 1"}, "Stats": &auditv1.StatsRequest{},
		"GetPlan": &auditv1.GetPlanRequest{Digest: planDigest}, "ListPlans": &auditv1.ListPlansRequest{}, "GetLedger": &auditv1.GetLedgerRequest{}, "StartReplay": &auditv1.StartReplayRequest{}, "GetReplay": &auditv1.GetReplayRequest{Id: "none"},
	}
	need := map[string]authz.Capability{
		"SearchEvents": authz.Read, "GetEvent": authz.Read, "ListOperations": authz.List, "GetOperation": authz.Read, "Tail": authz.Tail, "Query": authz.SQL, "Stats": authz.List,
		"GetPlan": authz.List, "ListPlans": authz.List, "GetLedger": authz.List, "StartReplay": authz.Replay, "GetReplay": authz.Replay,
	}
	if len(requests) != len(servetest.RPCs) || len(need) != len(servetest.RPCs) {
		t.Errorf("asked are %d of %d methods", len(requests), len(servetest.RPCs))
	}
	for name, q := range requests {
		refused := func(what, bearer string, q proto.Message, code, says string) {
			t.Helper()
			for door, got := range map[string]servetest.Said{"gRPC": servetest.Ask(bearing(t.Context(), bearer), h.client, name, q), "REST": h.inREST(t, bearer, name, q)} {
				if got.Error == nil || got.Error.Code != code || !strings.Contains(got.Error.Message, says) || len(got.Messages) > 0 {
					t.Errorf("%s, %s, %s: %+v, want %s %q", name, door, what, got, code, says)
				}
			}
		}
		for what, bearer := range unknown {
			refused(what, bearer, q, "unauthenticated", "")
		}
		refused("no capability", lacking(need[name]), q, "permission_denied", string(need[name])+" is missing")
		refused("no capability at all", token(t, hs, with(claims{"cap": nil}), first), q, "permission_denied", "is missing")
		for field, cases := range map[string][][]string{
			"tenants":         {{"globex"}, {"acmeCorp"}, {"acm"}, {"/"}, {""}, {"acme", "globex"}},
			"exclude_tenants": {{"globex"}, {"acme"}, {""}},
		} {
			fd := q.ProtoReflect().Descriptor().Fields().ByName(protoreflect.Name(field))
			if fd == nil {
				continue // it is of one thing, which is theirs or not there
			}
			for _, names := range cases {
				c := proto.Clone(q)
				for _, one := range names {
					c.ProtoReflect().Mutable(fd).List().Append(protoreflect.ValueOfString(one))
				}
				refused(fmt.Sprint(field, names), good, c, "permission_denied", "")
			}
		}
	}

	// What is had by one who may is of no use to one who may not.
	ctx := bearing(t.Context(), good)
	info, err := h.flight.Execute(ctx, "SELECT metadata_uid FROM events ORDER BY ALL")
	if err != nil {
		t.Fatal(err)
	}
	prepared, err := h.flight.Prepare(ctx, "SELECT 1")
	if err != nil {
		t.Fatal(err)
	}
	calls := flightCalls(h, info, prepared)
	for name, call := range calls {
		for what, bearer := range unknown {
			if e := servetest.Remote(call(bearing(t.Context(), bearer))); e == nil || e.Code != "unauthenticated" {
				t.Errorf("%s, Flight SQL, %s: %+v", name, what, e)
			}
		}
		if e := servetest.Remote(call(t.Context())); e == nil || e.Code != "unauthenticated" {
			t.Errorf("%s, Flight SQL, without a header: %+v", name, e)
		}
		if e := servetest.Remote(call(bearing(t.Context(), lacking(authz.SQL)))); e == nil || e.Code != "permission_denied" || !strings.Contains(e.Message, "sql is missing") {
			t.Errorf("%s, Flight SQL, no capability: %+v", name, e)
		}
		// Of those who may, none is taken for nobody.
		if e := servetest.Remote(call(ctx)); e != nil && (e.Code == "unauthenticated" || e.Code == "permission_denied") {
			t.Errorf("%s, Flight SQL: %+v", name, e)
		}
	}
	// A prefix ends at a /, whatever a question names.
	for _, sql := range []string{"SELECT DISTINCT tenant FROM events ORDER BY ALL", "SELECT DISTINCT tenant FROM operations ORDER BY ALL"} {
		_, rows, e := h.bySQL(t, good, sql)
		if got := fmt.Sprint(rows); e != nil || got != "[[acme] [acme/eu]]" {
			t.Errorf("%s: %s, %+v", sql, got, e)
		}
	}
	for _, other := range []string{"globex", "acmeCorp", "acm"} {
		if _, rows, e := h.bySQL(t, good, "SELECT * FROM events WHERE tenant = '"+other+"'"); e != nil || len(rows) > 0 {
			t.Errorf("events of %s: %v, %+v", other, rows, e)
		}
	}
}

// flightCalls are all methods of Flight SQL that this server has, and some that it
// has not.
func flightCalls(h *house, info *arrowflight.FlightInfo, p *flightsql.PreparedStatement) map[string]func(context.Context) error {
	c := h.flight
	got := func(_ *arrowflight.FlightInfo, err error) error { return err }
	first := func(ctx context.Context, ticket *arrowflight.Ticket) error {
		r, err := c.DoGet(ctx, ticket)
		if err != nil {
			return err
		}
		defer r.Release()
		for r.Next() {
		}
		return r.Err()
	}
	ref := flightsql.TableRef{Table: "events"}
	return map[string]func(context.Context) error{
		"GetFlightInfo":   func(ctx context.Context) error { return got(c.Execute(ctx, "SELECT 1")) },
		"GetSchema":       func(ctx context.Context) error { _, err := c.GetExecuteSchema(ctx, "SELECT 1"); return err },
		"DoGet":           func(ctx context.Context) error { return first(ctx, info.Endpoint[0].Ticket) },
		"Prepare":         func(ctx context.Context) error { _, err := c.Prepare(ctx, "SELECT 1"); return err },
		"prepared":        func(ctx context.Context) error { return got(p.Execute(ctx)) },
		"prepared schema": func(ctx context.Context) error { _, err := p.GetSchema(ctx); return err },
		"close prepared": func(ctx context.Context) error {
			other, err := c.LoadPreparedStatementFromResult(&flightsql.CreatePreparedStatementResult{PreparedStatementHandle: []byte("none")})
			if err != nil {
				return err
			}
			return other.Close(ctx)
		},
		"catalogs": func(ctx context.Context) error { return got(c.GetCatalogs(ctx)) },
		"schemas":  func(ctx context.Context) error { return got(c.GetDBSchemas(ctx, &flightsql.GetDBSchemasOpts{})) },
		"tables": func(ctx context.Context) error {
			return got(c.GetTables(ctx, &flightsql.GetTablesOpts{IncludeSchema: true}))
		},
		"table types":   func(ctx context.Context) error { return got(c.GetTableTypes(ctx)) },
		"primary keys":  func(ctx context.Context) error { return got(c.GetPrimaryKeys(ctx, ref)) },
		"exported keys": func(ctx context.Context) error { return got(c.GetExportedKeys(ctx, ref)) },
		"imported keys": func(ctx context.Context) error { return got(c.GetImportedKeys(ctx, ref)) },
		"cross keys":    func(ctx context.Context) error { return got(c.GetCrossReference(ctx, ref, ref)) },
		"SqlInfo":       func(ctx context.Context) error { return got(c.GetSqlInfo(ctx, nil)) },
		"XdbcTypeInfo":  func(ctx context.Context) error { return got(c.GetXdbcTypeInfo(ctx, nil)) },
		"an update": func(ctx context.Context) error {
			_, err := c.ExecuteUpdate(ctx, "SELECT 1")
			for errors.Is(err, io.EOF) { // the answer came before all was sent, and the client does not read it then
				_, err = c.ExecuteUpdate(ctx, "SELECT 1")
			}
			return err
		},
		"a transaction": func(ctx context.Context) error { _, err := c.BeginTransaction(ctx); return err },
		"CancelFlightInfo": func(ctx context.Context) error {
			_, err := c.CancelFlightInfo(ctx, &arrowflight.CancelFlightInfoRequest{Info: info})
			return err
		},
		"Handshake": func(ctx context.Context) error {
			s, err := c.Client.Handshake(ctx)
			if err == nil {
				_, err = s.Recv()
			}
			return err
		},
		"ListFlights": func(ctx context.Context) error {
			s, err := c.Client.ListFlights(ctx, &arrowflight.Criteria{})
			if err == nil {
				_, err = s.Recv()
			}
			return err
		},
		"ListActions": func(ctx context.Context) error {
			s, err := c.Client.ListActions(ctx, &arrowflight.Empty{})
			if err == nil {
				_, err = s.Recv()
			}
			return err
		},
		"DoExchange": func(ctx context.Context) error {
			s, err := c.Client.DoExchange(ctx)
			if err == nil {
				_, err = s.Recv()
			}
			return err
		},
		"PollFlightInfo": func(ctx context.Context) error {
			_, err := c.Client.PollFlightInfo(ctx, info.FlightDescriptor)
			return err
		},
	}
}
