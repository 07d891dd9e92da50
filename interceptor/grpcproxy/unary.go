// SPDX-License-Identifier: Apache-2.0

package grpcproxy

import (
	"context"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/docket-audit/docket/interceptor"
)

// Unary runs the unary calls of a server in this process through the chain,
// with the defaults of [Config]. Streams do not come by here.
//
// The handler finds the operation's uid in its incoming metadata, under
// "docket-operation-uid".
func Unary(chain *interceptor.Chain) grpc.UnaryServerInterceptor {
	return Config{Chain: chain}.Unary()
}

// Unary is [Unary] with a configuration: of it Chain, Tenant, Principal,
// Attributes, Metadata, MaxRequestBytes and Now are used. It panics when that is
// wrong: without a chain, or with an attribute that carries credentials.
func (c Config) Unary() grpc.UnaryServerInterceptor {
	if err := c.fill(); err != nil {
		panic(err)
	}
	return func(ctx context.Context, request any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
		service, name, ok := splitMethod(info.FullMethod)
		if !ok {
			return nil, status.Errorf(codes.Unimplemented, "malformed method name %q", info.FullMethod)
		}
		if plan := c.Chain.Plan(); !plan.Governs(service, name) && plan.Unmatched != interceptor.UnmatchedDeny {
			return handler(ours(ctx, ""), request)
		}
		op := c.operation(ctx, service, name)
		c.Chain.Begin(op)
		if op.Refusal == nil {
			op.Request, op.Refusal = c.judgeable(request, info.FullMethod)
		}
		if op.Request != nil {
			op.Labels = labelsOf(op.Request.ProtoReflect(), c.secrets())
		}
		outcome := c.Chain.Run(ctx, op, func(ctx context.Context, request proto.Message) (proto.Message, error) {
			response, err := handler(ours(ctx, op.UID), request)
			if err != nil {
				return nil, err
			}
			answer, ok := response.(proto.Message)
			if !ok {
				return nil, status.Errorf(codes.Internal, "method %s did not answer with a protobuf message", info.FullMethod)
			}
			return answer, nil
		})
		// There is no stream in ctx when a test calls the interceptor itself.
		_ = grpc.SetTrailer(ctx, metadata.Join(named(op), pending(outcome)))
		if s := Status(outcome); s.Code() != codes.OK {
			return nil, s.Err()
		}
		return outcome.Response, nil
	}
}

// judgeable is the request that bindings can judge, or why they cannot.
func (c *Config) judgeable(request any, method string) (proto.Message, *status.Status) {
	msg, ok := request.(proto.Message)
	if !ok {
		return nil, status.Newf(codes.FailedPrecondition, "method %s is governed and its request is not a protobuf message", method)
	}
	if n := proto.Size(msg); n > c.MaxRequestBytes {
		return nil, tooLong(n, c.MaxRequestBytes)
	}
	return msg, nil
}

// ours replaces what the caller said in our metadata by what we say.
func ours(ctx context.Context, uid interceptor.UID) context.Context {
	md, _ := metadata.FromIncomingContext(ctx)
	out := withoutOurs(md)
	if uid != "" {
		out.Set(keyOperationUID, string(uid))
	}
	return metadata.NewIncomingContext(ctx, out)
}
