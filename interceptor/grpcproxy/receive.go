// SPDX-License-Identifier: Apache-2.0

package grpcproxy

import (
	"context"
	"encoding/binary"
	"errors"
	"io"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/status"
)

// byLength is a stream of which a message's length can be read before the
// message: what gRPC's own transport offers. Flow control then holds the sender
// of a long one back.
type byLength interface {
	ReadMessageHeader(header []byte) error
	Read(n int) (mem.BufferSlice, error)
	RecvCompress() string
}

const (
	prefixBytes = 5 // of a message: compressed or not, and its length
	// packedSlack is by how much a message may grow when it is compressed.
	packedSlack = 1 << 10
)

var (
	errNoMessage = status.Error(codes.InvalidArgument, "a unary call has one message, not none")
	errMessages  = status.Error(codes.InvalidArgument, "a unary call has one message, not several")
)

// receive takes the one message of a unary call. One that is too long is refused
// by its length, before it is read, and unpacked no further than to its limit.
func (c *governedCall) receive(ss grpc.ServerStream) error {
	s, ok := grpc.ServerTransportStreamFromContext(ss.Context()).(byLength)
	if !ok {
		return c.receiveWhole(ss)
	}
	limit := c.proxy.cfg.MaxRequestBytes
	var prefix [prefixBytes]byte
	if err := s.ReadMessageHeader(prefix[:]); err != nil {
		if errors.Is(err, io.EOF) {
			return errNoMessage
		}
		return broken(err)
	}
	packed, length := prefix[0] == 1, int64(binary.BigEndian.Uint32(prefix[1:]))
	switch {
	case prefix[0] > 1:
		return status.Errorf(codes.Internal, "the message has the unknown flag %d", prefix[0])
	case !packed && length > int64(limit), packed && length > int64(limit+limit/100+packedSlack):
		return tooLong(int(length), limit).Err()
	}
	data, err := s.Read(int(length))
	if err != nil {
		return broken(err)
	}
	defer data.Free()
	if packed {
		c.request.payload, err = unpack(data, s.RecvCompress(), limit)
	} else {
		c.request.payload = data.Materialize()
	}
	if err != nil {
		return err
	}
	c.request.size = len(c.request.payload)
	switch err := s.ReadMessageHeader(prefix[:]); {
	case err == nil:
		return errMessages
	case errors.Is(err, io.EOF):
		return nil
	default:
		return broken(err)
	}
}

// unpack decompresses a message up to its limit.
func unpack(data mem.BufferSlice, name string, limit int) ([]byte, error) {
	with := encoding.GetCompressor(name)
	if with == nil {
		return nil, status.Errorf(codes.Unimplemented, "the message is compressed in the unknown way %q", name)
	}
	reader := data.Reader()
	defer reader.Close() //nolint:errcheck // it gives buffers back
	unpacked, err := with.Decompress(reader)
	if err != nil {
		return nil, status.Error(codes.Internal, "the message cannot be decompressed")
	}
	raw, err := io.ReadAll(io.LimitReader(unpacked, int64(limit)+1))
	switch {
	case err != nil:
		return nil, status.Error(codes.Internal, "the message cannot be decompressed")
	case len(raw) > limit:
		return nil, status.Errorf(codes.ResourceExhausted, "the request has more than the %d bytes that a governed one may have", limit)
	}
	return raw, nil
}

// broken is what a call is answered whose message did not arrive.
func broken(err error) error {
	if s, ok := status.FromError(err); ok {
		return s.Err()
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return status.FromContextError(err).Err()
	}
	code := codes.Internal
	if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
		code = codes.InvalidArgument // the caller's doing, as OpenShell sees it (S39)
	}
	return status.Error(code, "the message is incomplete")
}

// receiveWhole is receive where messages only come whole.
func (c *governedCall) receiveWhole(ss grpc.ServerStream) error {
	limit := c.proxy.cfg.MaxRequestBytes
	c.request.limit = limit
	if err := ss.RecvMsg(&c.request); err != nil {
		if errors.Is(err, io.EOF) {
			return errNoMessage
		}
		return err
	}
	if n := c.request.size; n > limit {
		return tooLong(n, limit).Err()
	}
	err := ss.RecvMsg(&frame{limit: 1}) // what is in it is of no interest
	if err == nil {
		return errMessages
	}
	if !errors.Is(err, io.EOF) {
		return err
	}
	return nil
}

func tooLong(size, limit int) *status.Status {
	return status.Newf(codes.ResourceExhausted, "the request has %d bytes, a governed one at most %d", size, limit)
}
