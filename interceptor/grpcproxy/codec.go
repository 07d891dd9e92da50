// SPDX-License-Identifier: Apache-2.0

package grpcproxy

import (
	"fmt"

	"google.golang.org/grpc/mem"
)

// frame is one message as it is on the wire, without its length prefix. Of a
// message longer than its limit it learns only the length, so that one that is
// to be refused is not copied first. Limit 0 is none.
type frame struct {
	payload []byte
	limit   int
	size    int // of the message that was received
}

// rawCodec passes frames on as they are. It is forced on both sides of the
// proxy, so that gRPC never looks into a message.
type rawCodec struct{}

func (rawCodec) Marshal(v any) (mem.BufferSlice, error) {
	f, ok := v.(*frame)
	if !ok {
		return nil, fmt.Errorf("marshal %T: the proxy sends frames only", v)
	}
	return mem.BufferSlice{mem.SliceBuffer(f.payload)}, nil
}

func (rawCodec) Unmarshal(data mem.BufferSlice, v any) error {
	f, ok := v.(*frame)
	if !ok {
		return fmt.Errorf("unmarshal %T: the proxy receives frames only", v)
	}
	if f.size = data.Len(); f.limit == 0 || f.size <= f.limit {
		f.payload = data.Materialize()
	}
	return nil
}

// Name would become the content subtype where the caller stated none. None is
// what shall go on then.
func (rawCodec) Name() string { return "" }
