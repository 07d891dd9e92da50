// SPDX-License-Identifier: Apache-2.0

package demo

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	sandboxv1 "github.com/docket-audit/docket/schemas/proto/demo/sandbox/v1"
)

// Tenants are those of the demo's client.
var Tenants = []string{"acme", "globex"}

// The metadata keys that the demo's configuration trusts.
const (
	tenantKey = "x-tenant"
	userKey   = "x-user"
)

// SecretCanary and PublicCanary make the two siblings of a message: the first
// must appear nowhere in what Docket writes, the second must.
func SecretCanary(id string) string { return "SECRETCANARY-" + id }

// PublicCanary is what stands beside [SecretCanary].
func PublicCanary(id string) string { return "PUBLICCANARY-" + id }

// pace is the time between the calls of one tenant: two of them make twenty
// calls a second, one call at a time each.
const pace = 100 * time.Millisecond

// Traffic calls the service behind conn for every tenant until ctx ends, and
// writes each call to journal before the next.
func Traffic(ctx context.Context, conn grpc.ClientConnInterface, journal *Journal) error {
	var wg sync.WaitGroup
	errs := make([]error, len(Tenants))
	for i, tenant := range Tenants {
		wg.Go(func() {
			errs[i] = (&caller{tenant: tenant, client: sandboxv1.NewSandboxesClient(conn), journal: journal}).run(ctx)
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

type caller struct {
	tenant  string
	client  sandboxv1.SandboxesClient
	journal *Journal
}

func (c *caller) run(ctx context.Context) error {
	tick := time.NewTicker(pace)
	defer tick.Stop()
	for n := 0; ; n++ {
		if err := c.call(ctx, n); err != nil {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// call makes call n and journals it. A call that has begun is seen to its end:
// the client must not be the reason for a cancelled operation.
func (c *caller) call(ctx context.Context, n int) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
	defer cancel()
	user := []string{"alice", "bob", "carol"}[n%3]
	ctx = metadata.AppendToOutgoingContext(ctx,
		tenantKey, c.tenant,
		userKey, user,
		"authorization", "Bearer "+SecretCanary(fmt.Sprintf("%s-%d-header", c.tenant, n)))
	var trailer metadata.MD
	method, err := c.send(ctx, n, &trailer)
	line := Line{Method: method, Status: codeName(status.Code(err)), Time: time.Now().UTC(), Tenant: c.tenant}
	if v := trailer.Get("docket-operation-uid"); len(v) > 0 {
		line.OperationUID = v[0]
	}
	return c.journal.Write(line)
}

// send picks the call by its number, in rounds of ten:
//
//	0 3 6  create, in turns well-named, ill-named and unlabelled; from the second
//	       round on one in three has an image that is not allowed
//	1 4    update what was created, in turns fine, too large, of a bad image
//	2 7    get
//	5      create something too large
//	8      delete, in turns what is there, what is kept and what is gone
//	9      get what is not there
func (c *caller) send(ctx context.Context, n int, trailer *metadata.MD) (string, error) {
	opt := grpc.Trailer(trailer)
	round := n / 10
	switch n % 10 {
	case 0, 3, 6:
		_, err := c.client.CreateSandbox(ctx, &sandboxv1.CreateSandboxRequest{Sandbox: c.sandbox(n, imageOf(n/3))}, opt)
		return "CreateSandbox", err
	case 5:
		sb := c.sandbox(n, imageOf(0))
		sb.Spec.Replicas = MaxReplicas + int32(round%5) + 1
		_, err := c.client.CreateSandbox(ctx, &sandboxv1.CreateSandboxRequest{Sandbox: sb}, opt)
		return "CreateSandbox", err
	case 1, 4:
		sb := c.sandbox(n-1, imageOf(round))
		sb.Annotations["note"] = fmt.Sprintf("change %d", n)
		_, err := c.client.UpdateSandbox(ctx, &sandboxv1.UpdateSandboxRequest{Sandbox: sb}, opt)
		return "UpdateSandbox", err
	case 8:
		name := strings.ToLower(c.name(n - 8))
		if round%3 == 1 {
			name = "keep-" + name
		}
		_, err := c.client.DeleteSandbox(ctx, &sandboxv1.DeleteSandboxRequest{Name: name}, opt)
		return "DeleteSandbox", err
	default:
		name := strings.ToLower(c.name(n - n%10))
		if n%10 == 9 {
			name = "no-such-" + name
		}
		_, err := c.client.GetSandbox(ctx, &sandboxv1.GetSandboxRequest{Name: name}, opt)
		return "GetSandbox", err
	}
}

func (c *caller) name(n int) string {
	name := fmt.Sprintf("%s-box-%d", c.tenant, n)
	if n%2 == 1 {
		return strings.ToUpper(name[:1]) + name[1:]
	}
	return name
}

func (c *caller) sandbox(n int, image string) *sandboxv1.Sandbox {
	id := fmt.Sprintf("%s-%d", c.tenant, n)
	sb := &sandboxv1.Sandbox{
		Name:        c.name(n),
		Annotations: map[string]string{"ticket": fmt.Sprintf("OPS-%d", 1000+n)},
		Labels:      map[string]string{"team": []string{"red", "green", "blue"}[n%3], "managed-by": "hand"},
		Spec: &sandboxv1.SandboxSpec{
			Image:       image,
			Replicas:    int32(n%4) + 1,
			Environment: map[string]string{"STAGE": []string{"test", "production"}[n%2]},
			Credentials: &sandboxv1.Credentials{
				Token:     SecretCanary(id + "-token"),
				TokenHint: PublicCanary(id + "-hint"),
				Secrets:   map[string]string{"db": SecretCanary(id + "-map")},
			},
			Ports: []*sandboxv1.Port{{Number: uint32(8000 + n%100), Name: "http"}},
			Tier:  sandboxv1.Tier(n%2 + 1),
		},
	}
	if n%4 >= 2 {
		delete(sb.Labels, "managed-by")
	}
	return sb
}

// imageOf returns the images in turns; every third is on nobody's list, and
// every sixth on the demo's list but not on a stricter one.
func imageOf(n int) string {
	switch n % 6 {
	case 1, 4:
		return fmt.Sprintf("docker.example/unknown/tool:%d", n%7)
	case 2:
		return "registry.example/team/builder:2"
	default:
		return "registry.example/base/runner:1"
	}
}

func codeName(c codes.Code) string {
	switch c {
	case codes.OK:
		return "OK"
	case codes.Canceled:
		return "CANCELLED"
	}
	var b strings.Builder
	for i, r := range c.String() {
		if i > 0 && 'A' <= r && r <= 'Z' {
			b.WriteByte('_')
		}
		b.WriteRune(r)
	}
	return strings.ToUpper(b.String())
}
