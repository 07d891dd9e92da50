// SPDX-License-Identifier: Apache-2.0

package grpcproxy

import (
	"errors"
	"io"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/docket-audit/docket/interceptor"
)

// Status is the gRPC status that an Outcome answers the caller. It is the only
// place where one becomes the other. A deny never becomes a success.
func Status(o *interceptor.Outcome) *status.Status {
	switch {
	case o.Status == nil && o.Ran:
		return status.New(codes.Unknown, "lost") // the handler ran, and nobody knows what came of it
	case o.Status == nil:
		return status.New(codes.PermissionDenied, "operation denied")
	case !o.Ran && o.Status.Code() == codes.OK:
		return status.New(codes.PermissionDenied, "operation denied")
	}
	return o.Status
}

// named is the trailer that every governed answer carries.
func named(op *interceptor.Operation) metadata.MD {
	return metadata.Pairs(keyOperationUID, string(op.UID))
}

// pending is the trailer of an answer that is given before its record is
// durable; else it is empty.
func pending(o *interceptor.Outcome) metadata.MD {
	if o.AuditPending {
		return metadata.Pairs(keyAudit, auditPending)
	}
	return nil
}

// relayed is the error that answers with what the upstream ended a call with.
// The details of a status travel in a trailer, in bytes that we pass on as they
// are, so they must not be encoded a second time.
func relayed(err error, trailer metadata.MD) error {
	if err == nil || errors.Is(err, io.EOF) {
		return nil
	}
	s := statusOf(err)
	if len(trailer["grpc-status-details-bin"]) > 0 {
		return status.Error(s.Code(), s.Message())
	}
	return s.Err()
}

func statusOf(err error) *status.Status {
	if s, ok := status.FromError(err); ok {
		return s
	}
	return status.FromContextError(err)
}

// unreached makes an error that gRPC raised here, without any answer from the
// upstream, one that does not tell the caller where the upstream is. An answer
// always has a content type, in its header or, when it has none, its trailer.
func unreached(err error, header, trailer metadata.MD) (error, bool) {
	answered := len(header["content-type"])+len(trailer["content-type"]) > 0
	if err == nil || answered || status.Code(err) != codes.Unavailable {
		return err, false
	}
	return status.Error(codes.Unavailable, "upstream unavailable"), true
}
