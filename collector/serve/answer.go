// SPDX-License-Identifier: Apache-2.0

package serve

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"

	"google.golang.org/grpc"
)

// An answer is one in REST. It has two things that the gateway does not do: an
// error before anything of a stream was sent is told as any other, and a stream
// that is complete says so. gRPC ends a stream with a status; in REST the last
// line stands for that, {"end":{}} or {"error":{...}}. Where neither came, the
// connection was cut: what is missing is asked for again.
type answer struct {
	http.ResponseWriter

	// gone ends the request. That a caller hangs up is no error to the gateway,
	// which would write it to standard error.
	gone context.CancelFunc

	begun   bool  // a piece of the stream was sent
	refused bool  // the error was told; what the gateway says of it is left out
	err     error // why the stream ended: nil while it has not, io.EOF when it is complete
}

type answerKey struct{}

// Unwrap is for [http.ResponseController].
func (a *answer) Unwrap() http.ResponseWriter { return a.ResponseWriter }

// WriteHeader implements [http.ResponseWriter].
func (a *answer) WriteHeader(code int) {
	if a.err != nil && !errors.Is(a.err, io.EOF) && !a.begun {
		a.refused = true
		a.Header().Del("Transfer-Encoding")
		writeError(a.ResponseWriter, a.err)
		return
	}
	a.ResponseWriter.WriteHeader(code)
}

func (a *answer) Write(b []byte) (int, error) {
	if a.refused {
		return len(b), nil
	}
	a.begun = true
	if _, err := a.ResponseWriter.Write(b); err != nil {
		a.gone()
	}
	return len(b), nil
}

// FlushError is for [http.ResponseController].
func (a *answer) FlushError() error {
	if err := http.NewResponseController(a.ResponseWriter).Flush(); err != nil {
		a.gone()
	}
	return nil
}

// end ends a stream that is complete.
func (a *answer) end() {
	if !errors.Is(a.err, io.EOF) {
		return
	}
	if !a.begun {
		a.Header().Set("Content-Type", typeLines)
	}
	line := `{"end":{}}` + "\n"
	if strings.HasPrefix(a.Header().Get("Content-Type"), typeEvents) {
		line = "event: end\ndata: " + line + "\n"
	}
	_, _ = io.WriteString(a.ResponseWriter, line) // who does not get it knows that something is missing
}

// noting is a connection that tells an [answer] how its stream ended.
type noting struct{ *conn }

// NewStream implements [grpc.ClientConnInterface].
func (n *noting) NewStream(ctx context.Context, desc *grpc.StreamDesc, method string, opts ...grpc.CallOption) (grpc.ClientStream, error) {
	s, err := n.conn.NewStream(ctx, desc, method, opts...)
	a, ok := ctx.Value(answerKey{}).(*answer)
	if err != nil || !ok {
		return s, err
	}
	return &noted{s, a}, nil
}

type noted struct {
	grpc.ClientStream

	answer *answer
}

func (n *noted) RecvMsg(m any) error {
	err := n.ClientStream.RecvMsg(m)
	if err != nil {
		n.answer.err = err
	}
	return err
}
