// SPDX-License-Identifier: Apache-2.0

package serve

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"regexp"
	"slices"

	"github.com/docket-audit/docket/collector/authz"
	"github.com/docket-audit/docket/collector/store"
	"github.com/docket-audit/docket/internal/profile"
	auditv1 "github.com/docket-audit/docket/schemas/proto/docket/audit/v1"
)

// A Ledger shows what is signed.
type Ledger interface {
	// Checkpoint returns the newest signed checkpoint.
	Checkpoint(ctx context.Context) ([]byte, error)
	// Prove returns the proof of an event with a uid. Its error is
	// [store.ErrNotFound] where there is none, and [ErrBusy] where the ledger will
	// have it in a moment.
	Prove(ctx context.Context, uid string) (*Proof, error)
}

// A Proof is what anyone can verify who has the ledger's key.
type Proof struct {
	Text []byte
	// Fingerprint is that of the event that is proven: a uid may be that of
	// several.
	Fingerprint string
	// Tenants are all that the proof speaks of: it holds the statement of a commit,
	// which has the numbers of events of each tenant.
	Tenants []string
}

// GetLedger implements [auditv1.AuditServiceServer].
func (s *service) GetLedger(ctx context.Context, r *auditv1.GetLedgerRequest) (*auditv1.GetLedgerResponse, error) {
	if s.cfg.Ledger == nil {
		return nil, fmt.Errorf("%w: there is no ledger here", ErrUnsupported)
	}
	resp := &auditv1.GetLedgerResponse{}
	if r.GetEvent() != "" {
		// A proof holds the event.
		if err := authz.FromContext(ctx).May(authz.Read); err != nil {
			return nil, err
		}
		e, err := s.event(ctx, "event", r.GetEvent())
		if err != nil {
			return nil, err
		}
		// What is not for the caller's eyes may be in an error too.
		proof, err := s.cfg.Ledger.Prove(ctx, e.Header.MetadataUID)
		switch {
		case err != nil && !authz.FromContext(ctx).Covers(authz.Everywhere):
			return nil, unproven(err)
		case err != nil:
			return nil, err
		case proof.Fingerprint != e.Header.Fingerprint:
			return nil, nothing("event", r.GetEvent()) // what is proven may be another tenant's
		case slices.ContainsFunc(proof.Tenants, func(t string) bool { return !authz.FromContext(ctx).Covers(t) }):
			return nil, &authz.Error{
				Err: authz.ErrDenied, Reason: "the proof speaks of tenants that are not covered: their events came in the same commit",
				Advice: "ask the operator for the proof (`docket prove`)",
			}
		}
		resp.Proof = string(proof.Text)
		sent(ctx, 1)
	}
	checkpoint, err := s.cfg.Ledger.Checkpoint(ctx)
	if err != nil {
		return nil, err
	}
	resp.Checkpoint = string(checkpoint)
	return resp, nil
}

// unproven is why there is no proof, in words that tell nothing else.
func unproven(err error) error {
	switch {
	case errors.Is(err, store.ErrNotFound):
		return fmt.Errorf("%w: the ledger has no such event", store.ErrNotFound)
	case errors.Is(err, ErrBusy):
		return fmt.Errorf("%w: the ledger does not have it yet", ErrBusy)
	default:
		return errors.New("the proof cannot be made; `docket verify` says why")
	}
}

var digestForm = regexp.MustCompile(`^(?:sha256:)?([0-9a-f]{64})$`)

// digestOf returns the hex of a digest, with which events have "sha256:".
func digestOf(field, text string) (string, error) {
	m := digestForm.FindStringSubmatch(text)
	if m == nil {
		return "", invalidf(field, "it is no SHA-256 in lower-case hex")
	}
	return m[1], nil
}

// plan returns the plan with a digest.
func (s *Server) plan(ctx context.Context, digest string) ([]byte, error) {
	if s.cfg.Plan == nil {
		return nil, fmt.Errorf("%w: there are no plans here", ErrUnsupported)
	}
	plan, err := s.cfg.Plan(ctx, digest)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, store.ErrNotFound) {
		return nil, nothing("plan", digest)
	}
	return plan, err
}

// GetPlan implements [auditv1.AuditServiceServer].
func (s *service) GetPlan(ctx context.Context, r *auditv1.GetPlanRequest) (*auditv1.GetPlanResponse, error) {
	digest, err := digestOf("digest", r.GetDigest())
	if err != nil {
		return nil, err
	}
	// A plan governs all tenants and may name them.
	if _, err := authz.FromContext(ctx).View([]string{profile.TenantDocket}, nil); err != nil {
		return nil, err
	}
	plan, err := s.plan(ctx, digest)
	if err != nil {
		return nil, err
	}
	sent(ctx, 1)
	return &auditv1.GetPlanResponse{Plan: plan}, nil
}
