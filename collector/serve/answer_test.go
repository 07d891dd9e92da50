// SPDX-License-Identifier: Apache-2.0

package serve_test

import (
	"fmt"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/docket-audit/docket/collector/serve/servetest"
)

// What each of these answers is compared by TestOneAnswer of cmd/docket, beside
// the doors that are not here.

// said is what was answered, and the bytes of it that are known.
type said struct {
	servetest.Said

	bytes []byte
}

func bytesOf(s servetest.Said) said {
	var b []byte
	for _, m := range s.Messages {
		one, _ := proto.Marshal(m)
		b = append(b, one...)
	}
	return said{s, fmt.Append(b, s.Error)}
}

// byGRPC asks over the listener.
func (s *server) byGRPC(t testing.TB, token, name string, q proto.Message) said {
	return bytesOf(servetest.Ask(as(t.Context(), token), s.client(), name, q))
}

// byClient asks within the process.
func (s *server) byClient(t testing.TB, token, name string, q proto.Message) said {
	return bytesOf(servetest.Ask(t.Context(), s.Client(grants[token], "directory"), name, q))
}

// byREST asks in REST and reads the answer as messages.
func (s *server) byREST(t testing.TB, token, name string, q proto.Message) said {
	t.Helper()
	method, path, body := servetest.REST(t, name, q)
	got := s.do(t, token, method, path, body)
	if got.err != nil {
		t.Fatalf("%s %s: %v", method, path, got.err)
	}
	return said{servetest.InREST(t, name, got.status, got.body), fmt.Append(nil, got.header, got.trailer, got.body)}
}
