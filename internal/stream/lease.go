// SPDX-License-Identifier: Apache-2.0

package stream

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// A Lease is what the bucket of leases says of one store: which collector fills
// it, until it says so no more for TTL.
type Lease struct {
	// Holder is who has it, for people; "" when it was given back.
	Holder string `json:"holder"`
	// ID is the holder's over its restarts, Term that of one time of holding.
	ID   string `json:"id"`
	Term string `json:"term"`
	// Fence is the token that goes with every commit of that time. Each holder's
	// is higher than that of the one before it. It stays when the lease is free.
	Fence uint64 `json:"fence"`
	TTL   int64  `json:"ttl_ms"`
	Since int64  `json:"since"` // ms since 1970 by the holder's clock, for people

	Revision uint64 `json:"-"` // by which it can be replaced; 0: there is none
}

// Free says whether nobody has it.
func (l *Lease) Free() bool { return l.Holder == "" && l.ID == "" }

// Life returns how long it holds without being renewed.
func (l *Lease) Life() time.Duration { return time.Duration(l.TTL) * time.Millisecond }

// ErrLeaseChanged says that a lease is not what its reader took it for.
var ErrLeaseChanged = errors.New("the lease has changed hands")

// LeaseBucket opens the bucket of leases. It fails with a [*MissingError] when
// it was never created.
func LeaseBucket(ctx context.Context, js jetstream.JetStream, opts ...Option) (jetstream.KeyValue, error) {
	return open(ctx, js, Declared(opts...).Leases.Bucket)
}

// ApplyLeases makes the bucket of leases as declared, if it is not there.
func ApplyLeases(ctx context.Context, js jetstream.JetStream, opts ...Option) error {
	return applyBucket(ctx, js, Declared(opts...).Leases)
}

// GetLease reads the lease of a store. One that nobody ever had is free, with
// revision 0, and so is one that cannot be read, with its revision.
func GetLease(ctx context.Context, kv jetstream.KeyValue, store string) (Lease, error) {
	if !isToken(store) {
		return Lease{}, fmt.Errorf("get lease of store %.80q: %w", store, ErrName)
	}
	entry, err := kv.Get(ctx, store)
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return Lease{}, nil
	}
	if err != nil {
		return Lease{}, fmt.Errorf("get lease of store %s: %w", store, err)
	}
	var l Lease
	if json.Unmarshal(entry.Value(), &l) != nil {
		l = Lease{}
	}
	l.Revision = entry.Revision()
	return l, nil
}

// PutLease replaces the lease of a store by next, if it still is the one with
// revision was (0: if there is none), and returns its revision. It fails with
// [ErrLeaseChanged] when it is another. After any other error it may have
// happened.
func PutLease(ctx context.Context, kv jetstream.KeyValue, store string, next Lease, was uint64) (revision uint64, err error) {
	if !isToken(store) {
		return 0, fmt.Errorf("put lease of store %.80q: %w", store, ErrName)
	}
	b, err := json.Marshal(next)
	if err != nil {
		return 0, fmt.Errorf("encode lease: %w", err)
	}
	if was == 0 {
		revision, err = kv.Create(ctx, store, b)
	} else {
		revision, err = kv.Update(ctx, store, b, was)
	}
	switch {
	case err == nil:
		return revision, nil
	case errors.Is(err, jetstream.ErrKeyExists), isConflict(err):
		return 0, fmt.Errorf("put lease of store %s: %w", store, ErrLeaseChanged)
	}
	return 0, fmt.Errorf("put lease of store %s: %w", store, err)
}

// isConflict says whether a server found another revision than the caller. One
// of a cluster has a code of its own for it.
func isConflict(err error) bool {
	var api *jetstream.APIError
	return errors.As(err, &api) && (api.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequence || api.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequenceConstant)
}
