// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/docket-audit/docket/cmd/internal/ops"
	"github.com/docket-audit/docket/cmd/internal/requestpath"
)

// ready asks a process whether it is ready, by the listener of those who watch it.
func (d *diagnosis) ready(ctx context.Context, url string) *ops.State {
	state, err := readiness(ctx, url)
	switch {
	case err != nil:
		d.sayError(stateProblem, "ready", err)
		return nil
	case !state.Ready:
		d.say(stateProblem, "ready", "", "%s", state.Reason)
	default:
		d.say(stateOK, "ready", "", "%s", url)
	}
	return state
}

func readiness(ctx context.Context, url string) (*ops.State, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Accept", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", url, err)
	}
	state := &ops.State{}
	if json.Unmarshal(b, state) != nil { // of another version: its status says as much
		state = &ops.State{Ready: resp.StatusCode == http.StatusOK, Reason: resp.Status + ": " + strings.TrimSpace(string(b))}
	}
	return state, nil
}

// interceptors says how those do that the plan calls elsewhere. One that is away
// is a problem where operations are denied for want of it; where they pass
// without it, each raises a finding, and here it is a warning.
func (d *diagnosis) interceptors(all []requestpath.Health) {
	for _, h := range all {
		switch {
		case h.State == requestpath.Serving && h.Token:
			d.say(stateOK, "interceptor", "", "%v, and accepts the gateway's token", h)
		case h.State == requestpath.Serving:
			d.say(stateOK, "interceptor", "", "%v", h)
		case h.Denies:
			d.say(stateProblem, "interceptor", remedy(h), "%v", h)
		default:
			d.say(stateWarning, "interceptor", remedy(h), "%v", h)
		}
	}
}

func remedy(h requestpath.Health) string {
	if h.State == requestpath.Refuses && h.Token {
		return "give it the gateway's keys, DIR/keys/tokens.jwks.json, and compare issuer and audience"
	}
	return "the log of who calls it has the cause"
}
