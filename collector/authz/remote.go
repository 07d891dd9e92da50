// SPDX-License-Identifier: Apache-2.0

package authz

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"sync/atomic"
	"time"
)

const (
	// maxAge is how long a key set is used before it is fetched again, so that a key
	// that was withdrawn is not accepted for long.
	maxAge = 15 * time.Minute
	// fetchAgain is the least time between two fetches, whoever asks for what.
	fetchAgain = 10 * time.Second
	// fetchLimit is how long one may take.
	fetchLimit = 5 * time.Second
)

// remote is a key set at a URL. It is fetched when a token needs it: the first time,
// when a token names a key that it lacks, and when it is old. When that fails, the
// last good set stays in force.
type remote struct {
	url    string
	client *http.Client
	now    func() time.Time
	log    *slog.Logger

	set atomic.Pointer[fetched]
	// gate is held by whoever fetches; it guards tried and ever.
	gate  chan struct{}
	tried time.Time
	ever  bool
}

type fetched struct {
	keys []key
	at   time.Time
}

func newRemote(address string, client *http.Client, now func() time.Time, log *slog.Logger) (*remote, error) {
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil {
		return nil, errors.New("the URL of a key set is https://HOST/PATH, without a password")
	}
	own := http.Client{Transport: &http.Transport{Proxy: http.ProxyFromEnvironment, DisableKeepAlives: true}}
	if client != nil {
		own = *client
	}
	// Who can answer at another place could give keys of their own.
	own.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &remote{url: address, client: &own, now: now, log: log, gate: make(chan struct{}, 1)}, nil
}

// keys returns the set in force, nil before there was one.
func (r *remote) keys(ctx context.Context) []key {
	s := r.set.Load()
	switch {
	case s == nil:
		return r.again(ctx)
	case r.now().Sub(s.at) >= maxAge:
		// One of the callers fetches. The others go by what is there.
		select {
		case r.gate <- struct{}{}:
			r.fetch(ctx)
			<-r.gate
		default:
		}
	}
	return r.current()
}

// again fetches the set if that is allowed already, or waits for who does, and
// returns what is in force then.
func (r *remote) again(ctx context.Context) []key {
	select {
	case r.gate <- struct{}{}:
		r.fetch(ctx)
		<-r.gate
	case <-ctx.Done():
	}
	return r.current()
}

func (r *remote) current() []key {
	if s := r.set.Load(); s != nil {
		return s.keys
	}
	return nil
}

// fetch is called with the gate held.
func (r *remote) fetch(ctx context.Context) {
	now := r.now()
	if r.ever && now.Sub(r.tried) < fetchAgain {
		return
	}
	r.tried, r.ever = now, true
	// Others wait for it too, so that a caller who leaves does not end it.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), fetchLimit)
	defer cancel()
	keys, err := r.load(ctx)
	if err != nil {
		r.log.Warn("the key set could not be fetched: the last good one stays in force", "url", r.url, "have_one", r.set.Load() != nil, "error", err)
		return
	}
	r.set.Store(&fetched{keys: keys, at: now})
}

func (r *remote) load(ctx context.Context) ([]key, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, r.url, http.NoBody)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Accept", "application/jwk-set+json, application/json")
	resp, err := r.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("status %s", resp.Status)
	}
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxKeySet+1))
	if err != nil {
		return nil, err
	}
	if len(b) > maxKeySet {
		return nil, fmt.Errorf("it has more than %d bytes", maxKeySet)
	}
	return keySet(b)
}
