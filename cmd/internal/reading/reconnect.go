// SPDX-License-Identifier: Apache-2.0

package reading

import (
	"context"
	"errors"
	"io"
	"iter"
	"math/rand/v2"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	auditv1 "github.com/docket-audit/docket/schemas/proto/docket/audit/v1"
)

// A Reconnect says how a tail comes back. Its zero value does, and tells nobody.
type Reconnect struct {
	// First is the delay before the first attempt, and each one after it is twice
	// as long, up to Most; 200 ms and 10 s where they are zero.
	First, Most time.Duration
	// Random shortens a delay by up to a half, so that not all who lost a server
	// come back at once. In [0, 1); nil is [rand.Float64].
	Random func() float64
	// Wait waits for a delay, or until the context has ended; nil is a timer.
	Wait func(context.Context, time.Duration)

	// Lost is told once, when a first attempt has failed, why the connection was
	// lost: nil is that the server has stopped.
	Lost func(why error)
	// Back is told that the server answers again, and after how many attempts.
	Back func(why error, attempts int)
}

// FollowOn is [Client.Follow] of a tail that outlasts its connections: when the
// server has stopped, or cannot be reached any more, it goes on behind the last
// item once there is a server, for as long as that takes. The first connection has
// to succeed: what never answered may be the wrong address. Whatever another
// attempt does not better ends it. A directory as it lies has nobody to come back.
func (c *Client) FollowOn(ctx context.Context, r *auditv1.TailRequest, how Reconnect) iter.Seq2[*auditv1.TailResponse, error] {
	if c.again == nil || !r.GetFollow() {
		return c.Follow(ctx, r)
	}
	return func(yield func(*auditv1.TailResponse, error) bool) {
		t := &resumed{how: how.orDefaults(), request: proto.CloneOf(r), at: c, first: c}
		defer t.leave()
		for {
			err := t.at.follow(ctx, t.request, func(item *auditv1.TailResponse) bool {
				t.took(item)
				return yield(item, nil)
			})
			if err == nil || ctx.Err() != nil {
				return
			}
			if !t.began || !t.at.passes(err) {
				if !errors.Is(err, io.EOF) {
					yield(nil, t.at.Answered(err))
				}
				return
			}
			if err := t.comeBack(ctx, err); err != nil {
				yield(nil, err)
				return
			}
			if ctx.Err() != nil {
				return
			}
		}
	}
}

// A resumed tail is one over as many connections as it takes.
type resumed struct {
	how     Reconnect
	request *auditv1.TailRequest // what goes on behind the last item
	at      *Client              // who is asked now
	first   *Client              // the caller's, who closes it

	began    bool  // there is an item to go on behind
	away     bool  // since the last item
	why      error // of the connection that was lost; nil: the server has stopped
	attempts int   // since then
	streak   int   // attempts without anything new
}

func (h Reconnect) orDefaults() Reconnect {
	if h.First <= 0 {
		h.First = 200 * time.Millisecond
	}
	if h.Most <= 0 {
		h.Most = 10 * time.Second
	}
	if h.Random == nil {
		h.Random = rand.Float64
	}
	if h.Wait == nil {
		h.Wait = wait
	}
	if h.Lost == nil {
		h.Lost = func(error) {}
	}
	if h.Back == nil {
		h.Back = func(error, int) {}
	}
	return h
}

func wait(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// took notes where to go on.
func (t *resumed) took(item *auditv1.TailResponse) {
	if t.away {
		t.how.Back(t.why, t.attempts)
		t.away, t.attempts = false, 0
	}
	if item.GetCaughtUp() == nil { // which a server that ends at once says too
		t.streak = 0
	}
	t.began = true
	t.request.All, t.request.Last, t.request.Since, t.request.ResumeToken = false, 0, nil, item.GetResumeToken()
}

// comeBack waits, and connects anew: until somebody is there to be asked, or the
// context has ended. Its error is final.
func (t *resumed) comeBack(ctx context.Context, err error) error {
	if !t.away {
		t.away, t.why = true, nil
		if !errors.Is(err, io.EOF) {
			t.why = t.at.Answered(err)
		}
	}
	for {
		if t.attempts++; t.attempts == 2 {
			t.how.Lost(t.why)
		}
		t.how.Wait(ctx, t.delay())
		t.streak++
		if ctx.Err() != nil {
			return nil
		}
		next, err := t.first.again(ctx)
		if err == nil {
			t.leave()
			t.at = next
			return nil
		}
		if t.first.remote != nil {
			return err // nothing was asked yet: the context is wrong
		}
	}
}

func (t *resumed) delay() time.Duration {
	d := t.how.Most
	if t.streak < 16 {
		d = min(d, t.how.First<<t.streak)
	}
	return d - time.Duration(t.how.Random()*float64(d)/2)
}

// leave closes the connection that is not the caller's.
func (t *resumed) leave() {
	if t.at != t.first {
		t.at.Close()
	}
}

// passes reports whether the end of a tail that follows is one after which another
// attempt is of use. Proxies reset the stream of a server that they lost.
func (c *Client) passes(err error) bool {
	if errors.Is(err, io.EOF) {
		return true
	}
	if c.remote != nil && c.remote.distrusted() {
		return false
	}
	s, _ := status.FromError(err)
	switch s.Code() {
	case codes.Unavailable, codes.Canceled: // by the server: our own context has not ended
		return true
	case codes.Internal:
		return strings.Contains(s.Message(), "RST_STREAM") || strings.Contains(s.Message(), "without sending trailers") || strings.Contains(s.Message(), "unexpected EOF")
	}
	return false
}
