// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/docket-audit/docket/cmd/internal/cli"
	"github.com/docket-audit/docket/cmd/internal/datadir"
	"github.com/docket-audit/docket/cmd/internal/demo"
	"github.com/docket-audit/docket/interceptor"
	"github.com/docket-audit/docket/interceptor/chainfile"
	"github.com/docket-audit/docket/interceptor/remote"
)

// errInProcess is why there is nobody to dial.
var errInProcess = errors.New("it ran in the process of the gateway")

// answerWithin is how long an interceptor of a recorded plan has to say that it
// is there.
const answerWithin = 3 * time.Second

// A cast is who plays the interceptors in a replay, over all of its plans. It is
// used by one goroutine.
type cast struct {
	dir     string                    // the data directory, where the gateway's keys may be
	signer  *remote.Signer            // of the candidate's tokens; nil until one is needed
	linked  map[string]bool           // names
	dialled map[string]*remote.Client // by "NAME at ENDPOINT"; nil where another closes it
	absent  map[string]error          // why, by the same
}

func newCast(dir string) *cast {
	return &cast{dir: dir, linked: map[string]bool{}, dialled: map[string]*remote.Client{}, absent: map[string]error{}}
}

// link links the demo's interceptors.
func (c *cast) link() chainfile.Option {
	return demo.Link(func(name string, _ interceptor.Interceptor) { c.linked[name] = true })
}

// dialer dials those of a chain file as a gateway would, with its certificates
// and tokens. The file ends their connections itself.
func (c *cast) dialer() chainfile.Option {
	return chainfile.Dialer(func(ctx context.Context, e chainfile.Endpoint) (chainfile.Client, error) {
		opts := []remote.Option{remote.CACert(e.CACertPath), remote.ClientCert(e.ClientCert, e.ClientKey), remote.MaxResponseBytes(e.MaxResponseBytes)}
		if e.Audience != "" {
			s, err := c.sign(e.Tokens)
			if err != nil {
				return nil, err
			}
			opts = append(opts, remote.Token(s, e.Audience))
		}
		client, err := remote.Dial(ctx, e.URL, opts...)
		if err != nil {
			return nil, err // not a nil *remote.Client in a Client
		}
		c.dialled[who(e.Interceptor, e.URL)] = nil
		return client, nil
	})
}

// sign makes tokens with the key that the gateway has. None is made for a replay:
// no interceptor would know it, and the gateway's own is for the gateway to make.
func (c *cast) sign(t *chainfile.Tokens) (*remote.Signer, error) {
	if c.signer != nil {
		return c.signer, nil
	}
	path := t.Key
	if path == "" {
		path = filepath.Join(c.dir, "keys", "tokens.key")
	}
	if _, err := os.Stat(path); err != nil {
		return nil, cli.Hint(fmt.Errorf("sign tokens as the gateway: %w", err),
			"interceptors that expect tokens know the gateway's key alone: say where it is with key in [tokens]")
	}
	key, err := datadir.TokenKey(path)
	if err != nil {
		return nil, err
	}
	c.signer, err = remote.NewSigner(remote.SignerConfig{GatewayID: t.GatewayID, Key: key, TTL: t.TTL})
	return c.signer, err
}

// dial gives those bindings of a recorded plan that are not linked what answers
// at their endpoint. Without an answer they are left to the record.
func (c *cast) dial(ctx context.Context, plan *interceptor.Plan) {
	for i := range plan.Bindings {
		b := &plan.Bindings[i]
		if b.Impl != nil {
			continue
		}
		key := who(b.Interceptor, b.Endpoint)
		client, known := c.dialled[key]
		if !known && c.absent[key] == nil {
			var err error
			if client, err = reach(ctx, b); err != nil {
				c.absent[key] = err
			} else {
				c.dialled[key] = client
			}
		}
		if client != nil {
			b.Impl = client // not a nil *remote.Client in an Interceptor
		}
	}
}

// reach dials a binding's interceptor and waits until it answers.
func reach(ctx context.Context, b *interceptor.Binding) (*remote.Client, error) {
	if b.Endpoint == "" {
		return nil, errInProcess
	}
	client, err := remote.Dial(ctx, b.Endpoint, remote.MaxResponseBytes(b.MaxResponseBytes))
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, max(b.Timeout, answerWithin))
	defer cancel()
	if _, err := client.Describe(ctx); err != nil {
		_ = client.Close() // it was of no use
		return nil, err
	}
	return client, nil
}

// say tells people who played. What a plan says comes from the record.
func (c *cast) say(w io.Writer) {
	for _, list := range []struct {
		how   string
		names []string
	}{
		{"linked in process", slices.Sorted(maps.Keys(c.linked))},
		{"dialled", slices.Sorted(maps.Keys(c.dialled))},
	} {
		if len(list.names) > 0 {
			fmt.Fprintf(w, "docket: %s: %s\n", list.how, cli.Escape(strings.Join(list.names, ", ")))
		}
	}
	for _, key := range slices.Sorted(maps.Keys(c.absent)) {
		fmt.Fprintf(w, "docket: warning: %s does not answer and is answered for from the record: %s\n", cli.Escape(key), cli.Escape(c.absent[key].Error()))
	}
}

func (c *cast) close() {
	for _, client := range c.dialled {
		if client != nil {
			_ = client.Close() // nothing is under way any more
		}
	}
}

func who(name, endpoint string) string {
	if endpoint == "" {
		return name
	}
	return name + " at " + endpoint
}
