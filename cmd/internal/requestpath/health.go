// SPDX-License-Identifier: Apache-2.0

package requestpath

import (
	"context"
	"fmt"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/docket-audit/docket/interceptor"
	"github.com/docket-audit/docket/interceptor/remote"
)

// How an interceptor is.
const (
	Serving     = "serving"
	Unreachable = "unreachable" // nobody answers
	NotServing  = "not_serving" // somebody answers, and says that it does not serve
	Refuses     = "refuses"     // it does not accept who calls it: the token, if it gets one
)

const (
	lookEvery = 5 * time.Second
	lookLimit = 3 * time.Second // of each look
	// tokenEvery is how many looks there are to one that asks with the token.
	tokenEvery = 12
	// grace is how long an interceptor may be away before its gateway is not
	// ready any more: long enough for a restart.
	grace = 10 * time.Second
)

// Health is how an interceptor does, as of the last look at it.
type Health struct {
	Interceptor string `json:"interceptor"`
	State       string `json:"state"`
	// Denies says that while it does not serve, what its bindings select is
	// denied: an enforced one of them fails closed. Else operations pass it.
	Denies bool      `json:"denies"`
	Token  bool      `json:"token"`           // it is called with a token
	Since  time.Time `json:"since,omitzero"`  // the state is known, of one that does not serve
	Detail string    `json:"detail,omitzero"` // why, for the operator alone: it tells addresses
}

// String says it in a sentence.
func (h Health) String() string {
	if h.State == Serving {
		return fmt.Sprintf("interceptor %s serves", h.Interceptor)
	}
	effect := "its bindings fail open or only observe: operations pass without it"
	if h.Denies {
		effect = "what its bindings select is denied"
	}
	words := map[string]string{Unreachable: "is not reachable", NotServing: "answers, but does not serve,", Refuses: "refuses who calls it"}
	s := fmt.Sprintf("interceptor %s %s since %s, and %s", h.Interceptor, words[h.State], h.Since.UTC().Format(time.RFC3339), effect)
	if h.Detail != "" {
		s += ": " + h.Detail
	}
	return s
}

// A peer is an interceptor at the other end of a connection.
type peer struct {
	name   string
	token  bool
	client *remote.Client

	mu     sync.Mutex
	state  string    // guarded by mu; "" is serving: it gave its manifest
	detail string    // guarded by mu
	since  time.Time // guarded by mu
}

// look asks the interceptor how it is: by the health service, and, withToken, by
// what only those may ask whom it accepts.
func (r *peer) look(ctx context.Context, withToken bool) (state string, err error) {
	ctx, cancel := context.WithTimeout(ctx, lookLimit)
	defer cancel()
	err = r.client.Check(ctx)
	if err == nil && withToken && r.token {
		_, err = r.client.Describe(ctx)
	}
	switch code := status.Code(err); {
	case err == nil:
		return Serving, nil
	case code == codes.Unauthenticated, code == codes.PermissionDenied:
		return Refuses, err
	case code == codes.Unavailable, code == codes.DeadlineExceeded:
		return Unreachable, err
	}
	return NotServing, err
}

// note keeps what a look found, and reports whether that is news.
func (r *peer) note(state string, err error, withToken bool, now time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.state == Refuses && state == Serving && r.token && !withToken {
		return false // who did not show the token was not refused either
	}
	was := r.state
	if was == "" {
		was = Serving
	}
	r.state, r.detail = state, ""
	if err != nil {
		r.detail = err.Error()
	}
	if was != state {
		r.since = now
	}
	return was != state
}

func (r *peer) health(denies bool) Health {
	r.mu.Lock()
	defer r.mu.Unlock()
	h := Health{Interceptor: r.name, State: r.state, Denies: denies, Token: r.token}
	if h.State == "" || h.State == Serving {
		h.State = Serving
		return h
	}
	h.Since, h.Detail = r.since, r.detail
	return h
}

// denying names the interceptors of which an enforced binding fails closed.
func denying(plan *interceptor.Plan) map[string]bool {
	out := map[string]bool{}
	for i := range plan.Bindings {
		b := &plan.Bindings[i]
		for _, phase := range b.Phases {
			policy := b.FailurePolicy
			if phase == interceptor.ModifyOperation && b.ModifyPolicy != 0 {
				policy = b.ModifyPolicy
			}
			if !b.Shadow && phase != interceptor.PostCommit && policy == interceptor.FailClosed {
				out[b.Interceptor] = true
			}
		}
	}
	return out
}

// watch looks at the interceptors until ctx ends.
func (p *Path) watch(ctx context.Context) {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for n := 1; ; n++ {
		select {
		case <-tick.C:
			p.look(ctx, n%tokenEvery == 0)
		case <-ctx.Done():
			return
		}
	}
}

// look looks at all interceptors in force.
func (p *Path) look(ctx context.Context, withToken bool) {
	l := p.file.Load()
	var looking sync.WaitGroup
	for _, r := range l.peers {
		looking.Go(func() {
			state, err := r.look(ctx, withToken)
			// What is not in force any more may have been closed meanwhile.
			if ctx.Err() != nil || p.file.Load() != l || !r.note(state, err, withToken, p.now()) {
				return
			}
			if state == Serving {
				p.log.Warn("an interceptor serves again", "interceptor", r.name)
				return
			}
			p.log.Warn("an interceptor does not serve", "interceptor", r.name, "state", state, "denies", l.denies[r.name], "error", err)
		})
	}
	looking.Wait()
}

// Health says how the interceptors in force were at the last look, by name.
func (p *Path) Health() []Health {
	l := p.file.Load()
	out := make([]Health, len(l.peers))
	for i, r := range l.peers {
		out[i] = r.health(l.denies[r.name])
	}
	return out
}

// Ready says whether calls are governed as the plan means it. One interceptor
// that is away for longer than a restart takes and whose bindings fail closed
// makes it unready: what they select is denied here, and perhaps is not by the
// gateway beside. One whose bindings fail open does not: without it calls pass,
// with findings, and taking the gateway away would make an outage of that.
func (p *Path) Ready() error {
	for _, h := range p.Health() {
		if h.State != Serving && h.Denies && p.now().Sub(h.Since) >= grace {
			h.Detail = "" // who asks may be anyone
			return fmt.Errorf("the chain: %v", h)
		}
	}
	return nil
}
