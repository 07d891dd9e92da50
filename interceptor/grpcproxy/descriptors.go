// SPDX-License-Identifier: Apache-2.0

package grpcproxy

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"
)

// The decisions that a caller of [New] and [Proxy.Check] can take.
var (
	ErrNoDescriptor = errors.New("no descriptor for governed method")
	ErrStreaming    = errors.New("governed method is streaming")
)

// A MethodError says why a method cannot be governed.
type MethodError struct {
	RPC string // "service/method"
	Err error  // wraps ErrNoDescriptor or ErrStreaming
}

func (e *MethodError) Error() string { return fmt.Sprintf("govern %s: %v", e.RPC, e.Err) }
func (e *MethodError) Unwrap() error { return e.Err }

// Hint says what to do.
func (e *MethodError) Hint() string {
	if errors.Is(e.Err, ErrStreaming) {
		return "bindings govern unary methods only: take the method out of the binding"
	}
	return "check the method's name; give a FileDescriptorSet with all imports (protoc --include_imports, buf build), or let the upstream serve reflection"
}

// method is what is known of one unary or streaming method.
type method struct {
	protoreflect.MethodDescriptor
	types types // of what messages refer to by name
}

// types resolves the contents of an Any, and extensions: by the upstream's files,
// else by those of this program, as the well-known types.
type types struct{ upstream *dynamicpb.Types }

func (t types) FindMessageByName(name protoreflect.FullName) (protoreflect.MessageType, error) {
	if m, err := t.upstream.FindMessageByName(name); err == nil {
		return m, nil
	}
	return protoregistry.GlobalTypes.FindMessageByName(name)
}

func (t types) FindMessageByURL(url string) (protoreflect.MessageType, error) {
	if m, err := t.upstream.FindMessageByURL(url); err == nil {
		return m, nil
	}
	return protoregistry.GlobalTypes.FindMessageByURL(url)
}

func (t types) FindExtensionByName(name protoreflect.FullName) (protoreflect.ExtensionType, error) {
	if x, err := t.upstream.FindExtensionByName(name); err == nil {
		return x, nil
	}
	return protoregistry.GlobalTypes.FindExtensionByName(name)
}

func (t types) FindExtensionByNumber(of protoreflect.FullName, number protoreflect.FieldNumber) (protoreflect.ExtensionType, error) {
	if x, err := t.upstream.FindExtensionByNumber(of, number); err == nil {
		return x, nil
	}
	return protoregistry.GlobalTypes.FindExtensionByNumber(of, number)
}

func (m *method) streaming() bool { return m.IsStreamingClient() || m.IsStreamingServer() }

// decode reads a message of the method as dynamic one. Fields that the
// descriptor does not know are kept.
//
// The library panics where an entry of a map has its key twice, the second time
// as another type. That is one more way of not being such a message.
func (m *method) decode(kind protoreflect.MessageDescriptor, raw []byte) (msg proto.Message, err error) {
	defer func() {
		if cause := recover(); cause != nil {
			msg, err = nil, fmt.Errorf("decode %s: %v", kind.FullName(), cause)
		}
	}()
	msg = dynamicpb.NewMessage(kind)
	return msg, proto.UnmarshalOptions{Resolver: m.types, AllowPartial: true}.Unmarshal(raw, msg)
}

// descriptors finds methods. An error wraps ErrNoDescriptor when there is no
// such method, else the source could not be asked.
type descriptors interface {
	find(ctx context.Context, service, method string) (*method, error)

	// refresh is told that a request had fields that its descriptor does not
	// know, and returns the method anew if the source has changed.
	refresh(ctx context.Context, service string, m *method) *method

	// watch doubts what was found whenever the source may have changed. It
	// returns when ctx ends, or at once if there is nothing to watch.
	watch(ctx context.Context)
}

// fixed are the descriptors of a FileDescriptorSet.
type fixed struct {
	files *protoregistry.Files
	types types
}

func newFixed(raw []byte) (*fixed, error) {
	var set descriptorpb.FileDescriptorSet
	if err := proto.Unmarshal(raw, &set); err != nil {
		return nil, fmt.Errorf("read descriptors: not a FileDescriptorSet: %w", err)
	}
	if len(set.GetFile()) == 0 {
		return nil, errors.New("read descriptors: the FileDescriptorSet is empty")
	}
	files, err := link(&set)
	if err != nil {
		return nil, fmt.Errorf("read descriptors: %w", err)
	}
	return &fixed{files: files, types: types{dynamicpb.NewTypes(files)}}, nil
}

func (f *fixed) find(_ context.Context, service, name string) (*method, error) {
	return lookUp(f.files, f.types, service, name)
}

func (f *fixed) refresh(context.Context, string, *method) *method { return nil }

func (f *fixed) watch(context.Context) {}

func lookUp(files *protoregistry.Files, types types, service, name string) (*method, error) {
	d, err := files.FindDescriptorByName(protoreflect.FullName(service))
	if err != nil {
		return nil, fmt.Errorf("%w: service %q is not known", ErrNoDescriptor, service)
	}
	s, ok := d.(protoreflect.ServiceDescriptor)
	if !ok {
		return nil, fmt.Errorf("%w: %q is not a service", ErrNoDescriptor, service)
	}
	m := s.Methods().ByName(protoreflect.Name(name))
	if m == nil {
		return nil, fmt.Errorf("%w: service %q has no method %q", ErrNoDescriptor, service, name)
	}
	return &method{MethodDescriptor: m, types: types}, nil
}

// splitMethod takes "/service/method" apart.
func splitMethod(full string) (service, name string, ok bool) {
	full, ok = strings.CutPrefix(full, "/")
	i := strings.LastIndexByte(full, '/')
	if !ok || i <= 0 || i == len(full)-1 {
		return "", "", false
	}
	return full[:i], full[i+1:], true
}

// hasUnknown reports whether a message, or one inside it, holds fields that
// its descriptor does not know.
func hasUnknown(m protoreflect.Message) bool {
	if len(m.GetUnknown()) > 0 {
		return true
	}
	found := false
	m.Range(func(fd protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		switch {
		case fd.IsMap():
			if fd.MapValue().Message() != nil {
				v.Map().Range(func(_ protoreflect.MapKey, e protoreflect.Value) bool {
					found = hasUnknown(e.Message())
					return !found
				})
			}
		case fd.Message() == nil:
		case fd.IsList():
			for i := 0; i < v.List().Len() && !found; i++ {
				found = hasUnknown(v.List().Get(i).Message())
			}
		default:
			found = hasUnknown(v.Message())
		}
		return !found
	})
	return found
}
