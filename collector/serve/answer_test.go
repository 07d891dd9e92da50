// SPDX-License-Identifier: Apache-2.0

package serve_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/docket-audit/docket/collector/serve"
	auditv1 "github.com/docket-audit/docket/schemas/proto/docket/audit/v1"
)

// An rpc is a method of the service, and its path in REST.
type rpc struct {
	request   func() proto.Message
	response  func() proto.Message
	path      string // with the name of the field that it holds
	streaming bool
	call      func(context.Context, auditv1.AuditServiceClient, proto.Message) ([]proto.Message, error)
}

func unary[Q, R any, PQ interface {
	*Q
	proto.Message
}, PR interface {
	*R
	proto.Message
}](path string, call func(auditv1.AuditServiceClient, context.Context, PQ) (PR, error)) rpc {
	return rpc{
		func() proto.Message { return PQ(new(Q)) },
		func() proto.Message { return PR(new(R)) }, path, false,
		func(ctx context.Context, c auditv1.AuditServiceClient, q proto.Message) ([]proto.Message, error) {
			r, err := call(c, ctx, q.(PQ))
			if err != nil {
				return nil, err
			}
			return []proto.Message{r}, nil
		},
	}
}

func streaming[Q, R any, PQ interface {
	*Q
	proto.Message
}, PR interface {
	*R
	proto.Message
}](path string, call func(auditv1.AuditServiceClient, context.Context, PQ) (interface{ Recv() (PR, error) }, error)) rpc {
	return rpc{
		func() proto.Message { return PQ(new(Q)) },
		func() proto.Message { return PR(new(R)) }, path, true,
		func(ctx context.Context, c auditv1.AuditServiceClient, q proto.Message) ([]proto.Message, error) {
			ctx, cancel := context.WithCancel(ctx)
			defer cancel()
			stream, err := call(c, ctx, q.(PQ))
			var all []proto.Message
			for err == nil {
				var r PR
				if r, err = stream.Recv(); err == nil {
					all = append(all, r)
				}
			}
			if errors.Is(err, io.EOF) {
				err = nil
			}
			return all, err
		},
	}
}

type client = auditv1.AuditServiceClient

// rpcs are all of them; TestEveryMethod compares.
var rpcs = map[string]rpc{
	"SearchEvents": unary("/v1/events", func(c client, ctx context.Context, q *auditv1.SearchEventsRequest) (*auditv1.SearchEventsResponse, error) {
		return c.SearchEvents(ctx, q)
	}),
	"GetEvent": unary("/v1/events/{uid}", func(c client, ctx context.Context, q *auditv1.GetEventRequest) (*auditv1.GetEventResponse, error) {
		return c.GetEvent(ctx, q)
	}),
	"ListOperations": unary("/v1/operations", func(c client, ctx context.Context, q *auditv1.ListOperationsRequest) (*auditv1.ListOperationsResponse, error) {
		return c.ListOperations(ctx, q)
	}),
	"GetOperation": unary("/v1/operations/{uid}", func(c client, ctx context.Context, q *auditv1.GetOperationRequest) (*auditv1.GetOperationResponse, error) {
		return c.GetOperation(ctx, q)
	}),
	"Stats": unary("/v1/stats", func(c client, ctx context.Context, q *auditv1.StatsRequest) (*auditv1.StatsResponse, error) {
		return c.Stats(ctx, q)
	}),
	"GetPlan": unary("/v1/plans/{digest}", func(c client, ctx context.Context, q *auditv1.GetPlanRequest) (*auditv1.GetPlanResponse, error) {
		return c.GetPlan(ctx, q)
	}),
	"GetLedger": unary("/v1/ledger", func(c client, ctx context.Context, q *auditv1.GetLedgerRequest) (*auditv1.GetLedgerResponse, error) {
		return c.GetLedger(ctx, q)
	}),
	"StartReplay": unary("/v1/replays", func(c client, ctx context.Context, q *auditv1.StartReplayRequest) (*auditv1.StartReplayResponse, error) {
		return c.StartReplay(ctx, q)
	}),
	"GetReplay": unary("/v1/replays/{id}", func(c client, ctx context.Context, q *auditv1.GetReplayRequest) (*auditv1.GetReplayResponse, error) {
		return c.GetReplay(ctx, q)
	}),
	"Tail": streaming("/v1/tail", func(c client, ctx context.Context, q *auditv1.TailRequest) (interface {
		Recv() (*auditv1.TailResponse, error)
	}, error,
	) {
		return c.Tail(ctx, q)
	}),
	"Query": streaming("/v1/query", func(c client, ctx context.Context, q *auditv1.QueryRequest) (interface {
		Recv() (*auditv1.QueryResponse, error)
	}, error,
	) {
		return c.Query(ctx, q)
	}),
}

// What was answered: messages, and the error that was last.
type said struct {
	Messages []proto.Message
	Error    *serve.RemoteError
	bytes    []byte // all that came over the wire, as far as it is known
}

func saidOf(all []proto.Message, err error) said {
	s := said{Messages: all}
	if err != nil && !errors.As(serve.FromStatus(err), &s.Error) {
		s.Error = &serve.RemoteError{Code: "none", Message: err.Error()}
	}
	for _, m := range all {
		b, _ := proto.Marshal(m)
		s.bytes = append(s.bytes, b...)
	}
	return said{s.Messages, s.Error, fmt.Append(s.bytes, err)}
}

// byGRPC asks over the listener.
func (s *server) byGRPC(t testing.TB, token, name string, q proto.Message) said {
	return saidOf(rpcs[name].call(as(t.Context(), token), s.client(), q))
}

// byClient asks within the process.
func (s *server) byClient(t testing.TB, token, name string, q proto.Message) said {
	return saidOf(rpcs[name].call(t.Context(), s.Client(grants[token], "directory"), q))
}

// byREST asks in REST and reads the answer as messages.
func (s *server) byREST(t testing.TB, token, name string, q proto.Message) said {
	t.Helper()
	method, path, body := restRequest(t, name, q)
	got := s.do(t, token, method, path, body)
	if got.err != nil {
		t.Fatalf("%s %s: %v", method, path, got.err)
	}
	r, out := rpcs[name], said{bytes: fmt.Append(nil, got.header, got.trailer, got.body)}
	if got.status != http.StatusOK {
		var e struct{ Error *serve.RemoteError }
		if err := json.Unmarshal([]byte(got.body), &e); err != nil || e.Error == nil {
			t.Fatalf("%s %s: %+v", method, path, got)
		}
		out.Error = e.Error
		return out
	}
	texts := []string{got.body}
	if r.streaming {
		texts = strings.Split(strings.TrimSuffix(got.body, "\n"), "\n")
		var end line
		if err := json.Unmarshal([]byte(texts[len(texts)-1]), &end); err != nil || (end.End == nil) == (end.Error == nil) {
			t.Fatalf("%s %s: no end in %q", method, path, got.body)
		}
		out.Error, texts = end.Error, texts[:len(texts)-1]
	}
	for _, text := range texts {
		m := r.response()
		fromJSON(t, []byte(text), m.ProtoReflect())
		out.Messages = append(out.Messages, m)
	}
	return out
}

// restRequest is a request in REST.
func restRequest(t testing.TB, name string, q proto.Message) (method, path, body string) {
	t.Helper()
	path = rpcs[name].path
	if name == "Query" || name == "StartReplay" {
		b, err := protojson.MarshalOptions{UseProtoNames: true}.Marshal(q)
		if err != nil {
			t.Fatal(err)
		}
		return http.MethodPost, path, string(b)
	}
	v := url.Values{}
	q.ProtoReflect().Range(func(fd protoreflect.FieldDescriptor, value protoreflect.Value) bool {
		field := string(fd.Name())
		switch {
		case strings.Contains(path, "{"+field+"}"):
			path = strings.Replace(path, "{"+field+"}", url.PathEscape(value.String()), 1)
		case fd.IsList():
			for i := range value.List().Len() {
				v.Add(field, value.List().Get(i).String())
			}
		case fd.Message() != nil:
			b, err := protojson.Marshal(value.Message().Interface())
			if err != nil {
				t.Fatal(err)
			}
			v.Set(field, strings.Trim(string(b), `"`))
		default:
			v.Set(field, value.String())
		}
		return true
	})
	return http.MethodGet, path + "?" + v.Encode(), ""
}

// fromJSON reads what REST wrote: fields that hold JSON get its exact bytes.
func fromJSON(t testing.TB, text []byte, into protoreflect.Message) {
	t.Helper()
	var members map[string]json.RawMessage
	if err := json.Unmarshal(text, &members); err != nil {
		t.Fatalf("%q: %v", text, err)
	}
	rest := map[string]json.RawMessage{}
	for name, raw := range members {
		fd := into.Descriptor().Fields().ByName(protoreflect.Name(name))
		if fd == nil {
			t.Fatalf("%s has no field %q", into.Descriptor().FullName(), name)
		}
		var list []json.RawMessage
		if fd.IsList() {
			if err := json.Unmarshal(raw, &list); err != nil {
				t.Fatal(err)
			}
		}
		holder := fd.Message() != nil && !strings.HasPrefix(string(fd.Message().FullName()), "google.")
		switch {
		case fd.Kind() == protoreflect.BytesKind && fd.IsList():
			for _, one := range list {
				into.Mutable(fd).List().Append(protoreflect.ValueOfBytes(one))
			}
		case fd.Kind() == protoreflect.BytesKind:
			into.Set(fd, protoreflect.ValueOfBytes(raw))
		case holder && fd.IsList():
			for _, one := range list {
				fromJSON(t, one, into.Mutable(fd).List().AppendMutable().Message())
			}
		case holder:
			fromJSON(t, raw, into.Mutable(fd).Message())
		default:
			rest[name] = raw
		}
	}
	b, err := json.Marshal(rest)
	if err != nil {
		t.Fatal(err)
	}
	m := into.New().Interface()
	if err := protojson.Unmarshal(b, m); err != nil {
		t.Fatalf("%s: %v", b, err)
	}
	proto.Merge(into.Interface(), m)
}

// Each method gives the same answer by gRPC, in REST and within the process, and
// the same error.
func TestOneAnswer(t *testing.T) {
	m := newShelf()
	m.add(t, "acme", "globex", "acme/eu")
	m.put(t, sealed(t, "acme", 4, "event-4", "op-1", "two words <&> \u2028 \x7f"), sealed(t, "acmeCorp", 5, "event-5", "op-1", ""))
	m.put(t, sealed(t, "acme", 1<<53-1, "event-6", "op-6", "late")) // beyond the year 9999
	s := start(t, m)
	scanning := start(t, m, func(c *serve.Config) { c.Query = nil }) // Stats asks the database where there is one
	at := func(ms int64) *timestamppb.Timestamp { return &timestamppb.Timestamp{Nanos: int32(ms * 1e6)} }
	for name, requests := range map[string][]proto.Message{
		"SearchEvents": {
			&auditv1.SearchEventsRequest{}, &auditv1.SearchEventsRequest{PageSize: 2}, &auditv1.SearchEventsRequest{NewestFirst: true, PageSize: 3},
			&auditv1.SearchEventsRequest{Filter: `decision == "deny"`, Tenants: []string{"acme"}}, &auditv1.SearchEventsRequest{Since: at(2), Until: at(4)},
			&auditv1.SearchEventsRequest{Filter: "nonsense"}, &auditv1.SearchEventsRequest{PageSize: -1}, &auditv1.SearchEventsRequest{PageToken: "x"},
			&auditv1.SearchEventsRequest{Tenants: []string{"globex"}}, &auditv1.SearchEventsRequest{ExcludeTenants: []string{"acme"}},
			&auditv1.SearchEventsRequest{Since: at(4), Until: at(4)}, &auditv1.SearchEventsRequest{Filter: "1/0 == time"},
		},
		"GetEvent": {&auditv1.GetEventRequest{Uid: "event-1"}, &auditv1.GetEventRequest{Uid: "event-4"}, &auditv1.GetEventRequest{Uid: "event-2"}, &auditv1.GetEventRequest{Uid: "é ?#%"}},
		"ListOperations": {
			&auditv1.ListOperationsRequest{}, &auditv1.ListOperationsRequest{PageSize: 1}, &auditv1.ListOperationsRequest{Tenants: []string{"acme"}},
			&auditv1.ListOperationsRequest{Tenants: []string{"globex"}}, &auditv1.ListOperationsRequest{Filter: "x"},
		},
		"GetOperation": {&auditv1.GetOperationRequest{Uid: "op-1"}, &auditv1.GetOperationRequest{Uid: "op-2"}, &auditv1.GetOperationRequest{Uid: "op-6"}},
		"Stats": {
			&auditv1.StatsRequest{}, &auditv1.StatsRequest{Facets: []string{"tenant", "ran", "time"}, Top: 1, Interval: durationpb.New(2e6)},
			&auditv1.StatsRequest{Interval: &durationpb.Duration{}}, &auditv1.StatsRequest{Facets: []string{"x"}}, &auditv1.StatsRequest{Top: -1},
			&auditv1.StatsRequest{Tenants: []string{"globex"}}, &auditv1.StatsRequest{Filter: `tenant == "none"`}, &auditv1.StatsRequest{Interval: durationpb.New(1)},
		},
		"GetPlan": {&auditv1.GetPlanRequest{Digest: planDigest}, &auditv1.GetPlanRequest{Digest: strings.Repeat("0", 64)}, &auditv1.GetPlanRequest{Digest: "x"}},
		"GetLedger": {
			&auditv1.GetLedgerRequest{}, &auditv1.GetLedgerRequest{Event: "event-6"}, &auditv1.GetLedgerRequest{Event: "event-1"},
			&auditv1.GetLedgerRequest{Event: "event-2"}, &auditv1.GetLedgerRequest{Event: "none"},
		},
		"Tail": {
			&auditv1.TailRequest{}, &auditv1.TailRequest{All: true}, &auditv1.TailRequest{Last: 2, Filter: `decision == "deny"`}, &auditv1.TailRequest{Since: timestamppb.New(epoch())},
			&auditv1.TailRequest{ResumeToken: "x"}, &auditv1.TailRequest{Last: -1}, &auditv1.TailRequest{Last: 1, All: true}, &auditv1.TailRequest{Tenants: []string{"globex"}},
		},
		// A replay has an id of its own each time: what is one for all is why there is none.
		"StartReplay": {&auditv1.StartReplayRequest{Plan: "x"}, &auditv1.StartReplayRequest{Plan: strings.Repeat("0", 64)}, &auditv1.StartReplayRequest{Filter: "x"}, &auditv1.StartReplayRequest{Tenants: []string{"globex"}, Plan: "x"}},
		"GetReplay":   {&auditv1.GetReplayRequest{Id: s.replay(t, "admin", &auditv1.StartReplayRequest{})}, &auditv1.GetReplayRequest{Id: "none"}},
		"Query": {
			&auditv1.QueryRequest{Sql: "SELECT 1"}, &auditv1.QueryRequest{Sql: "SELECT 1", Tenants: []string{"acme/eu"}}, &auditv1.QueryRequest{}, &auditv1.QueryRequest{Sql: "bad"},
			&auditv1.QueryRequest{Sql: "busy"}, &auditv1.QueryRequest{Sql: "broken"}, &auditv1.QueryRequest{Sql: "late"}, &auditv1.QueryRequest{Sql: "x", Tenants: []string{"globex"}},
		},
	} {
		s := map[bool]*server{true: scanning, false: s}[name == "Stats"]
		for i, q := range requests {
			for _, token := range []string{"admin", "acme", "nothing", "expired"} {
				want := s.byGRPC(t, token, name, q)
				for door, got := range map[string]said{"REST": s.byREST(t, token, name, q), "within the process": s.byClient(t, token, name, q)} {
					if diff := cmp.Diff(want, got, protocmp.Transform(), cmp.FilterPath(func(p cmp.Path) bool { return p.Last().String() == ".bytes" }, cmp.Ignore())); diff != "" {
						t.Errorf("%s %d (%v) as %s (-gRPC +%s):\n%s", name, i, q, token, door, diff)
					}
				}
				if token == "admin" && i == 0 && name != "StartReplay" && (want.Error != nil || len(want.Messages) == 0 && name != "Tail") {
					t.Errorf("%s: %+v", name, want)
				}
			}
		}
	}
	// The bytes of events are those that were stored.
	for door, got := range map[string]said{"gRPC": s.byGRPC(t, "admin", "GetOperation", &auditv1.GetOperationRequest{Uid: "op-1"}), "REST": s.byREST(t, "admin", "GetOperation", &auditv1.GetOperationRequest{Uid: "op-1"})} {
		moments := got.Messages[0].(*auditv1.GetOperationResponse).GetMoments()
		if len(moments) != 3 || !bytes.Equal(moments[0].GetEvent(), m.entries[0].Raw) || !bytes.Equal(moments[1].GetEvent(), m.entries[3].Raw) {
			t.Errorf("%s: other bytes: %v", door, moments)
		}
	}
}
