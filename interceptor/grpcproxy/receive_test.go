// SPDX-License-Identifier: Apache-2.0

package grpcproxy

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/docket-audit/docket/internal/tonictest"
)

// prefixed is a message as it is sent, with the flag and of the length that its
// prefix says.
func prefixed(flag byte, length int, message []byte) []byte {
	return append(binary.BigEndian.AppendUint32([]byte{flag}, uint32(length)), message...)
}

func gzipped(t *testing.T, message []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := w.Write(message); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// What is no one message within the limit is refused, unseen by bindings and
// service, and recorded.
func TestRequestsOnTheWire(t *testing.T) {
	const limit = 4 << 10
	rec, u := &recorder{}, newUpstream(t, "", nil)
	u.script(create, answering(func([]byte) ([]byte, error) { return nil, nil }))
	b := bind(create, allowing)
	_, lis := listenProxy(t, u, Config{Chain: newChain(t, rec, nil, b), Descriptors: descriptorSet(t), MaxRequestBytes: limit})
	conn, err := lis.DialContext(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	client := tonictest.New(conn)
	defer func() { _ = client.Close() }()

	// Field 1023, of bytes: it passes for any length.
	exact := append([]byte("\xfa\x3f"), binary.AppendUvarint(nil, limit-4)...)
	exact = append(exact, make([]byte, limit-len(exact))...)
	over := append(bytes.Clone(exact), 0)
	packed, overPacked := gzipped(t, exact), gzipped(t, over)
	zip := []string{"grpc-encoding", "gzip"}
	for name, c := range map[string]struct {
		body   []byte
		fields []string
		want   codes.Code
		reason string
	}{
		"empty message":           {prefixed(0, 0, nil), nil, codes.OK, ""},
		"at the limit":            {prefixed(0, limit, exact), nil, codes.OK, ""},
		"over the limit":          {prefixed(0, limit+1, over), nil, codes.ResourceExhausted, "the request has 4097 bytes, a governed one at most 4096"},
		"packed, at the limit":    {prefixed(1, len(packed), packed), zip, codes.OK, ""},
		"packed, over the limit":  {prefixed(1, len(overPacked), overPacked), zip, codes.ResourceExhausted, "more than the 4096 bytes"},
		"packed, its length over": {prefixed(1, 2*limit, make([]byte, 2*limit)), zip, codes.ResourceExhausted, "the request has 8192 bytes"},
		"of four gigabytes":       {prefixed(0, 1<<32-1, nil), nil, codes.ResourceExhausted, "the request has 4294967295 bytes"},
		"packed in no way":        {prefixed(1, len(packed), packed), nil, codes.Unimplemented, `unknown way`},
		"packed badly":            {prefixed(1, 3, []byte("abc")), zip, codes.Internal, "cannot be decompressed"},
		"packed, and cut off":     {prefixed(1, len(packed)-9, packed[:len(packed)-9]), zip, codes.Internal, "cannot be decompressed"},
		"unknown flag":            {prefixed(2, 0, nil), nil, codes.Internal, "unknown flag 2"},
		"nothing":                 {nil, nil, codes.InvalidArgument, "not none"},
		"half a prefix":           {[]byte{0, 0, 0}, nil, codes.InvalidArgument, "the message is incomplete"},
		"half a message":          {prefixed(0, 10, []byte("abc")), nil, codes.InvalidArgument, "the message is incomplete"},
		"one and a half":          {append(prefixed(0, 0, nil), 0, 0), nil, codes.InvalidArgument, "the message is incomplete"},
		"two messages":            {append(prefixed(0, 0, nil), prefixed(0, 0, nil)...), nil, codes.InvalidArgument, "not several"},
	} {
		before := u.called(create)
		_, answer := client.CallWith(create, c.body, c.fields...)
		a := <-answer
		op, outcome := rec.newest(t)
		if a.Status != fmt.Sprint(int(c.want)) || !strings.Contains(strings.Join(a.Trailer["grpc-message"], ""), c.reason) {
			t.Errorf("%s: answered %+v; want %v %q", name, a, c.want, c.reason)
		}
		if uid := a.Trailer["docket-operation-uid"]; len(uid) != 1 || uid[0] != string(op.UID) {
			t.Errorf("%s: the answer names %v, the record %s", name, uid, op.UID)
		}
		if passed := c.want == codes.OK; u.called(create) > before != passed || outcome.Ran != passed || op.Request != nil != passed {
			t.Errorf("%s: called %t, outcome %+v, request %v", name, u.called(create) > before, outcome, op.Request)
		}
	}
}

// wholeOnly hides what messages can be read by in part.
type wholeOnly struct {
	grpc.ServerStream
	ctx context.Context
}

func (w wholeOnly) Context() context.Context { return w.ctx }

type noTransport struct{ grpc.ServerTransportStream }

// Where messages only come whole the same ones are refused.
func TestMessagesThatOnlyComeWhole(t *testing.T) {
	rec, u := &recorder{}, newUpstream(t, "", nil)
	u.script(create, answering(func([]byte) ([]byte, error) { return nil, nil }))
	_, conn := serveProxy(t, u, Config{
		Chain: newChain(t, rec, nil, bind(create, allowing)), Descriptors: descriptorSet(t), MaxRequestBytes: 10,
		ServerOptions: []grpc.ServerOption{grpc.StreamInterceptor(func(srv any, ss grpc.ServerStream, _ *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
			ctx := ss.Context()
			return handler(srv, wholeOnly{ss, grpc.NewContextWithServerTransportStream(ctx, noTransport{grpc.ServerTransportStreamFromContext(ctx)})})
		})},
	})
	exact := []byte("\xfa\x3f\x07seventh")
	for name, c := range map[string]struct {
		messages [][]byte
		want     codes.Code
		reason   string
	}{
		"at the limit": {[][]byte{exact}, codes.OK, ""},
		"over it":      {[][]byte{append(exact, 0)}, codes.ResourceExhausted, "the request has 11 bytes, a governed one at most 10"},
		"none":         {nil, codes.InvalidArgument, "not none"},
		"several":      {[][]byte{exact, exact}, codes.InvalidArgument, "not several"},
	} {
		tr := converse(t.Context(), conn, create, false, c.messages)
		op, outcome := rec.newest(t)
		if uid := tr.Trailer.Get("docket-operation-uid"); tr.Code != c.want || !strings.Contains(tr.Message, c.reason) || len(uid) != 1 || uid[0] != string(op.UID) {
			t.Errorf("%s: got %+v", name, tr)
		}
		if outcome.Ran != (c.want == codes.OK) {
			t.Errorf("%s: outcome %+v", name, outcome)
		}
	}
	if n := u.called(create); n != 1 {
		t.Errorf("the upstream was called %d times", n)
	}
}

// What a message does not arrive by is told by its gRPC status, and by no text of
// the transport.
func TestBroken(t *testing.T) {
	for _, c := range []struct {
		err  error
		code codes.Code
		text string
	}{
		{status.Error(codes.Canceled, "gone"), codes.Canceled, "gone"},
		{context.Canceled, codes.Canceled, "context canceled"},
		{fmt.Errorf("x: %w", context.DeadlineExceeded), codes.DeadlineExceeded, "deadline exceeded"},
		{fmt.Errorf("x: %w", io.ErrUnexpectedEOF), codes.InvalidArgument, "the message is incomplete"},
		{errors.New("read tcp 10.0.0.7:1"), codes.Internal, "the message is incomplete"},
	} {
		if s := status.Convert(broken(c.err)); s.Code() != c.code || !strings.Contains(s.Message(), c.text) {
			t.Errorf("%v: %v", c.err, s)
		}
	}
}
