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
	"net/url"
	"path/filepath"
	"strconv"
	"time"

	"github.com/docket-audit/docket/cmd/internal/datadir"
	"github.com/docket-audit/docket/collector/lake"
	"github.com/docket-audit/docket/collector/serve"
	"github.com/docket-audit/docket/collector/sql"
)

// A Client asks one data directory.
type Client struct {
	Dir  string
	Live bool // its owner answers
	// Damaged is what an offline directory lacks; nil when it is whole.
	Damaged error

	http  *http.Client
	close func()
}

// Open finds out who answers for dir.
func Open(ctx context.Context, dir string) (*Client, error) {
	if err := datadir.Check(dir); err != nil {
		return nil, err
	}
	for attempt := 0; ; attempt++ {
		run, err := datadir.Owner(dir)
		if errors.Is(err, datadir.ErrNotOwned) {
			return offline(dir)
		}
		if err == nil {
			var conn net.Conn
			if conn, err = datadir.DialSocket(ctx, dir); err == nil {
				conn.Close()
				return socket(dir), nil
			}
			err = &datadir.Error{
				Path: dir, Err: fmt.Errorf("its owner (%s, pid %d) does not answer: %w", run.Command, run.PID, err),
				Advice: "is it starting or stopping? only `docket up` answers questions, docket-gateway keeps nothing to ask about",
			}
		}
		// An owner that starts or stops is neither here nor there for a moment.
		if attempt == 20 || ctx.Err() != nil {
			return nil, err
		}
		time.Sleep(50 * time.Millisecond)
	}
}

func socket(dir string) *Client {
	t := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return datadir.DialSocket(ctx, dir) }}
	return &Client{Dir: dir, Live: true, http: &http.Client{Transport: t}, close: t.CloseIdleConnections}
}

// offline serves the directory inside this process.
func offline(dir string) (*Client, error) {
	path := filepath.Join(dir, "lake")
	r, err := lake.OpenReader(path)
	if err != nil {
		return nil, err
	}
	s := serve.New(serve.Config{
		Store:   r,
		Commits: func() uint64 { return r.Manifest().Number },
		// Who waits can stop waiting, and may read the answer in a pager.
		Query: SQL(r, sql.Limits{Stall: -1, Total: -1}),
		Stall: -1,
		Status: func(context.Context) (any, error) {
			m := r.Manifest()
			return map[string]any{"store": map[string]any{"commit": m.Number, "files": len(m.Files), "events": m.Rows()}}, nil
		},
	})
	pipe := newPipe()
	srv := &http.Server{Handler: s.Handler()}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = srv.Serve(pipe) // always ErrServerClosed: Close is the only end
	}()
	t := &http.Transport{DialContext: pipe.dial}
	return &Client{Dir: dir, Damaged: r.Damaged(), http: &http.Client{Transport: t}, close: func() {
		srv.Close()
		<-done
		t.CloseIdleConnections()
		r.Close()
	}}, nil
}

// Close gives the client up.
func (c *Client) Close() { c.close() }

// Tail yields the last n events (all: n < 0) that filter selects, oldest first,
// and with follow those that come, until ctx ends or the owner stops. An
// event's bytes are valid until the next.
func (c *Client) Tail(ctx context.Context, n int, follow bool, filter string) iter.Seq2[[]byte, error] {
	last := "all"
	if n >= 0 {
		last = strconv.Itoa(n)
	}
	v := url.Values{"last": {last}, "follow": {strconv.FormatBool(follow)}, "filter": {filter}}
	return func(yield func([]byte, error) bool) {
		resp, err := c.do(ctx, http.MethodGet, "/v1/tail?"+v.Encode(), nil)
		if err != nil {
			yield(nil, err)
			return
		}
		defer resp.Body.Close()
		for line, err := range lines(resp) {
			if err != nil && ctx.Err() != nil {
				return // the caller has seen enough
			}
			if !yield(line, err) || err != nil {
				return
			}
		}
	}
}

// Query asks in SQL and calls columns once and then row for each row, with one
// JSON object whose members are in the order of the columns.
func (c *Client) Query(ctx context.Context, q serve.Question, columns func([]string) error, row func([]byte) error) error {
	body, err := json.Marshal(q)
	if err != nil {
		return err
	}
	resp, err := c.do(ctx, http.MethodPost, "/v1/query", body)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	var names []string
	if err := json.Unmarshal([]byte(resp.Header.Get(serve.ColumnsHeader)), &names); err != nil {
		return fmt.Errorf("read columns of the answer: %w", err)
	}
	if err := columns(names); err != nil {
		return err
	}
	for line, err := range lines(resp) {
		if err != nil {
			return err
		}
		if err := row(line); err != nil {
			return err
		}
	}
	return nil
}

// Status returns what the owner says of itself.
func (c *Client) Status(ctx context.Context) (json.RawMessage, error) {
	return c.answer(ctx, http.MethodGet, "/v1/status")
}

// Reload has the owner read its chain anew, and returns what changed.
func (c *Client) Reload(ctx context.Context) (json.RawMessage, error) {
	return c.answer(ctx, http.MethodPost, "/v1/chain/reload")
}

// Requeue has the owner put messages of the quarantine on the stream once more,
// those with the given IDs or, with none, all. It yields what became of each, as
// an object; its bytes are valid until the next.
func (c *Client) Requeue(ctx context.Context, ids []string) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		question := map[string]any{"ids": ids}
		if len(ids) == 0 {
			question = map[string]any{"all": true}
		}
		body, err := json.Marshal(question)
		if err != nil {
			yield(nil, err)
			return
		}
		c.post(ctx, "/v1/quarantine/requeue", body)(yield)
	}
}

// Act has the owner do what one of its actions is for, such as "erase". It
// yields what the owner tells, as objects; the bytes are valid until the next.
func (c *Client) Act(ctx context.Context, action string, order any) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		body, err := json.Marshal(order)
		if err != nil {
			yield(nil, err)
			return
		}
		c.post(ctx, "/v1/"+action, body)(yield)
	}
}

func (c *Client) post(ctx context.Context, path string, body []byte) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		resp, err := c.do(ctx, http.MethodPost, path, body)
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

func (c *Client) answer(ctx context.Context, method, path string) (json.RawMessage, error) {
	resp, err := c.do(ctx, method, path, nil)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return b, err
}

func (c *Client) do(ctx context.Context, method, path string, body []byte) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, "http://docket"+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, fmt.Errorf("ask the owner of %s: %w", c.Dir, err)
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
		return nil, fmt.Errorf("ask the owner of %s: %s", c.Dir, resp.Status)
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
