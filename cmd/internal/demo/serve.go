// SPDX-License-Identifier: Apache-2.0

package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/reflection"

	"github.com/docket-audit/docket/interceptor"
	"github.com/docket-audit/docket/interceptor/chainfile"
	"github.com/docket-audit/docket/interceptor/remote"
	sandboxv1 "github.com/docket-audit/docket/schemas/proto/demo/sandbox/v1"
)

// Part names of the demo beside its interceptors.
const (
	ServicePart = "service"
	ClientPart  = "client"
)

// A Part is what one process of the demo is told.
type Part struct {
	Name    string
	Dir     string // the demo's directory: chain.toml and the journals
	Socket  string // where to listen; not of the client
	Address string // what to call; of the client
}

// pause is how long the quota takes when it is slow: longer than its timeout.
const pause = 400 * time.Millisecond

// lastWord is how long a part may take to end what it is in the middle of,
// after docket has gone, however it went.
const lastWord = 600 * time.Millisecond

// Run is the life of one part. It ends when its standard input does: docket
// holds the other end and never writes, so that the pipe closes when docket
// ends, also when it was killed.
func (p Part) Run(ctx context.Context, stdin io.Reader, ready io.Writer) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		_, _ = io.Copy(io.Discard, stdin) // an error ends it as well as EOF does
		time.AfterFunc(lastWord, func() { os.Exit(1) })
		cancel()
	}()
	switch p.Name {
	case ClientPart:
		return p.client(ctx, ready)
	case ServicePart:
		return p.service(ctx, ready)
	default:
		return p.interceptor(ctx, ready)
	}
}

func (p Part) journal() string { return p.Dir + "/" + p.Name + ".ndjson" }

// listen listens on the part's socket and leaves it there at the end: by then
// it may be that of a successor.
func (p Part) listen() (net.Listener, error) {
	if err := os.Remove(p.Socket); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: p.Socket, Net: "unix"})
	if err != nil {
		return nil, fmt.Errorf("listen: %w", err)
	}
	l.SetUnlinkOnClose(false)
	return l, nil
}

func (p Part) service(ctx context.Context, ready io.Writer) error {
	journal, err := OpenJournal(p.journal())
	if err != nil {
		return err
	}
	defer journal.Close()
	lis, err := p.listen()
	if err != nil {
		return err
	}
	service := NewService(journal)
	srv := grpc.NewServer(grpc.UnaryInterceptor(service.Journalled))
	sandboxv1.RegisterSandboxesServer(srv, service)
	reflection.Register(srv)
	stop := context.AfterFunc(ctx, srv.GracefulStop)
	defer stop()
	fmt.Fprintln(ready, "ready")
	return srv.Serve(lis)
}

func (p Part) interceptor(ctx context.Context, ready io.Writer) error {
	impl, err := p.served()
	if err != nil {
		return err
	}
	lis, err := p.listen()
	if err != nil {
		return err
	}
	fmt.Fprintln(ready, "ready")
	return remote.Serve(ctx, lis, impl)
}

// served makes the interceptor from the table in chain.toml whose settings name
// it, as `docket replay` does; only as it is served the quota is slow.
func (p Part) served() (interceptor.Interceptor, error) {
	var made interceptor.Interceptor
	link := chainfile.Link(func(_ string, settings map[string]any) (interceptor.Interceptor, error) {
		if settings["demo"] != p.Name {
			return nil, nil
		}
		var err error
		made, err = New(p.Name, settings)
		return made, err
	})
	if _, err := chainfile.Explain(p.Dir+"/chain.toml", link); err != nil {
		return nil, err
	}
	if made == nil {
		return nil, fmt.Errorf("chain.toml of the demo has no interceptor with demo = %q in its settings", p.Name)
	}
	if p.Name == Quota {
		return Slow(pause), nil
	}
	return made, nil
}

func (p Part) client(ctx context.Context, ready io.Writer) error {
	journal, err := OpenJournal(p.journal())
	if err != nil {
		return err
	}
	defer journal.Close()
	_, target, ok := strings.Cut(p.Address, "://")
	if !ok {
		target = p.Address
	}
	conn, err := grpc.NewClient(target, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return fmt.Errorf("connect to %s: %w", p.Address, err)
	}
	defer conn.Close()
	fmt.Fprintln(ready, "ready")
	return Traffic(ctx, conn, journal)
}
