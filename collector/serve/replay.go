// SPDX-License-Identifier: Apache-2.0

package serve

import (
	"context"
	"crypto/rand"
	"fmt"
	"iter"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/docket-audit/docket/collector/authz"
	"github.com/docket-audit/docket/collector/store"
	auditv1 "github.com/docket-audit/docket/schemas/proto/docket/audit/v1"
)

const maxReplays = 16 // that are remembered

// replays are those of this server.
type replays struct {
	ctx  context.Context // of those that run; a request's own ends with it
	stop context.CancelFunc
	work sync.WaitGroup

	mu     sync.Mutex
	all    []*replaying // oldest first; guarded by mu
	closed bool         // guarded by mu; once it is set no work begins
}

// A replaying is one replay.
type replaying struct {
	id      string
	owner   authz.Grant
	started time.Time
	events  atomic.Int64
	done    chan struct{} // closed when what is below is there, which nobody writes again
	ended   time.Time
	report  []byte
	err     error
}

func (r *replays) close() {
	r.mu.Lock()
	r.closed = true
	r.mu.Unlock()
	r.stop()
	r.work.Wait()
}

// start remembers a replay and lets work do it, unless one is running. p.done is
// closed when work has returned.
func (r *replays) start(p *replaying, work func()) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, other := range r.all {
		select {
		case <-other.done:
		default:
			return fmt.Errorf("%w: a replay is running", ErrBusy)
		}
	}
	if r.closed {
		return fmt.Errorf("%w: the server stops", ErrBusy)
	}
	if len(r.all) == maxReplays {
		r.all = slices.Delete(r.all, 0, 1)
	}
	r.all = append(r.all, p)
	r.work.Go(func() {
		defer close(p.done)
		work()
	})
	return nil
}

func (r *replays) find(id string) *replaying {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, p := range r.all {
		if p.id == id {
			return p
		}
	}
	return nil
}

// StartReplay implements [auditv1.AuditServiceServer].
func (s *service) StartReplay(ctx context.Context, r *auditv1.StartReplayRequest) (*auditv1.StartReplayResponse, error) {
	if s.cfg.Replay == nil {
		return nil, fmt.Errorf("%w: nothing is replayed here", ErrUnsupported)
	}
	sel, err := selectionOf(ctx, r)
	if err != nil {
		return nil, err
	}
	plan := ""
	if r.GetPlan() != "" {
		digest, err := digestOf("plan", r.GetPlan())
		if err != nil {
			return nil, err
		}
		if _, err := s.plan(ctx, digest); err != nil {
			return nil, err
		}
		plan = "sha256:" + digest
	}
	p := &replaying{id: rand.Text(), owner: *authz.FromContext(ctx), started: s.cfg.Now(), done: make(chan struct{})}
	err = s.replays.start(p, func() {
		run := s.replays.ctx
		if !p.owner.Expires.IsZero() {
			var cancel context.CancelFunc
			run, cancel = context.WithTimeoutCause(run, p.owner.Expires.Sub(p.started), errExpired)
			defer cancel()
		}
		p.report, p.err = s.cfg.Replay(run, plan, s.replayed(run, sel, p))
		if p.err != nil && run.Err() != nil {
			p.err = context.Cause(run)
		}
		p.ended = s.cfg.Now()
	})
	if err != nil {
		return nil, err
	}
	return &auditv1.StartReplayResponse{Id: p.id}, nil
}

// replayed yields what is selected, in the order in which it was stored.
func (s *Server) replayed(ctx context.Context, sel selection, p *replaying) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		// One runs at a time, for as long as it takes: it keeps nobody's turn.
		err := s.read(ctx, sel, func(e *store.Entry) error {
			p.events.Add(1)
			// What replays keeps the events of operations that have not ended.
			if !yield(slices.Clone(e.Raw), nil) {
				return errEnough
			}
			return nil
		})
		if err != nil {
			yield(nil, err)
		}
	}
}

// GetReplay implements [auditv1.AuditServiceServer].
func (s *service) GetReplay(ctx context.Context, r *auditv1.GetReplayRequest) (*auditv1.GetReplayResponse, error) {
	if err := named("id", r.GetId()); err != nil {
		return nil, err
	}
	who, p := authz.FromContext(ctx), s.replays.find(r.GetId())
	if p == nil || who.Subject != p.owner.Subject || who.Issuer != p.owner.Issuer || who.By != p.owner.By {
		return nil, nothing("replay", r.GetId())
	}
	// A report tells of all that was replayed: a token that covers less than the
	// one it was begun with is not shown it, nor told which tenants those are.
	if slices.ContainsFunc(p.owner.Prefixes, func(prefix string) bool { return !who.Covers(prefix) }) {
		return nil, &authz.Error{Err: authz.ErrDenied, Reason: "the replay was begun with a token that covers more", Advice: "ask with that token"}
	}
	resp := &auditv1.GetReplayResponse{Id: p.id, State: "running", Started: timestamppb.New(p.started), Events: p.events.Load()}
	select {
	case <-p.done:
		resp.State, resp.Ended, resp.Report = "done", timestamppb.New(p.ended), p.report
		if p.err != nil {
			resp.State, resp.Error, resp.Report = "failed", p.err.Error(), nil
		}
	default:
	}
	sent(ctx, 1)
	return resp, nil
}
