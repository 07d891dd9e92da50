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

// A whole is one message of any length on its way through, in the buffers that
// it came in: it is never copied. It is sent once at most, for then the buffers
// are gRPC's again.
type whole struct{ buffers mem.BufferSlice }

// rawCodec passes messages on as they are. It is forced on both sides of the
// proxy, so that gRPC never looks into a message.
type rawCodec struct{}

func (rawCodec) Marshal(v any) (mem.BufferSlice, error) {
	switch m := v.(type) {
	case *frame:
		return mem.BufferSlice{mem.SliceBuffer(m.payload)}, nil
	case *whole:
		buffers := m.buffers
		m.buffers = nil
		return buffers, nil
	}
	return nil, fmt.Errorf("marshal %T: the proxy sends messages as they are only", v)
}

func (rawCodec) Unmarshal(data mem.BufferSlice, v any) error {
	switch m := v.(type) {
	case *frame:
		if m.size = data.Len(); m.limit == 0 || m.size <= m.limit {
			m.payload = data.Materialize()
		}
		return nil
	case *whole:
		data.Ref()
		m.buffers = data
		return nil
	}
	return fmt.Errorf("unmarshal %T: the proxy receives messages as they are only", v)
}

// Name would become the content subtype where the caller stated none. None is
// what shall go on then.
func (rawCodec) Name() string { return "" }
