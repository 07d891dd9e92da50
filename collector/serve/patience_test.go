// SPDX-License-Identifier: Apache-2.0

package serve_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/docket-audit/docket/collector/serve"
)

// Nobody is waited for who is not known and does not send what they began to, by
// HTTP/1.1 and HTTP/2; who is known may take their time.
func TestNobodyIsWaitedFor(t *testing.T) {
	s := start(t, newShelf(), func(c *serve.Config) { c.Patience = time.Nanosecond })
	host := strings.TrimPrefix(s.base, "http://")
	c, err := net.Dial("tcp", host)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := fmt.Fprintf(c, "POST /v1/query HTTP/1.1\r\nHost: %s\r\nContent-Length: 1000\r\n\r\n{", host); err != nil {
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode == http.StatusOK {
		t.Errorf("nobody is answered: %+v", resp)
	}

	transport := &http.Transport{Protocols: new(http.Protocols)}
	transport.Protocols.SetUnencryptedHTTP2(true)
	defer transport.CloseIdleConnections()
	for _, contentType := range []string{"application/json", "application/grpc"} {
		body, never := io.Pipe()
		path := map[string]string{"application/json": "/v1/query", "application/grpc": "/docket.audit.v1.AuditService/SearchEvents"}[contentType]
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.base+path, body)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", contentType)
		resp, err := (&http.Client{Transport: transport}).Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, resp.Body) // until it is refused
		resp.Body.Close()
		never.Close()
		if resp.StatusCode == http.StatusOK && resp.Trailer.Get("Grpc-Status") == "0" {
			t.Errorf("%s: nobody is answered: %+v", contentType, resp)
		}
	}

	body, slow := io.Pipe()
	go func() {
		_, _ = io.WriteString(slow, `{"sql":`)
		_, _ = io.WriteString(slow, `"x"}`)
		slow.Close()
	}()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.base+"/v1/query", body)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer admin")
	resp, err = (&http.Client{Transport: transport}).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Errorf("who is known: %+v", resp)
	}
}
