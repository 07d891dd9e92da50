// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"math"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/docket-audit/docket/cmd/internal/cli"
	"github.com/docket-audit/docket/cmd/internal/reading"
	"github.com/docket-audit/docket/interceptor"
	"github.com/docket-audit/docket/interceptor/chainfile"
	"github.com/docket-audit/docket/interceptor/replay"
)

func replayCommand(s *settings) *cobra.Command {
	var chain, filter, format string
	c := &cobra.Command{
		Use:   "replay",
		Short: "Run recorded operations through a chain again and print what flips",
		Long: `Run the recorded operations through a candidate chain and print which would be
decided otherwise. Without --chain each runs through the plan that was in force
for it, which shows whether its interceptors still judge as they did.

Interceptors are called where the file, or the recorded plan, says that they are
served. Those of a candidate are called as a gateway calls them, by the file's
certificates and with tokens of the gateway's key, and all must answer. Of a
recorded plan, which tells of neither, those that do not answer are answered for
from the record, with a warning; https is trusted by the system's authorities
alone. The demo's interceptors, those with demo = "NAME" in their settings, are
linked in process instead. Standard error says what was linked, what was dialled,
and what did not answer. A recorded failure is always answered from the record;
the report counts that apart. The service is never called.

The exit code is 3 when an operation flips, is patched otherwise, or meets an
error that it did not meet then; else 4 when no evaluation was re-executed, which
shows nothing. Less than 90% re-executed is a warning.`,
		Example: `  docket replay --chain candidate.toml
  docket replay --chain candidate.toml --filter 'tenant == "acme"' -o json
  docket replay`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if format != "" && format != cli.Table && format != cli.JSON {
				return cli.Usage(cli.Hint(fmt.Errorf("replay has no output format %q", format), "use table or json"))
			}
			r, err := runReplay(c.Context(), s.data, chain, filter, c.ErrOrStderr())
			if err != nil {
				return err
			}
			if format == cli.JSON {
				err = cli.PrintJSON(c.OutOrStdout(), r)
			} else {
				_, err = io.WriteString(c.OutOrStdout(), r.String())
			}
			if err != nil {
				return err
			}
			return judgeReplay(r, c.ErrOrStderr())
		},
	}
	f := c.Flags()
	f.StringVar(&chain, "chain", "", "candidate: a chain file (default: the plan recorded with each operation)")
	f.StringVar(&filter, "filter", "", `CEL over columns; select whole operations, as in 'tenant == "acme"'`)
	f.StringVarP(&format, "output", "o", "", "format: table, json (default table)")
	return c
}

// fewExecuted is the share of re-executed evaluations below which a replay says
// little; a Go test fails there by default.
const fewExecuted = 0.9

// judgeReplay says what a report is worth, and with which exit code to end.
func judgeReplay(r *replay.Report, stderr io.Writer) error {
	share := r.Executed()
	none := cli.Hint(errors.New("no evaluation was re-executed: the replay compares the record with itself"),
		"start the interceptors where the plan says they are served, or name where they are with --chain FILE")
	switch {
	case r.Operations() == 0:
		return &cli.Exit{Code: cli.ExitPartial, Err: cli.Hint(errors.New("no operation was replayed: the store holds none that the filter selects"),
			"see what is there with `docket tail --kind outcome --last 5`")}
	case r.Reexecuted == 0 && !r.Differs():
		return &cli.Exit{Code: cli.ExitPartial, Err: none}
	case r.Reexecuted == 0:
		fmt.Fprintf(stderr, "docket: warning: %v\n", none)
	case share < fewExecuted:
		fmt.Fprintf(stderr, "docket: warning: %.0f%% of the evaluations were re-executed; the others, recorded failures among them, show nothing new\n", math.Floor(100*share))
	}
	if r.Differs() {
		return cli.Code(cli.ExitFound)
	}
	return nil
}

// runReplay replays what dir holds.
func runReplay(ctx context.Context, dir, chain, filter string, stderr io.Writer) (*replay.Report, error) {
	client, err := reading.Open(ctx, dir)
	if err != nil {
		return nil, err
	}
	defer client.Close()
	on := newCast(dir)
	defer on.close()
	var plan *interceptor.Plan
	opts := []replay.Option{replay.Where(filter)}
	if chain != "" {
		f, err := chainfile.Load(ctx, chain, on.link(), on.dialer())
		if err != nil {
			return nil, err
		}
		defer f.Close()
		for _, w := range f.Warnings {
			fmt.Fprintf(stderr, "docket: warning: %s\n", cli.Escape(w))
		}
		plan = f.Plan
	} else {
		opts = append(opts, replay.Recorded(func(digest string) (*interceptor.Plan, error) {
			plan, err := recordedPlan(dir, digest, on.link())
			if err == nil {
				on.dial(ctx, plan)
			}
			return plan, err
		}))
	}
	source := &history{client: client, bar: cli.NewProgress(stderr, "replaying", cli.UnitCount)}
	r, err := replay.Run(ctx, source, plan, opts...)
	source.bar.Done()
	on.say(stderr)
	return r, err
}

// recordedPlan reads the plan with the given digest, as the collector kept it.
func recordedPlan(dir, digest string, link chainfile.Option) (*interceptor.Plan, error) {
	name := strings.TrimPrefix(digest, "sha256:")
	if name == "" || strings.ContainsAny(name, `/\.`) {
		return nil, fmt.Errorf("%q is no digest of a plan", digest)
	}
	b, err := os.ReadFile(filepath.Join(dir, "plans", name+".json"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, cli.Hint(fmt.Errorf("the plan is not in %s: %w", filepath.Join(dir, "plans"), err), "replay with a chain file: --chain FILE")
	}
	if err != nil {
		return nil, err
	}
	plan, err := chainfile.FromPlan(b, link)
	if err != nil {
		return nil, err
	}
	if found := plan.Digest(); found != digest {
		return nil, cli.Hint(fmt.Errorf("the file of plan %s holds plan %s", digest, found), "run `docket verify`")
	}
	return plan, nil
}

// A history is a [replay.Source] over a data directory.
type history struct {
	client *reading.Client
	bar    *cli.Progress
}

// Events implements [replay.Source]; where is a filter in CEL.
func (h *history) Events(ctx context.Context, where string) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		total, done := h.total(ctx), int64(0)
		for raw, err := range h.client.Tail(ctx, -1, false, where) {
			if done++; done%1000 == 0 {
				h.bar.Set(done, max(total, done))
			}
			if !yield(raw, err) {
				return
			}
		}
	}
}

// total is for the progress bar alone; 0 when nobody knows.
func (h *history) total(ctx context.Context) int64 {
	var r report
	if b, err := h.client.Status(ctx); err != nil || json.Unmarshal(b, &r) != nil {
		return 0
	}
	return r.Store.Events
}
