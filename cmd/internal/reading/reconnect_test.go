// SPDX-License-Identifier: Apache-2.0

package reading

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/docket-audit/docket/cmd/internal/contexts"
	"github.com/docket-audit/docket/collector/lake"
	"github.com/docket-audit/docket/collector/serve"
	"github.com/docket-audit/docket/collector/store"
	"github.com/docket-audit/docket/collector/store/storetest"
	"github.com/docket-audit/docket/internal/profile"
	"github.com/docket-audit/docket/ocsf"
	auditv1 "github.com/docket-audit/docket/schemas/proto/docket/audit/v1"
)

// A house is a store with events of its own, and a server in front of it that
// stops and starts at one address.
type house struct {
	t       *testing.T
	lake    *lake.Lake
	epoch   *storetest.Epoch
	stream  uint64
	added   []string // metadata.uids
	secret  string   // of the token that is taken
	address string
	api     *serve.Server
	http    *http.Server
	served  chan error // what Serve returned
}

func newHouse(t *testing.T) *house {
	t.Helper()
	store, err := lake.Open(filepath.Join(t.TempDir(), "lake"), lake.Options{})
	if err != nil {
		t.Fatal(err)
	}
	h := &house{t: t, lake: store, epoch: storetest.NewEpoch(t, "acme", "gateway"), secret: "right", address: "127.0.0.1:0"}
	h.start()
	t.Cleanup(func() {
		h.stop(false)
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	return h
}

func (h *house) start() {
	h.t.Helper()
	l, err := new(net.ListenConfig).Listen(h.t.Context(), "tcp", h.address)
	if err != nil {
		h.t.Fatal(err)
	}
	h.address = l.Addr().String()
	h.api = serve.New(serve.Config{Store: h.lake, Commits: func() uint64 { return h.lake.Manifest().Number }, Poll: time.Millisecond})
	h.http = &http.Server{
		Handler:   h.api.Handler(serve.Door{Name: "api", Authenticate: bearer(h.t, h.secret)}),
		Protocols: new(http.Protocols), ReadHeaderTimeout: 10 * time.Second,
	}
	h.http.Protocols.SetHTTP1(true)
	h.http.Protocols.SetUnencryptedHTTP2(true)
	h.served = make(chan error, 1)
	go func(srv *http.Server, served chan<- error) { served <- srv.Serve(l) }(h.http, h.served)
}

// stop ends the server: as one that is told to, or as one whose machine is gone.
func (h *house) stop(well bool) {
	h.t.Helper()
	if h.api == nil {
		return
	}
	if well {
		h.api.Drain()
		if err := h.http.Shutdown(h.t.Context()); err != nil {
			h.t.Error(err)
		}
	}
	err := h.http.Close()
	h.api.Close()
	if served := <-h.served; err != nil || !errors.Is(served, http.ErrServerClosed) {
		h.t.Errorf("stop: %v, %v", err, served)
	}
	h.api = nil
}

// add commits n events, as a collector does.
func (h *house) add(n int) {
	h.t.Helper()
	var batch store.Batch
	for range n {
		entry := h.epoch.Seal(&ocsf.APIActivity{ActivityID: ocsf.APIActivityCreate, Base: ocsf.Base{Metadata: ocsf.Metadata{EventCode: profile.KindOutcome}}})
		h.stream++
		entry.StreamSeq = h.stream
		batch.Entries = append(batch.Entries, entry)
		h.added = append(h.added, entry.Header.MetadataUID)
	}
	batch.StreamSeq = h.stream
	if _, err := h.lake.Commit(context.WithoutCancel(h.t.Context()), batch); err != nil {
		h.t.Fatal(err)
	}
}

func (h *house) client() *Client {
	h.t.Helper()
	c, err := Remote(h.t.Context(), contexts.Context{Name: "test", URL: "http://" + h.address, Token: "right"})
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(c.Close)
	return c
}

func uidOf(t *testing.T, raw []byte) string {
	t.Helper()
	e, err := profile.Parse(raw)
	if err != nil {
		t.Fatal(err)
	}
	return e.MetadataUID
}

// A tail goes on over a server that stops and one that is gone, for however many
// attempts it takes, and each event comes once.
func TestFollowOn(t *testing.T) {
	h := newHouse(t)
	h.add(7)
	var told []string
	var delays []time.Duration
	attempts := 0 // until there is a server again
	how := Reconnect{
		First: 100 * time.Millisecond, Most: 350 * time.Millisecond, Random: func() float64 { return 0 },
		Wait: func(_ context.Context, d time.Duration) {
			delays = append(delays, d)
			if attempts--; attempts == 0 {
				h.add(2)
				h.start()
			}
		},
		Lost: func(why error) {
			if why != nil && !strings.HasPrefix(why.Error(), "cannot reach context test (http://") {
				t.Errorf("lost by %v", why)
			}
			told = append(told, fmt.Sprintf("lost, stopped: %t", why == nil))
		},
		Back: func(why error, n int) { told = append(told, fmt.Sprintf("back after %d, stopped: %t", n, why == nil)) },
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var got []string
	stops := 0
	for item, err := range h.client().FollowOn(ctx, &auditv1.TailRequest{All: true, Follow: true, Whole: true}, how) {
		if err != nil {
			t.Fatal(err)
		}
		if item.GetEvent() == nil {
			continue
		}
		got = append(got, uidOf(t, item.GetEvent()))
		if len(got) < len(h.added) {
			continue
		}
		if stops == 4 {
			break
		}
		stops++
		attempts = stops // the first time it is there at once, then it takes longer
		h.stop(stops%2 == 0)
		h.add(3)
	}
	if diff := cmp.Diff(h.added, got); diff != "" {
		t.Errorf("events (-added +followed):\n%s", diff)
	}
	if want := 7 + 4*(3+2); len(got) != want {
		t.Errorf("%d events, want %d", len(got), want)
	}
	want := []string{
		"back after 1, stopped: false",
		"lost, stopped: true", "back after 2, stopped: true",
		"lost, stopped: false", "back after 3, stopped: false",
		"lost, stopped: true", "back after 4, stopped: true",
	}
	if diff := cmp.Diff(want, told); diff != "" {
		t.Errorf("told (-want +got):\n%s", diff)
	}
	var ms []int64
	for _, d := range delays {
		ms = append(ms, d.Milliseconds())
	}
	if diff := cmp.Diff([]int64{100, 100, 200, 100, 200, 350, 100, 200, 350, 350}, ms); diff != "" {
		t.Errorf("delays (-want +got):\n%s", diff)
	}
}

// What another attempt does not better ends it.
func TestFollowOnEnds(t *testing.T) {
	follow := &auditv1.TailRequest{All: true, Follow: true, Whole: true}
	never := Reconnect{Wait: func(context.Context, time.Duration) { t.Error("it waits") }}
	ended := func(t *testing.T, c *Client, r *auditv1.TailRequest, how Reconnect, each func(*auditv1.TailResponse), want string) {
		t.Helper()
		for item, err := range c.FollowOn(t.Context(), r, how) {
			if err == nil {
				each(item)
				continue
			}
			if !strings.Contains(err.Error(), want) {
				t.Errorf("it ends with %v, want %q", err, want)
			}
			return
		}
		t.Errorf("it ends without an error, want %q", want)
	}
	nothing := func(*auditv1.TailResponse) {}
	t.Run("a filter that is none", func(t *testing.T) {
		ended(t, newHouse(t).client(), &auditv1.TailRequest{Follow: true, Filter: "kind =="}, never, nothing, "filter")
	})
	t.Run("a server that was never there", func(t *testing.T) {
		h := newHouse(t)
		h.stop(true)
		ended(t, h.client(), follow, never, nothing, "cannot reach")
	})
	t.Run("what does not follow", func(t *testing.T) {
		h := newHouse(t)
		h.add(1)
		n := 0
		for item, err := range h.client().FollowOn(t.Context(), &auditv1.TailRequest{All: true}, never) {
			if err != nil || item.GetEvent() == nil {
				t.Fatal(item, err)
			}
			n++
		}
		if n != 1 {
			t.Errorf("%d events", n)
		}
	})
	t.Run("a token that is not taken any more", func(t *testing.T) {
		h := newHouse(t)
		h.add(1)
		waits := 0
		how := Reconnect{Wait: func(context.Context, time.Duration) {
			waits++
			h.secret = "another"
			h.start()
		}}
		ended(t, h.client(), follow, how, func(item *auditv1.TailResponse) {
			if item.GetCaughtUp() != nil {
				h.stop(false)
			}
		}, "unauthenticated")
		if waits != 1 {
			t.Errorf("%d attempts", waits)
		}
	})
	t.Run("another store at its place", func(t *testing.T) {
		h := newHouse(t)
		h.add(3)
		how := Reconnect{Wait: func(context.Context, time.Duration) {
			other := newHouse(t)
			h.lake = other.lake
			h.start()
		}}
		ended(t, h.client(), follow, how, func(item *auditv1.TailResponse) {
			if item.GetCaughtUp() != nil {
				h.stop(true)
			}
		}, "resume_token")
	})
	t.Run("whoever does not want more, in backoff", func(t *testing.T) {
		h := newHouse(t)
		ctx, cancel := context.WithCancel(t.Context())
		how := Reconnect{First: time.Hour, Most: time.Hour, Wait: func(ctx context.Context, d time.Duration) {
			cancel()
			wait(ctx, d) // half an hour at least, if it did not end
		}}
		for item, err := range h.client().FollowOn(ctx, follow, how) {
			if err != nil {
				t.Fatal(err)
			}
			if item.GetCaughtUp() != nil {
				h.stop(true)
			}
		}
		if ctx.Err() == nil {
			t.Error("it ends without being told to")
		}
	})
}

// Which ends of a connection pass by themselves.
func TestPasses(t *testing.T) {
	for _, tc := range []struct {
		code    codes.Code
		message string
		want    bool
	}{
		{codes.Unavailable, "error reading from server: EOF", true},
		{codes.Canceled, "the server stops", true},
		{codes.Internal, "stream terminated by RST_STREAM with error code: INTERNAL_ERROR", true},
		{codes.Internal, "server closed the stream without sending trailers", true},
		{codes.Internal, "read segment: input/output error", false},
		{codes.Unauthenticated, "no valid token", false},
		{codes.PermissionDenied, "the capability tail is missing", false},
		{codes.InvalidArgument, "filter", false},
		{codes.Aborted, "the caller did not take the answer", false},
		{codes.Unimplemented, "unknown service", false},
		{codes.ResourceExhausted, "too large", false},
	} {
		if got := new(Client).passes(status.Error(tc.code, tc.message)); got != tc.want {
			t.Errorf("%v %s: %t", tc.code, tc.message, got)
		}
	}
}

// crashing is a server that says where a tail is and is gone again, so many times.
type crashing struct {
	auditv1.AuditServiceClient
	grpc.ClientStream

	left *int
	said bool
}

func (s *crashing) Tail(context.Context, *auditv1.TailRequest, ...grpc.CallOption) (grpc.ServerStreamingClient[auditv1.TailResponse], error) {
	return &crashing{left: s.left}, nil
}

func (s *crashing) Recv() (*auditv1.TailResponse, error) {
	if s.said {
		*s.left--
		if *s.left == 0 {
			return nil, status.Error(codes.PermissionDenied, "enough")
		}
		return nil, status.Error(codes.Unavailable, "gone")
	}
	s.said = true
	return &auditv1.TailResponse{Item: &auditv1.TailResponse_CaughtUp{CaughtUp: &auditv1.CaughtUp{}}, ResumeToken: "t"}, nil
}

// A server that comes and goes is not asked ever faster.
func TestFollowOnCrashLoop(t *testing.T) {
	left := 6
	c := &Client{Audit: &crashing{left: &left}, close: func() {}}
	c.again = func(context.Context) (*Client, error) { return c, nil }
	var delays []time.Duration
	how := Reconnect{Random: func() float64 { return 1 }, Wait: func(_ context.Context, d time.Duration) { delays = append(delays, d) }}
	for _, err := range c.FollowOn(t.Context(), &auditv1.TailRequest{Follow: true}, how) {
		if err != nil && !strings.Contains(err.Error(), "enough") {
			t.Error(err)
		}
	}
	if !slices.IsSorted(delays) || len(delays) != 5 || delays[0] != 100*time.Millisecond || delays[4] != 1600*time.Millisecond {
		t.Errorf("delays: %v", delays)
	}
}
