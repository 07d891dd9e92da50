// SPDX-License-Identifier: Apache-2.0

// Package servetest asks a server of package serve by gRPC and in REST, for tests
// that compare what its doors answer:
//
//	want := servetest.Ask(ctx, client, "GetEvent", q)
//	method, path, body := servetest.REST(t, "GetEvent", q)
//	got := servetest.InREST(t, "GetEvent", status, answer) // of that request
package servetest

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/docket-audit/docket/collector/serve"
	auditv1 "github.com/docket-audit/docket/schemas/proto/docket/audit/v1"
)

// An RPC is a method of the service, and its path in REST.
type RPC struct {
	Request   func() proto.Message
	Response  func() proto.Message
	Path      string // with the name of the field that it holds
	Streaming bool
	call      func(context.Context, auditv1.AuditServiceClient, proto.Message) ([]proto.Message, error)
}

func unary[Q, R any, PQ interface {
	*Q
	proto.Message
}, PR interface {
	*R
	proto.Message
}](path string, call func(auditv1.AuditServiceClient, context.Context, PQ) (PR, error)) RPC {
	return RPC{
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
}](path string, call func(auditv1.AuditServiceClient, context.Context, PQ) (interface{ Recv() (PR, error) }, error)) RPC {
	return RPC{
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

// RPCs are all methods, by their names.
var RPCs = map[string]RPC{
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
	"ListPlans": unary("/v1/plans", func(c client, ctx context.Context, q *auditv1.ListPlansRequest) (*auditv1.ListPlansResponse, error) {
		return c.ListPlans(ctx, q)
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

// Said is what was answered: messages, and the error that was last.
type Said struct {
	Messages []proto.Message
	Error    *serve.RemoteError
}

// Ask asks a client of the service.
func Ask(ctx context.Context, c auditv1.AuditServiceClient, name string, q proto.Message) Said {
	all, err := RPCs[name].call(ctx, c, q)
	return Said{all, Remote(err)}
}

// Remote is an error as a client is told it; nil of nil.
func Remote(err error) *serve.RemoteError {
	var e *serve.RemoteError
	if err != nil && !errors.As(serve.FromStatus(err), &e) {
		e = &serve.RemoteError{Code: "none", Message: err.Error()}
	}
	return e
}

// InREST reads what REST answered as messages: a status, and a body.
func InREST(t testing.TB, name string, status int, body string) Said {
	t.Helper()
	r, out := RPCs[name], Said{}
	if status != http.StatusOK {
		var e struct{ Error *serve.RemoteError }
		if err := json.Unmarshal([]byte(body), &e); err != nil || e.Error == nil {
			t.Fatalf("%s: %d %s", name, status, body)
		}
		out.Error = e.Error
		return out
	}
	texts := []string{body}
	if r.Streaming {
		texts = strings.Split(strings.TrimSuffix(body, "\n"), "\n")
		var end struct {
			End   *struct{}
			Error *serve.RemoteError
		}
		if err := json.Unmarshal([]byte(texts[len(texts)-1]), &end); err != nil || (end.End == nil) == (end.Error == nil) {
			t.Fatalf("%s: no end in %q", name, body)
		}
		out.Error, texts = end.Error, texts[:len(texts)-1]
	}
	for _, text := range texts {
		m := r.Response()
		fromJSON(t, []byte(text), m.ProtoReflect())
		out.Messages = append(out.Messages, m)
	}
	return out
}

// REST is a request in REST: what [http.NewRequest] takes.
func REST(t testing.TB, name string, q proto.Message) (method, path, body string) {
	t.Helper()
	path = RPCs[name].Path
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
