// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/docket-audit/docket/cmd/internal/cli"
	"github.com/docket-audit/docket/collector/serve"
	"github.com/docket-audit/docket/interceptor"
	"github.com/docket-audit/docket/interceptor/replay"
	auditv1 "github.com/docket-audit/docket/schemas/proto/docket/audit/v1"
)

// replayFlags are what replay is asked.
type replayFlags struct {
	chain, against string
	asOf, gateway  string
	at             time.Time // of asOf
	where          string
	span           *span
	sample         int
	seed           uint64
	seeded         bool
	noise          bool
	workers        int
	verified       bool
	resume         string
	threshold      thresholdFlags
	format         string
}

func replayCommand(s *settings) *cobra.Command {
	var o replayFlags
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

--where selects the operations of which an event meets a condition in CEL, --since
and --until by when they began; --sample takes at most so many of each service,
method and recorded decision. --against compares with what another plan makes of
the operations now, in place of the record: a chain file, or plan:DIGEST. --as-of does
so with the plan that was in force at a time; docket plans shows which there are.

--fail-on says which differences fail, as a list of flips such as allow->deny or
*->deny, and of error, patch-diff, status-diff, failure-diff, annotation-diff,
unreplayable, any; by default any difference does. --max-flips lets so many flips
pass. What was denied and would pass now always fails, unless --allow names it.

The exit code is 4 when it was interrupted, 3 when the replay fails, else 4 when no
evaluation was re-executed, which shows nothing. Less than 90% re-executed is a
warning. docs/replay.md has the rest.`,
		Example: `  docket replay --chain candidate.toml
  docket replay --chain candidate.toml --since 30d --where 'tenant == "acme" && decision == "deny"'
  docket replay --chain candidate.toml --fail-on 'deny->allow,error' --max-flips 20 -o markdown
  docket replay --chain candidate.toml --sample 200 --seed 7 --learn-noise --workers 8
  docket replay --chain candidate.toml --since 90d --resume replay.state
  docket replay
  docket replay --step 0199c1f2-7b00-7d10-8a2b-1c2d3e4f5a6b      one operation, binding by binding`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			o.seeded = c.Flags().Changed("seed")
			if c.Flags().Changed("filter") && c.Flags().Changed("where") {
				return cli.Usage(cli.Hint(errors.New("--filter and --where exclude each other"), "they are the same: join both with &&"))
			}
			return o.run(c, s)
		},
	}
	f := c.Flags()
	f.StringVar(&o.chain, "chain", "", "candidate: a chain file (default: the plan recorded with each operation)")
	f.StringVar(&o.against, "against", recordedAs, "compare with the record, or with what a plan makes of it now: recorded, FILE, plan:DIGEST")
	f.StringVar(&o.asOf, "as-of", "", "compare with what the plan that was in force at this time makes of it now")
	f.StringVar(&o.gateway, "gateway", "", "whose plan --as-of means, where gateways had different ones")
	f.StringVar(&o.where, "where", "", `only operations of which an event meets this CEL, as in 'decision == "deny"'`)
	f.StringVar(&o.where, "filter", "", "the same as --where")
	_ = f.MarkHidden("filter") // it is there
	o.span = newSpan(f)
	f.Lookup("since").Usage = "only operations that began at this time or later: 10m (ago), 30d, yesterday, 2026-10-28, 2026-10-28T06:00:00Z"
	f.Lookup("until").Usage = "only operations that began before this time"
	f.IntVar(&o.sample, "sample", 0, "at most N operations of each service, method and recorded decision (default all)")
	f.Uint64Var(&o.seed, "seed", 0, "which operations --sample takes (default: a new one, which is printed)")
	f.BoolVar(&o.noise, "learn-noise", false, "run the old plan twice first, and pass over what differs by itself")
	f.IntVar(&o.workers, "workers", 1, "operations under way at once; 1 keeps their order, for interceptors that count")
	f.BoolVar(&o.verified, "verified", false, "refuse a history that is not whole and unchanged, as docket verify judges it")
	f.StringVar(&o.resume, "resume", "", "keep the state in this file, and go on from it when it is there")
	f.StringVar(&o.threshold.failOn, "fail-on", "", "differences that fail: flips as allow->deny, error, patch-diff, ... (default any)")
	f.StringVar(&o.threshold.allow, "allow", "", "differences that never fail, as above; the only way to let deny->allow pass")
	f.IntVar(&o.threshold.maxFlips, "max-flips", 0, "let so many flips pass, but for deny->allow and deny->modify")
	f.StringVarP(&o.format, "output", "o", "", "format: "+strings.Join(replayFormats, ", ")+" (default table)")
	for flag, list := range map[string][]string{"fail-on": ruleWords(), "allow": ruleWords(), "output": replayFormats} {
		_ = c.RegisterFlagCompletionFunc(flag, words(list...)) // the flags are there
	}
	addStep(c, s)
	return c
}

// A replayRun is one replay.
type replayRun struct {
	*replayFlags
	history   *history
	plays     *programme
	candidate *interceptor.Plan // nil: what was in force
	baseline  *interceptor.Plan // nil: the record
	kept      *keeper           // nil without --resume
	chosen    *choice
	stderr    io.Writer
}

func (o *replayFlags) run(c *cobra.Command, s *settings) error {
	t, err := o.check(time.Now())
	if err != nil {
		return err
	}
	client, err := s.open(c)
	if err != nil {
		return err
	}
	defer client.Close()
	r := &replayRun{replayFlags: o, history: &history{client: client}, stderr: c.ErrOrStderr()}
	r.plays = &programme{client: client, on: newCast(s.data), stderr: r.stderr}
	defer r.plays.close()
	report, err := r.replay(c.Context())
	if report == nil {
		if c.Context().Err() != nil && !errors.Is(err, errOtherHistory) {
			err = &cli.Exit{Code: cli.ExitPartial, Err: errors.New("interrupted before an operation was replayed")}
		}
		return err
	}
	v := t.judge(report)
	answer := &replayAnswer{Report: report, Incomplete: err != nil, Verdict: v.told()}
	if r.baseline != nil {
		answer.Against = r.baseline.Digest()
	}
	if o.sample > 0 {
		answer.Sample = &replaySample{Operations: o.sample, Seed: o.seed}
	}
	if werr := answer.write(c.OutOrStdout(), o.format, v); werr != nil {
		return werr
	}
	if err != nil {
		return r.interrupted(report)
	}
	if r.kept != nil {
		if err := r.kept.done(); err != nil {
			return err
		}
	}
	return judgeReplay(report, v, r.stderr)
}

// check reads the flags, before anything is opened.
func (o *replayFlags) check(now time.Time) (*threshold, error) {
	if o.format = cmp.Or(o.format, cli.Table); !slices.Contains(replayFormats, o.format) {
		return nil, cli.Usage(cli.Hint(fmt.Errorf("replay has no output format %q", o.format), "use one of %s", strings.Join(replayFormats, ", ")))
	}
	switch {
	case o.sample < 0:
		return nil, cli.Usagef("--sample %d: not a number of operations", o.sample)
	case o.workers < 1:
		return nil, cli.Usagef("--workers %d: at least 1 does the work", o.workers)
	case o.asOf != "" && o.against != recordedAs:
		return nil, cli.Usage(cli.Hint(errors.New("--against and --as-of exclude each other"), "each says which plan takes the record's place"))
	case o.gateway != "" && o.asOf == "":
		return nil, cli.Usage(cli.Hint(errors.New("--gateway says whose plan --as-of means, and there is none"), "add --as-of TIME"))
	case o.seeded && o.sample == 0:
		return nil, cli.Usage(cli.Hint(errors.New("--seed chooses a sample, and there is none"), "add --sample N"))
	}
	var err error
	if o.at, err = parseTime("as-of", o.asOf, now); err != nil {
		return nil, err
	}
	if err := o.span.parse(now); err != nil {
		return nil, err
	}
	if err := checkWhere(o.where); err != nil {
		return nil, err
	}
	return o.threshold.parse()
}

// replay prepares everything and runs it. A report beside an error is what there
// was when it was interrupted.
func (r *replayRun) replay(ctx context.Context) (*replay.Report, error) {
	if err := r.plans(ctx); err != nil {
		return nil, err
	}
	if err := r.begin(ctx); err != nil {
		return nil, err
	}
	if r.sample > 0 {
		fmt.Fprintf(r.stderr, "docket: a sample of at most %s each of every service, method and decision; --seed %d takes the same again\n", cli.Count(int64(r.sample), "operation"), r.seed)
	}
	if err := r.choose(ctx); err != nil {
		return nil, err
	}
	report, err := r.play(ctx)
	r.plays.on.say(r.stderr)
	return report, err
}

// plans finds those that are asked for.
func (r *replayRun) plans(ctx context.Context) (err error) {
	if r.chain != "" {
		if r.candidate, err = r.plays.load(ctx, r.chain); err != nil {
			return err
		}
	}
	switch {
	case r.asOf != "":
		r.baseline, err = r.plays.asOf(ctx, r.at, r.gateway)
	case r.against != recordedAs:
		r.baseline, err = r.plays.against(ctx, r.against)
	}
	return err
}

// begin says where the history ends: now, or where it did when a replay was begun
// that is gone on with. A history that must be verified is judged before anything
// is read of it.
func (r *replayRun) begin(ctx context.Context) error {
	var state *replayState
	var err error
	if r.resume != "" {
		if state, err = readState(r.resume); err != nil {
			return err
		}
	}
	if r.sample > 0 && !r.seeded {
		if r.seed = uint64(rand.Uint32()); state != nil {
			r.seed = state.Question.Seed
		}
	}
	q := r.question()
	if state != nil {
		if err := state.same(r.resume, q); err != nil {
			return err
		}
		r.span.from, r.span.to = state.From, state.To
	}
	if r.verified {
		if !r.span.from.IsZero() {
			r.history.since = r.span.from.Add(-marginBefore)
		}
		if err := r.history.Verified(ctx); err != nil {
			return err
		}
	}
	if state != nil {
		return r.goOn(ctx, state)
	}
	end, err := r.history.newest(ctx)
	if err != nil {
		return err
	}
	if err := r.history.pin(end); err != nil || r.resume == "" {
		return err
	}
	empty := &replay.Report{Groups: []replay.Group{}, Strata: []replay.Stratum{}}
	r.kept, err = newKeeper(r.resume, &replayState{Version: stateVersion, Question: q, From: r.span.from, To: r.span.to, End: end, Report: empty}, false)
	return err
}

func (r *replayRun) question() question {
	digest := func(p *interceptor.Plan) string {
		if p == nil {
			return recordedAs
		}
		return p.Digest()
	}
	return question{
		Where: r.where, Since: r.span.since, Until: r.span.until, Candidate: digest(r.candidate), Against: digest(r.baseline),
		Noise: r.noise, Sample: r.sample, Seed: r.seed,
	}
}

// goOn takes up a state.
func (r *replayRun) goOn(ctx context.Context, state *replayState) (err error) {
	if r.kept, err = newKeeper(r.resume, state, true); err != nil {
		return err
	}
	if err := r.history.has(ctx, state.End); err != nil {
		var refused *serve.RemoteError
		if errors.As(err, &refused) && refused.Code == "invalid_argument" {
			return r.kept.other()
		}
		return err
	}
	fmt.Fprintf(r.stderr, "docket: going on behind %s that %s replayed\n", cli.Count(int64(r.kept.had.n), "operation"), were(r.kept.had.n))
	return r.history.pin(state.End)
}

func were(n int) string {
	if n == 1 {
		return "was"
	}
	return "were"
}

// choose finds the operations that --where selects.
func (r *replayRun) choose(ctx context.Context) (err error) {
	r.history.narrow = around(r.span.from, r.span.to)
	r.history.bar = cli.NewProgress(r.stderr, "selecting", cli.UnitCount)
	defer func() {
		r.history.bar.Done()
		r.history.bar = nil
	}()
	if r.chosen, err = choose(ctx, r.history, r.where, maxChosen); err != nil {
		return err
	}
	r.history.narrow = both(r.history.narrow, r.chosen.narrow)
	return nil
}

func (r *replayRun) play(ctx context.Context) (*replay.Report, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	opts := []replay.Option{
		replay.Workers(r.workers), replay.Between(r.span.from, r.span.to), replay.Select(r.chosen.has),
		replay.Recorded(func(digest string) (*interceptor.Plan, error) { return r.plays.recorded(ctx, digest) }),
	}
	if r.baseline != nil {
		opts = append(opts, replay.Against(r.baseline))
	}
	if r.verified {
		opts = append(opts, replay.RequireVerified())
	}
	if r.noise {
		opts = append(opts, replay.LearnNoise(nil))
	}
	if r.sample > 0 {
		opts = append(opts, replay.Sample(r.sample, r.seed))
	}
	if r.kept != nil {
		r.history.begins = r.kept.restart
		opts = append(opts, r.kept.options(cancel)...)
	}
	bar, total := cli.NewProgress(r.stderr, "replaying", cli.UnitCount), r.total(ctx)
	done := int64(0)
	if r.kept != nil {
		done = int64(r.kept.had.n)
	}
	opts = append(opts, replay.Each(func(d replay.Diff) {
		done++
		bar.Set(done, max(total, done))
		if r.kept != nil {
			r.kept.took(d.Operation)
		}
	}))
	report, err := replay.Run(ctx, r.history, r.candidate, opts...)
	bar.Done()
	return r.settle(ctx, report, err)
}

// settle keeps what there is of a replay that was interrupted, and nothing of one
// that went on with another history.
func (r *replayRun) settle(ctx context.Context, report *replay.Report, err error) (*replay.Report, error) {
	if r.kept == nil {
		return report, err
	}
	if cause := context.Cause(ctx); errors.Is(cause, errOtherHistory) {
		return nil, cause
	}
	if err == nil {
		if err := r.kept.ended(); err != nil {
			return nil, err
		}
		return report, nil
	}
	if errors.Is(err, replay.ErrUnsound) {
		return nil, cli.Hint(fmt.Errorf("resume: %s: %w", r.kept.name, err), "remove the file to begin anew")
	}
	// While noise is learned nothing is replayed, and what there was stays.
	if report != nil && report.Operations() > r.kept.had.n {
		if serr := r.kept.save(report); serr != nil {
			return nil, serr
		}
	}
	return report, err
}

// total is for the progress bar alone; 0 when nobody knows.
func (r *replayRun) total(ctx context.Context) int64 {
	if !cli.IsTerminal(r.stderr) || r.sample > 0 {
		return 0
	}
	if r.chosen.uids != nil {
		return int64(len(r.chosen.uids))
	}
	request := &auditv1.StatsRequest{Filter: both(r.history.narrow, `kind == "outcome"`), Facets: []string{"kind"}}
	request.Since, request.Until = r.span.stamps() // narrow has a margin around them
	s, err := r.history.client.Audit.Stats(ctx, request)
	if err != nil {
		return 0
	}
	return s.GetEvents()
}

// interrupted is how a replay ends that was.
func (r *replayRun) interrupted(report *replay.Report) error {
	err := fmt.Errorf("interrupted: the report is of %s, and there are more", cli.Count(int64(report.Operations()), "operation"))
	if r.kept != nil {
		err = cli.Hint(err, "the same command goes on from %s", r.resume)
	} else {
		err = cli.Hint(err, "--resume FILE keeps what was replayed, to go on from there")
	}
	return &cli.Exit{Code: cli.ExitPartial, Err: err}
}

// fewExecuted is the share of re-executed evaluations below which a replay says
// little; a Go test fails there by default.
const fewExecuted = 0.9

// judgeReplay says what a report is worth, and with which exit code to end.
func judgeReplay(r *replay.Report, v *verdict, stderr io.Writer) error {
	share := r.Executed()
	none := cli.Hint(errNoneExecuted,
		"start the interceptors where the plan says they are served, or name where they are with --chain FILE")
	switch {
	case r.Operations() == 0:
		return &cli.Exit{Code: cli.ExitPartial, Err: cli.Hint(errNoOperations, "see what is there with `docket tail --kind outcome --last 5`")}
	case r.Reexecuted == 0 && !r.Differs():
		return &cli.Exit{Code: cli.ExitPartial, Err: none}
	case r.Reexecuted == 0:
		fmt.Fprintf(stderr, "docket: warning: %v\n", none)
	case share < fewExecuted:
		fmt.Fprintf(stderr, "docket: warning: %.0f%% of the evaluations were re-executed; the others, recorded failures among them, show nothing new\n", math.Floor(100*share))
	}
	if err := v.err(); err != nil {
		return err
	}
	if v.flips > 0 {
		fmt.Fprintf(stderr, "docket: %s tolerated by --max-flips\n", cli.Count(int64(v.flips), "flip"))
	}
	return nil
}

var (
	errNoneExecuted = errors.New("no evaluation was re-executed: the replay compares the record with itself")
	errNoOperations = errors.New("no operation was replayed: the store holds none that is asked for")
)
