// SPDX-License-Identifier: Apache-2.0

package reading

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"net"
	"net/http"

	"github.com/docket-audit/docket/cmd/internal/datadir"
	"github.com/docket-audit/docket/collector/serve"
)

// An admin has the owner of a directory do things, over its socket.
type admin struct {
	dir   string
	http  *http.Client
	close func()
}

func newAdmin(dir string) *admin {
	t := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return datadir.DialSocket(ctx, dir) }}
	return &admin{dir: dir, http: &http.Client{Transport: t}, close: t.CloseIdleConnections}
}

func (a *admin) post(ctx context.Context, path string, body []byte) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		resp, err := a.do(ctx, http.MethodPost, path, body)
		if err != nil {
			yield(nil, err)
			return
		}
		defer resp.Body.Close()
		for line, err := range lines(resp) {
			if !yield(line, err) || err != nil {
				return
			}
		}
	}
}

func (a *admin) answer(ctx context.Context, method, path string) (json.RawMessage, error) {
	resp, err := a.do(ctx, method, path, nil)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return b, err
}

func (a *admin) do(ctx context.Context, method, path string, body []byte) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, "http://docket"+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	resp, err := a.http.Do(req)
	if err != nil {
		return nil, fmt.Errorf("ask the owner of %s: %w", a.dir, err)
	}
	if resp.StatusCode == http.StatusOK {
		return resp, nil
	}
	defer resp.Body.Close()
	b, _ := io.ReadAll(io.LimitReader(resp.Body, 1<<20)) // what is missing of it shows below
	var answer struct {
		Error *serve.RemoteError `json:"error"`
	}
	if err := json.Unmarshal(b, &answer); err != nil || answer.Error == nil {
		return nil, fmt.Errorf("ask the owner of %s: %s", a.dir, resp.Status)
	}
	return nil, answer.Error
}

// lines yields the lines of an ndjson answer, and last, if the server could not
// say everything, why.
func lines(resp *http.Response) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		r := bufio.NewReaderSize(resp.Body, 64<<10)
		var long []byte
		for {
			part, err := r.ReadSlice('\n')
			if errors.Is(err, bufio.ErrBufferFull) {
				long = append(long, part...)
				continue
			}
			if err == nil {
				line := part
				if len(long) > 0 {
					long = append(long, part...)
					line = long
				}
				if !yield(line[:len(line)-1], nil) {
					return
				}
				long = long[:0]
				continue
			}
			if !errors.Is(err, io.EOF) {
				yield(nil, fmt.Errorf("read answer: %w", err))
				return
			}
			if t := resp.Trailer.Get(serve.ErrorTrailer); t != "" {
				e := &serve.RemoteError{Message: t}
				_ = json.Unmarshal([]byte(t), e) // else the text is all there is
				yield(nil, e)
			}
			return
		}
	}
}
