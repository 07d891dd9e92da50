// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/docket-audit/docket/cmd/internal/cli"
	"github.com/docket-audit/docket/cmd/internal/plans"
	"github.com/docket-audit/docket/cmd/internal/reading"
	"github.com/docket-audit/docket/interceptor"
	"github.com/docket-audit/docket/interceptor/chainfile"
)

func plansDiffCommand(s *settings) *cobra.Command {
	var format, gateway string
	c := &cobra.Command{
		Use:   "diff OLD NEW",
		Short: "Say what is different between two plans",
		Long: `Say what is different between two plans: bindings that were added or removed, and
the fields of bindings and of the plan itself that changed. Each plan is a DIGEST,
as-of:TIME for the one that was in force then, or a chain file, whose interceptors
are asked for their manifests, as docket up does. TIME is as for --since. A file
whose name is like a digest is given as ./NAME.

The exit code is 3 when there is a difference.`,
		Example: `  docket plans diff 3f9c21ab 77e0d1c2
  docket plans diff as-of:yesterday as-of:now --gateway gateway-0
  docket plans diff as-of:now candidate.toml`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 2 {
				return nil
			}
			return cli.Usage(cli.Hint(fmt.Errorf("docket plans diff needs two plans, not %d", len(args)), "such as: docket plans diff as-of:yesterday as-of:now"))
		},
		RunE: func(c *cobra.Command, args []string) error {
			m := &meaning{settings: s, command: c, gateway: gateway, now: time.Now()}
			defer m.close()
			var raw [2][]byte
			for i, text := range args {
				var err error
				if raw[i], err = m.plan(c.Context(), text); err != nil {
					return err
				}
			}
			changes, err := plans.Compare(raw[0], raw[1])
			if err != nil {
				return err
			}
			p, err := cli.NewPrinter(c.OutOrStdout(), format, []string{"change", "binding", "field", "before", "after"}, false)
			if err != nil {
				return err
			}
			for i := range changes {
				b, err := json.Marshal(&changes[i])
				if err == nil {
					err = p.Row(cli.Row{Cells: changes[i].Cells(), JSON: b})
				}
				if err != nil {
					return err
				}
			}
			if err := p.Close(); err != nil {
				return err
			}
			if len(changes) > 0 {
				return cli.Code(cli.ExitFound)
			}
			return nil
		},
	}
	c.Flags().StringVar(&gateway, "gateway", "", "whose plan as-of:TIME is, by the name of its emitter (default: they all had the same)")
	cli.OutputFlag(c.Flags(), &format)
	return c
}

// A meaning finds the plans that a person means by texts.
type meaning struct {
	settings *settings
	command  *cobra.Command
	gateway  string
	now      time.Time

	client *reading.Client // nil until somebody has to be asked
}

func (m *meaning) close() {
	if m.client != nil {
		m.client.Close()
	}
}

func (m *meaning) open() (err error) {
	if m.client == nil {
		m.client, err = m.settings.open(m.command)
	}
	return err
}

// plan returns the plan that is meant, as JSON.
func (m *meaning) plan(ctx context.Context, text string) ([]byte, error) {
	moment, asOf := strings.CutPrefix(text, "as-of:")
	if !asOf && !plans.IsDigest(text) {
		return m.ofFile(ctx, text)
	}
	var at time.Time
	if asOf {
		var err error
		if at, err = parseTime("as-of", moment, m.now); err != nil {
			return nil, err
		}
		if at.IsZero() {
			return nil, cli.Usage(cli.Hint(errors.New("as-of: no time"), "such as as-of:yesterday, or as-of:2026-10-28T06:00:00Z"))
		}
	}
	if err := m.open(); err != nil {
		return nil, err
	}
	var digest string
	var err error
	if asOf {
		digest, err = plans.At(ctx, m.client, at, m.gateway)
	} else {
		digest, err = plans.Resolve(ctx, m.client, text)
	}
	if err != nil {
		return nil, err
	}
	return plans.Get(ctx, m.client, digest)
}

// ofFile returns the plan that a chain file makes, as a chain would run it.
func (m *meaning) ofFile(ctx context.Context, path string) ([]byte, error) {
	on := newCast(m.settings.data)
	defer on.close()
	f, err := chainfile.Load(ctx, path, on.dialer())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, cli.Hint(err, "give a digest, as-of:TIME, or a chain file that is there")
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	for _, w := range f.Warnings {
		fmt.Fprintf(m.command.ErrOrStderr(), "docket: warning: %s\n", cli.Escape(w))
	}
	chain, err := interceptor.New(f.Plan, interceptor.Discard) // which has its defaults written out
	if err != nil {
		return nil, err
	}
	return json.Marshal(chain.Plan())
}
