// SPDX-License-Identifier: Apache-2.0

package grpcproxy

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/connectivity"
	v1 "google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"
)

const (
	// askTimeout bounds one conversation with the upstream's reflection.
	askTimeout = 5 * time.Second
	// askAgain is how long an answer stands, good or bad, before doubt about it
	// makes us ask again.
	askAgain = time.Second
	// maxUnknown is how many services are kept in mind that do not exist.
	maxUnknown = 1000
	// maxReflected bounds what an upstream may tell of one service, in bytes.
	maxReflected = 64 << 20
)

// reflected are the descriptors that an upstream tells of itself. They are
// asked for when a service is first called, and kept as long as the connection
// stands: behind a new one there may be another upstream.
type reflected struct {
	upstream grpc.ClientConnInterface
	now      func() time.Time
	limit    int           // of what is told of one service, in bytes
	conns    atomic.Uint64 // counts the states that the connection has been seen to change to

	mu       sync.Mutex
	services map[string]*reflectedService // guarded by mu

	// What is linked is kept for the services to come, as long as the connection.
	linking sync.Mutex
	linked  linked // guarded by linking
	over    uint64 // conns, when linked was begun; guarded by linking
}

// reflectedService is what is known of one service.
type reflectedService struct {
	asking chan struct{} // holds one token: who has it may ask

	mu    sync.Mutex
	files *protoregistry.Files // guarded by mu; nil until there was an answer
	types types                // guarded by mu
	conn  uint64               // guarded by mu; reflected.conns when that was asked for
	err   error                // guarded by mu; of the newest attempt
	asked time.Time            // guarded by mu; when it ended
	tried uint64               // guarded by mu; reflected.conns when it began
}

func newReflected(upstream grpc.ClientConnInterface, now func() time.Time) *reflected {
	return &reflected{upstream: upstream, now: now, limit: maxReflected, services: map[string]*reflectedService{}}
}

// watch notes until ctx ends when the connection changes.
func (r *reflected) watch(ctx context.Context) {
	conn, ok := r.upstream.(interface {
		GetState() connectivity.State
		WaitForStateChange(ctx context.Context, from connectivity.State) bool
	})
	if !ok {
		return
	}
	for conn.WaitForStateChange(ctx, conn.GetState()) {
		r.conns.Add(1)
	}
}

// find looks a method up, and asks the upstream when it is not known. That a
// service does not exist is remembered too, for a moment and within bounds:
// under a binding for every method callers can ask for what they make up.
func (r *reflected) find(ctx context.Context, service, name string) (*method, error) {
	s := r.service(service)
	if s.over(r.conns.Load()) {
		m, err := s.known(service, name)
		if err == nil {
			return m, nil
		}
		if errors.Is(err, ErrNoDescriptor) && r.now().Sub(s.askedAt()) < askAgain {
			return nil, err
		}
	}
	if err := r.ask(ctx, service, s); err != nil {
		r.forgetSome()
		return nil, err
	}
	return s.known(service, name)
}

func (r *reflected) refresh(ctx context.Context, service string, old *method) *method {
	s := r.service(service)
	if r.now().Sub(s.askedAt()) < askAgain || r.ask(ctx, service, s) != nil {
		return nil
	}
	m, err := s.known(service, string(old.Name()))
	if err != nil {
		return nil
	}
	return m
}

func (r *reflected) service(name string) *reflectedService {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.services[name]
	if s == nil {
		s = &reflectedService{asking: make(chan struct{}, 1)}
		r.services[name] = s
	}
	return s
}

// forgetSome drops the services that never answered when they get too many.
func (r *reflected) forgetSome() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.services) <= maxUnknown {
		return
	}
	maps.DeleteFunc(r.services, func(_ string, s *reflectedService) bool { return s.neverAnswered() })
}

// over reports whether what is known came over this connection.
func (s *reflectedService) over(conn uint64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.conn == conn
}

func (s *reflectedService) askedAt() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asked
}

func (s *reflectedService) neverAnswered() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.files == nil
}

// known looks into what was told.
func (s *reflectedService) known(service, name string) (*method, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.files != nil:
		return lookUp(s.files, s.types, service, name)
	case s.err != nil:
		return nil, s.err
	}
	return nil, fmt.Errorf("%w: service %q was not asked for yet", ErrNoDescriptor, service)
}

// ask asks the upstream for a service, unless another call just did.
func (r *reflected) ask(ctx context.Context, service string, s *reflectedService) error {
	before, conn := s.askedAt(), r.conns.Load()
	select {
	case s.asking <- struct{}{}:
		defer func() { <-s.asking }()
	case <-ctx.Done():
		return ctx.Err()
	}
	s.mu.Lock()
	if s.asked != before && s.tried == conn {
		defer s.mu.Unlock()
		return s.err
	}
	s.mu.Unlock()

	files, err := r.download(ctx, service)
	if ctx.Err() != nil {
		return ctx.Err() // tells nothing about the upstream
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err, s.asked, s.tried = err, r.now(), conn
	switch {
	case err == nil:
		s.files, s.types, s.conn = files, types{dynamicpb.NewTypes(files)}, conn
	case errors.Is(err, ErrNoDescriptor) && s.conn != conn:
		// Whoever answers now knows no such service, or tells nothing.
		s.files, s.types, s.conn = nil, types{}, conn
	}
	return err
}

// download speaks to the upstream's reflection, in its first version or in the
// one before that, which differ in the name of the service only.
func (r *reflected) download(ctx context.Context, service string) (*protoregistry.Files, error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	var err error
	for _, version := range []string{"v1", "v1alpha"} {
		var set *descriptorpb.FileDescriptorSet
		set, err = r.conversation(ctx, "/grpc.reflection."+version+".ServerReflection/ServerReflectionInfo", service)
		if err == nil {
			return r.link(set, service)
		}
		if status.Code(err) != codes.Unimplemented {
			break
		}
	}
	switch status.Code(err) {
	case codes.Unimplemented:
		return nil, fmt.Errorf("%w: the upstream serves no reflection", ErrNoDescriptor)
	case codes.NotFound:
		return nil, fmt.Errorf("%w: the upstream does not know service %q", ErrNoDescriptor, service)
	}
	return nil, fmt.Errorf("ask upstream for descriptors of %q: %w", service, err)
}

// link links a service's files. Those of another symbol are not kept: an upstream
// has many, and callers name services as they like.
func (r *reflected) link(set *descriptorpb.FileDescriptorSet, service string) (*protoregistry.Files, error) {
	if !declares(set, service) {
		return nil, fmt.Errorf("%w: %q is not a service of the upstream", ErrNoDescriptor, service)
	}
	r.linking.Lock()
	defer r.linking.Unlock()
	if conn := r.conns.Load(); r.linked == nil || r.over != conn {
		r.linked, r.over = linked{}, conn
	}
	return r.linked.link(set)
}

// declares reports whether a service is declared in the files.
func declares(set *descriptorpb.FileDescriptorSet, service string) bool {
	for _, f := range set.GetFile() {
		name, ok := service, true
		if pkg := f.GetPackage(); pkg != "" {
			name, ok = strings.CutPrefix(service, pkg+".")
		}
		if ok && slices.ContainsFunc(f.GetService(), func(s *descriptorpb.ServiceDescriptorProto) bool { return s.GetName() == name }) {
			return true
		}
	}
	return false
}

// conversation asks for the file of a service, and for what it imports as far
// as the upstream does not send it along.
func (r *reflected) conversation(ctx context.Context, path, service string) (*descriptorpb.FileDescriptorSet, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // ends the stream
	cs, err := r.upstream.NewStream(ctx, &grpc.StreamDesc{ClientStreams: true, ServerStreams: true}, path,
		grpc.MaxCallRecvMsgSize(r.limit))
	if err != nil {
		return nil, err
	}
	stream := &grpc.GenericClientStream[v1.ServerReflectionRequest, v1.ServerReflectionResponse]{ClientStream: cs}

	set, have, size := &descriptorpb.FileDescriptorSet{}, map[string]bool{}, 0
	ask := func(req *v1.ServerReflectionRequest) error {
		if err := stream.Send(req); err != nil {
			_, err = stream.Recv() // the reason why it could not be sent
			return err
		}
		resp, err := stream.Recv()
		if err != nil {
			return err
		}
		if e := resp.GetErrorResponse(); e != nil {
			return status.Error(codes.Code(e.GetErrorCode()), e.GetErrorMessage())
		}
		for _, raw := range resp.GetFileDescriptorResponse().GetFileDescriptorProto() {
			if size += len(raw); size > r.limit {
				return fmt.Errorf("the files have more than %d bytes", r.limit)
			}
			f := &descriptorpb.FileDescriptorProto{}
			if err := proto.Unmarshal(raw, f); err != nil {
				return fmt.Errorf("read file descriptor: %w", err)
			}
			if !have[f.GetName()] {
				have[f.GetName()] = true
				set.File = append(set.File, f)
			}
		}
		return nil
	}
	err = ask(&v1.ServerReflectionRequest{MessageRequest: &v1.ServerReflectionRequest_FileContainingSymbol{FileContainingSymbol: service}})
	for i := 0; err == nil && i < len(set.GetFile()); i++ { // grows while it is walked
		for _, path := range set.GetFile()[i].GetDependency() {
			if have[path] {
				continue
			}
			err = ask(&v1.ServerReflectionRequest{MessageRequest: &v1.ServerReflectionRequest_FileByFilename{FileByFilename: path}})
			if status.Code(err) == codes.NotFound {
				err = nil // link may have it itself
			}
			if err != nil {
				break
			}
		}
	}
	return set, err
}
