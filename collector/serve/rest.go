// SPDX-License-Identifier: Apache-2.0

package serve

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"github.com/grpc-ecosystem/grpc-gateway/v2/utilities"
	spb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"

	auditv1 "github.com/docket-audit/docket/schemas/proto/docket/audit/v1"
)

// The content types of REST. A stream is lines of JSON, or events of SSE where
// the caller accepts those.
const (
	typeJSON   = "application/json"
	typeLines  = "application/x-ndjson"
	typeEvents = "text/event-stream"
)

// newREST returns the service as REST: the gateway that is generated from
// schemas/proto, over a connection that stays in this process.
func (s *Server) newREST() http.Handler {
	mux := runtime.NewServeMux(
		runtime.WithMarshalerOption(runtime.MIMEWildcard, lines{}),
		runtime.WithMarshalerOption(typeEvents, events{}),
		runtime.WithErrorHandler(func(ctx context.Context, _ *runtime.ServeMux, _ runtime.Marshaler, w http.ResponseWriter, r *http.Request, err error) {
			err = atFault(ctx, r, err)
			method, _ := runtime.RPCMethod(ctx)
			s.unread(r.Context(), lastPart("/"+method), r.Method+" "+r.URL.Path, err)
			writeError(w, err)
		}),
		runtime.WithRoutingErrorHandler(func(_ context.Context, _ *runtime.ServeMux, _ runtime.Marshaler, w http.ResponseWriter, r *http.Request, code int) {
			if methods := methodsOf(r.URL.Path); code == http.StatusMethodNotAllowed && methods != "" {
				s.otherMethod(w, r, methods)
				return
			}
			s.nowhere(w, r)
		}),
		runtime.SetQueryParameterParser(parameters{}),
		runtime.WithIncomingHeaderMatcher(func(string) (string, bool) { return "", false }),
		runtime.WithDisablePathLengthFallback(), // a form that is posted asks nothing
	)
	// It registers handlers and nothing else: the error is of contexts that have
	// ended.
	if err := auditv1.RegisterAuditServiceHandlerClient(context.Background(), mux, auditv1.NewAuditServiceClient(&noting{&conn{s, s.service}})); err != nil {
		panic(err)
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Body = http.MaxBytesReader(w, r.Body, maxBody)
		resume(r)
		ctx, cancel := context.WithCancel(r.Context())
		defer cancel()
		a := &answer{ResponseWriter: w, gone: cancel}
		mux.ServeHTTP(a, r.WithContext(context.WithValue(ctx, answerKey{}, a)))
		a.end()
	})
}

// atFault finds the field of an error that the gateway made of a parameter: of
// what the parser returns it keeps the text alone.
func atFault(ctx context.Context, r *http.Request, err error) error {
	s, ok := status.FromError(err)
	if !ok || s.Code() != codes.InvalidArgument || len(s.Details()) > 0 {
		return err
	}
	method, _ := runtime.RPCMethod(ctx)
	md := auditv1.File_docket_audit_v1_audit_proto.Services().ByName("AuditService").Methods().ByName(protoreflect.Name(lastPart(method)))
	if md == nil {
		return err
	}
	values, perr := url.ParseQuery(r.URL.RawQuery)
	if perr != nil {
		return fmt.Errorf("%w: the parameters of the address: %w", ErrInvalid, perr)
	}
	if r.Method != http.MethodGet {
		return fmt.Errorf("%w: the body: %s", ErrInvalid, s.Message())
	}
	if perr := (parameters{}).Parse(dynamicpb.NewMessage(md.Input()), values, utilities.NewDoubleArray(nil)); perr != nil {
		return perr
	}
	return err
}

// resume lets a client of SSE that connects again go on where it was.
func resume(r *http.Request) {
	last := r.Header.Get("Last-Event-ID")
	if last == "" || r.URL.Path != "/v1/tail" {
		return
	}
	v, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return // the gateway refuses it; what is legible of it may be half a filter
	}
	for _, begin := range []string{"all", "last", "since"} {
		v.Del(begin)
	}
	v.Set("resume_token", last)
	r.URL.RawQuery = v.Encode()
}

// parameters refuses what the gateway would leave out: a misspelt filter would
// select everything.
type parameters struct{}

func (parameters) Parse(m proto.Message, values url.Values, not *utilities.DoubleArray) error {
	fields := m.ProtoReflect().Descriptor().Fields()
	for _, name := range slices.Sorted(maps.Keys(values)) {
		given := values[name]
		fd := fields.ByTextName(name)
		switch {
		case fd == nil:
			return invalidf(strings.ToValidUTF8(name, "\uFFFD"), "there is no such parameter")
		case len(given) > 1 && !fd.IsList():
			return invalidf(name, "it is there %d times", len(given))
		case slices.ContainsFunc(given, func(v string) bool { return !utf8.ValidString(v) }):
			return invalidf(name, "it is not UTF-8")
		}
		if err := new(runtime.DefaultQueryParser).Parse(m, url.Values{name: given}, not); err != nil {
			return invalidf(name, "%.200q is no %s", given[0], kindOf(fd))
		}
	}
	return nil
}

// kindOf says what a parameter is, to those who know no protobuf.
func kindOf(fd protoreflect.FieldDescriptor) string {
	switch fd.Kind() {
	case protoreflect.BoolKind:
		return "true or false"
	case protoreflect.MessageKind:
		if fd.Message().Name() == "Timestamp" {
			return "time as in RFC 3339"
		}
		return "duration in seconds, such as 60s"
	default:
		return "number in its range"
	}
}

// lines is how answers are written: a message as JSON, those of a stream in a
// line each, and an error as a line with the one member "error".
type lines struct{}

func (lines) ContentType(any) string       { return typeJSON }
func (lines) StreamContentType(any) string { return typeLines }
func (lines) Delimiter() []byte            { return []byte{'\n'} }

func (lines) Marshal(v any) ([]byte, error) {
	switch v := v.(type) {
	case map[string]any: // of a stream: the gateway's {"result": ...}
		return lines{}.Marshal(v["result"])
	case map[string]proto.Message: // and {"error": ...}
		s, ok := v["error"].(*spb.Status)
		if !ok {
			return nil, fmt.Errorf("%v is no error", v)
		}
		return errorLine(s)
	case proto.Message:
		return appendJSON(nil, v.ProtoReflect())
	}
	return nil, fmt.Errorf("%T is no message", v)
}

func (lines) Unmarshal(data []byte, v any) error { return lines{}.decode(data, v) }

func (lines) NewEncoder(w io.Writer) runtime.Encoder {
	return runtime.EncoderFunc(func(v any) error {
		b, err := lines{}.Marshal(v)
		if err == nil {
			_, err = w.Write(b)
		}
		return err
	})
}

func (lines) NewDecoder(r io.Reader) runtime.Decoder {
	return runtime.DecoderFunc(func(v any) error {
		b, err := io.ReadAll(r)
		if err != nil {
			return err
		}
		if len(b) == 0 {
			return errors.New("the body is empty")
		}
		return lines{}.decode(b, v)
	})
}

func (lines) decode(b []byte, v any) error {
	m, ok := v.(proto.Message)
	if !ok {
		return fmt.Errorf("%T is no message", v)
	}
	return protojson.Unmarshal(b, m)
}

// events is SSE. The id of an event is what resumes behind it.
type events struct{ lines }

func (events) StreamContentType(any) string { return typeEvents }

func (events) Marshal(v any) ([]byte, error) {
	b, err := lines{}.Marshal(v)
	if err != nil {
		return nil, err
	}
	var head strings.Builder
	switch v := v.(type) {
	case map[string]proto.Message:
		head.WriteString("event: error\n")
	case map[string]any:
		if t, ok := v["result"].(*auditv1.TailResponse); ok {
			switch t.GetItem().(type) {
			case *auditv1.TailResponse_CaughtUp:
				head.WriteString("event: caught_up\n")
			case *auditv1.TailResponse_Gap:
				head.WriteString("event: gap\n")
			case *auditv1.TailResponse_Position:
				head.WriteString("event: position\n")
			case *auditv1.TailResponse_Missed:
				head.WriteString("event: missed\n")
			}
			head.WriteString("id: " + t.GetResumeToken() + "\n")
		}
	default:
		return b, nil // no stream
	}
	return fmt.Appendf(nil, "%sdata: %s\n", head.String(), b), nil
}

// errorLine is an error as all of REST has it.
func errorLine(s *spb.Status) ([]byte, error) {
	st := status.FromProto(s)
	if st.Code() == codes.OK {
		st = status.New(codes.Internal, "ended without a word")
	}
	return marshalError(remote(st))
}
