// SPDX-License-Identifier: Apache-2.0

package reading

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"net"
	"path/filepath"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/proto"

	"github.com/docket-audit/docket/cmd/internal/datadir"
	"github.com/docket-audit/docket/collector/authz"
	"github.com/docket-audit/docket/collector/lake"
	"github.com/docket-audit/docket/collector/serve"
	"github.com/docket-audit/docket/collector/sql"
	auditv1 "github.com/docket-audit/docket/schemas/proto/docket/audit/v1"
)

// A Client asks one data directory, or the server of a context.
type Client struct {
	// Audit asks what the methods below do not. Its errors are for
	// [serve.FromStatus].
	Audit auditv1.AuditServiceClient

	Dir    string // "" of a server
	Server string // the context of it; "" of a directory
	Live   bool   // somebody answers who stores what comes
	// Damaged is what an offline directory lacks; nil when it is whole.
	Damaged error

	admin  *admin // nil where nobody owns the directory, or it is a server's
	store  *lake.Reader
	remote *remote // nil of a directory
	// again connects anew to who answers now; nil of a directory as it lies.
	again func(context.Context) (*Client, error)
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
			if err := datadir.Within(dir, "read the directory as it lies", "start `docket up` on it: who runs it is asked"); err != nil {
				return nil, err
			}
			return offline(dir)
		}
		if err == nil {
			var conn net.Conn
			if conn, err = datadir.DialSocket(ctx, dir); err == nil {
				conn.Close()
				return socket(dir)
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

// maxMessage is the largest answer that is taken: an event may have 8 MiB, and
// the events of an operation come together.
const maxMessage = 128 << 20

func socket(dir string) (*Client, error) {
	dial := func(ctx context.Context, _ string) (net.Conn, error) { return datadir.DialSocket(ctx, dir) }
	conn, err := grpc.NewClient("passthrough:///docket", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(dial), grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxMessage)))
	if err != nil {
		return nil, fmt.Errorf("ask the owner of %s: %w", dir, err)
	}
	a := newAdmin(dir)
	again := func(ctx context.Context) (*Client, error) { return owner(ctx, dir) }
	return &Client{Audit: auditv1.NewAuditServiceClient(conn), Dir: dir, Live: true, admin: a, again: again, close: func() {
		conn.Close()
		a.close()
	}}, nil
}

// owner returns a client of the owner of dir, and of nobody else.
func owner(ctx context.Context, dir string) (*Client, error) {
	if _, err := datadir.Owner(dir); err != nil {
		return nil, err
	}
	conn, err := datadir.DialSocket(ctx, dir)
	if err != nil {
		return nil, err
	}
	conn.Close()
	return socket(dir)
}

// offline serves the directory inside this process.
func offline(dir string) (*Client, error) {
	r, err := lake.OpenReader(filepath.Join(dir, "lake"))
	if err != nil {
		return nil, err
	}
	s := serve.New(serve.Config{
		ID:      StoreID(dir),
		Store:   r,
		Commits: func() uint64 { return r.Manifest().Number },
		// Who waits can stop waiting, and may read the answer in a pager.
		Query:  SQL(r, Processes(sql.Limits{Stall: -1, Total: -1})),
		Stall:  -1,
		Limit:  24 * time.Hour,
		Plan:   Plans(dir),
		Plans:  PlanDigests(dir),
		Ledger: Ledger(dir),
	})
	// Whoever can read the directory has read it.
	audit := s.Client(authz.Trusted("local", authz.ByDirectory), "directory")
	return &Client{Audit: audit, Dir: dir, Damaged: r.Damaged(), store: r, close: func() {
		s.Close()
		r.Close()
	}}, nil
}

// Close gives the client up. The contexts of what it was asked must have ended.
func (c *Client) Close() { c.close() }

// Tail yields the last n events (all: n < 0) that filter selects, oldest first,
// and with follow those that come, until ctx ends or the owner stops. An
// event's bytes are valid until the next.
func (c *Client) Tail(ctx context.Context, n int, follow bool, filter string) iter.Seq2[[]byte, error] {
	r := &auditv1.TailRequest{All: n < 0, Last: int32(min(max(n, 0), 1<<30)), Follow: follow, Filter: filter}
	return func(yield func([]byte, error) bool) {
		for item, err := range c.Follow(ctx, r) {
			if (err != nil || item.GetEvent() != nil) && !yield(item.GetEvent(), err) {
				return
			}
		}
	}
}

// Follow yields what a tail sends: events and words about the tail itself, each
// with the token that goes on behind it. It ends when ctx does, without an error.
func (c *Client) Follow(ctx context.Context, r *auditv1.TailRequest) iter.Seq2[*auditv1.TailResponse, error] {
	return func(yield func(*auditv1.TailResponse, error) bool) {
		err := c.follow(ctx, r, func(item *auditv1.TailResponse) bool { return yield(item, nil) })
		if err != nil && !errors.Is(err, io.EOF) && ctx.Err() == nil {
			yield(nil, c.Answered(err))
		}
	}
}

// follow calls each with the items of a tail until it has enough, which is no
// error, or the tail ends: io.EOF is its end, another error one of gRPC.
func (c *Client) follow(ctx context.Context, r *auditv1.TailRequest, each func(*auditv1.TailResponse) bool) error {
	ctx, enough := context.WithCancel(ctx)
	defer enough()
	stream, err := c.Audit.Tail(ctx, r)
	for err == nil {
		var item *auditv1.TailResponse
		if item, err = stream.Recv(); err == nil && !each(item) {
			return nil
		}
	}
	return err
}

// Search yields the events that r selects, page after page, until limit of them
// were (0: all). It ends when ctx does, without an error.
func (c *Client) Search(ctx context.Context, r *auditv1.SearchEventsRequest, limit int64) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		r := proto.CloneOf(r)
		for n := int64(0); ; {
			r.PageSize = 1000
			if left := limit - n; limit > 0 && left < 1000 {
				r.PageSize = int32(left)
			}
			page, err := c.Audit.SearchEvents(ctx, r)
			if ctx.Err() != nil {
				return
			}
			if err != nil {
				yield(nil, c.Answered(err))
				return
			}
			for _, raw := range page.GetEvents() {
				if n++; !yield(raw, nil) {
					return
				}
			}
			if r.PageToken = page.GetNextPageToken(); r.PageToken == "" || limit > 0 && n >= limit {
				return
			}
		}
	}
}

// Query asks in SQL and calls columns once and then row for each row, with one
// JSON object whose members are in the order of the columns.
func (c *Client) Query(ctx context.Context, q *auditv1.QueryRequest, columns func([]string) error, row func([]byte) error) error {
	ctx, enough := context.WithCancel(ctx)
	defer enough()
	stream, err := c.Audit.Query(ctx, q)
	if err != nil {
		return c.Answered(err)
	}
	for first := true; ; first = false {
		part, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return c.Answered(err)
		}
		if first {
			if err := columns(part.GetColumns()); err != nil {
				return err
			}
		}
		for _, r := range part.GetRows() {
			if err := row(r); err != nil {
				return err
			}
		}
	}
}

// Answered is an error of Audit as the server meant it.
func (c *Client) Answered(err error) error {
	err = serve.FromStatus(err)
	var e *serve.RemoteError
	if errors.As(err, &e) && e.Field != "" && !strings.Contains(e.Message, e.Field) {
		e.Message = e.Field + ": " + e.Message
	}
	if c.remote != nil && errors.As(err, &e) {
		return c.remote.explain(e.Code, err)
	}
	if errors.As(err, &e) && e.Code == "unavailable" && c.Live && e.Advice == "" {
		return fmt.Errorf("ask the owner of %s: %w", c.Dir, err)
	}
	return err
}

// Status returns what the owner says of itself; without an owner, what there is
// to be read.
func (c *Client) Status(ctx context.Context) (json.RawMessage, error) {
	if c.store != nil {
		m := c.store.Manifest()
		return json.Marshal(map[string]any{"store": map[string]any{"commit": m.Number, "files": len(m.Files), "events": m.Rows()}})
	}
	if c.admin == nil {
		return nil, c.nobody()
	}
	return c.admin.answer(ctx, "GET", "/v1/status")
}

// Reload has the owner read its chain anew, and returns what changed.
func (c *Client) Reload(ctx context.Context) (json.RawMessage, error) {
	if c.admin == nil {
		return nil, c.nobody()
	}
	return c.admin.answer(ctx, "POST", "/v1/chain/reload")
}

// Requeue has the owner put messages of the quarantine on the stream once more,
// those with the given IDs or, with none, all. It yields what became of each, as
// an object; its bytes are valid until the next.
func (c *Client) Requeue(ctx context.Context, ids []string) iter.Seq2[[]byte, error] {
	order := map[string]any{"ids": ids}
	if len(ids) == 0 {
		order = map[string]any{"all": true}
	}
	return c.Act(ctx, "quarantine/requeue", order)
}

// Act has the owner do what one of its actions is for, such as "erase". It
// yields what the owner tells, as objects; the bytes are valid until the next.
func (c *Client) Act(ctx context.Context, action string, order any) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		if c.admin == nil {
			yield(nil, c.nobody())
			return
		}
		body, err := json.Marshal(order)
		if err != nil {
			yield(nil, err)
			return
		}
		c.admin.post(ctx, "/v1/"+action, body)(yield)
	}
}

func (c *Client) nobody() error {
	if c.remote != nil {
		return &serve.RemoteError{Code: "unimplemented", Message: "that is asked on the machine of " + c.remote.name(), Advice: "give its directory with --data"}
	}
	return &serve.RemoteError{Code: "unimplemented", Message: "nobody runs on " + c.Dir + " who could do that", Advice: "start `docket up` on it"}
}
