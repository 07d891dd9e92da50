// SPDX-License-Identifier: Apache-2.0

package chainfile

import (
	"context"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/docket-audit/docket/interceptor"
)

// mute is an interceptor that says why it does not describe itself.
type mute struct {
	described
	why error
}

func (m mute) Describe(context.Context) (*interceptor.Manifest, error) {
	if m.why == nil {
		panic("no words")
	}
	return nil, m.why
}

func (mute) Close() error { return nil }

// Why there is no manifest is told apart: nobody answered, it is none of ours, it
// would not talk to us, or it failed.
func TestWhyThereIsNoManifest(t *testing.T) {
	const endpoint = `grpc_endpoint="unix:///a"`
	for name, tc := range map[string]struct {
		lines     []string
		err       error
		msg, hint string
	}{
		"nobody there":  {[]string{endpoint}, status.Error(codes.Unavailable, "connection refused"), `at unix:///a does not answer: describe: `, "start it first"},
		"late":          {[]string{endpoint}, status.Error(codes.DeadlineExceeded, "late"), `at unix:///a does not answer: describe: `, "start it first"},
		"gone":          {[]string{endpoint}, fmt.Errorf("x: %w", context.Canceled), `at unix:///a does not answer: describe: x: context canceled`, "start it first"},
		"a failure":     {[]string{endpoint}, status.Error(codes.Internal, "no policy"), `c.toml:5: interceptor "a" at unix:///a answers with an error when it is to describe itself: describe: rpc error: code = Internal desc = no policy`, "mend the interceptor"},
		"another error": {[]string{endpoint}, errors.New("no policy"), `at unix:///a answers with an error when it is to describe itself: describe: no policy`, "mend the interceptor"},
		"too long":      {[]string{endpoint}, status.Error(codes.ResourceExhausted, "9 of 8 bytes"), `answers with an error when it is to describe itself`, "mend the interceptor"},
		"wants a token": {[]string{endpoint}, status.Error(codes.Unauthenticated, "token refused"), `does not let docket ask`, "[tokens]"},
		"not with this": {[]string{endpoint, `audience="urn:x"`, "[tokens]", `gateway_id="gw"`}, status.Error(codes.PermissionDenied, "no"), `does not let docket ask`, `tokens are for the audience "urn:x"`},
		"something else": {
			[]string{endpoint}, status.Error(codes.Unimplemented, "unknown service"), `at unix:///a is something else: what answers is no interceptor`, "openshell.gateway_interceptor.v1",
		},
		"in process":                {nil, errors.New("no policy"), `c.toml:4: interceptor "a" in process answers with an error when it is to describe itself: describe: no policy`, "mend the interceptor"},
		"in process, and late":      {nil, context.DeadlineExceeded, `interceptor "a" in process does not answer`, "within the timeout"},
		"in process, and it panics": {nil, nil, `interceptor "a" in process answers with an error when it is to describe itself: describe: describe panicked: no words`, "mend the interceptor"},
	} {
		t.Run(name, func(t *testing.T) {
			opt := Local("a", mute{why: tc.err})
			if tc.lines != nil {
				opt = Dialer(func(context.Context, Endpoint) (Client, error) { return mute{why: tc.err}, nil })
			}
			_, err := read(t, service1(tc.lines...), opt)
			refused(t, err, tc.msg, tc.hint)
			if tc.err != nil && !errors.Is(err, tc.err) {
				t.Errorf("%v does not carry its cause", err)
			}
		})
	}
	_, err := read(t, service1(endpoint), Dialer(func(context.Context, Endpoint) (Client, error) { return nil, errors.New("no such key") }))
	refused(t, err, `at unix:///a cannot be called: no such key`, "correct its table")
}

// What serves gRPC and is no interceptor is told so over the wire, too.
func TestSomethingElseAnswers(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "s")
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer()
	done := make(chan error, 1)
	go func() { done <- server.Serve(l) }()
	defer func() {
		server.Stop()
		<-done
	}()
	_, err = read(t, service1(`grpc_endpoint="unix://`+socket+`"`, `timeout="10s"`))
	refused(t, err, `is something else: what answers is no interceptor`, "openshell.gateway_interceptor.v1")
}
