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

	mu  sync.Mutex
	all []*replaying // oldest first; guarded by mu
}

// A replaying is one replay.
type replaying struct {
	id      string
	owner   authz.Grant
	started time.Time
	events  atomic.Int64
	done    chan struct{} // closed when what is below is there
	ended   time.Time
	report  []byte
	err     error
}

func (r *replays) close() {
	r.stop()
	r.work.Wait()
}

// add remembers a replay, unless one is running.
func (r *replays) add(p *replaying) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, other := range r.all {
		select {
		case <-other.done:
		default:
			return fmt.Errorf("%w: a replay is running", ErrBusy)
		}
	}
	if r.ctx.Err() != nil {
		return fmt.Errorf("%w: the server stops", ErrBusy)
	}
	if len(r.all) == maxReplays {
		r.all = slices.Delete(r.all, 0, 1)
	}
	r.all = append(r.all, p)
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
	if err := s.replays.add(p); err != nil {
		return nil, err
	}
	run, cancel := s.replays.ctx, context.CancelFunc(func() {})
	if !p.owner.Expires.IsZero() {
		run, cancel = context.WithTimeoutCause(run, p.owner.Expires.Sub(p.started), errExpired)
	}
	s.replays.work.Go(func() {
		defer cancel()
		defer close(p.done)
		p.report, p.err = s.cfg.Replay(run, plan, s.replayed(run, sel, p))
		if p.err != nil && run.Err() != nil {
			p.err = context.Cause(run)
		}
		p.ended = s.cfg.Now()
	})
	return &auditv1.StartReplayResponse{Id: p.id}, nil
}

// replayed yields what is selected, in the order in which it was stored.
func (s *Server) replayed(ctx context.Context, sel selection, p *replaying) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		err := s.scan(ctx, sel, func(e *store.Entry) error {
			p.events.Add(1)
			if !yield(e.Raw, nil) {
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
	// one it was begun with is not shown it.
	if _, err := who.View(p.owner.Prefixes, nil); err != nil {
		return nil, err
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
