// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/spf13/cobra"

	"github.com/docket-audit/docket/cmd/internal/cli"
	"github.com/docket-audit/docket/cmd/internal/datadir"
	"github.com/docket-audit/docket/cmd/internal/eventfile"
	"github.com/docket-audit/docket/cmd/internal/ingest"
	"github.com/docket-audit/docket/cmd/internal/natsaccess"
	"github.com/docket-audit/docket/cmd/internal/reading"
	"github.com/docket-audit/docket/cmd/internal/requestpath"
	"github.com/docket-audit/docket/collector/lake"
	"github.com/docket-audit/docket/emitter"
	"github.com/docket-audit/docket/internal/profile"
	"github.com/docket-audit/docket/ocsf/schema"
)

// ingestOptions are what the flags of ingest say.
type ingestOptions struct {
	tenant, schema string
	name, url      string
	access         natsaccess.Access
	format         string
}

func ingestCommand(s *settings) *cobra.Command {
	var o ingestOptions
	c := &cobra.Command{
		Use:   "ingest FILE...",
		Short: "Take in OCSF events that others recorded",
		Long: `Take in OCSF events that others recorded, through the stream, as events of kind
foreign. FILE holds events as JSON in any of the ways that docket validate takes:
one a line, an array, with or without gzip; - is standard input.

Each event is stored once, however often it is taken in, in this file or another: its
uid follows from its content and its tenant. So a run that was killed is simply made
again. What ours must have is put in its place, and what stood there is kept
beside it; docs/ingest.md says where. An event that does not conform to the version
of the schema that it names is stored, and says so in unmapped.docket.ingest. What is no
JSON object is reported with its line, and not stored.

A docket that collects has to run over the data directory. By default events are
sent to its broker; --nats and --creds name another way to the same stream, and
--emitter whom the credentials are for.

The exit code is 3 when events did not conform, 4 when something could not be
taken in.`,
		Example: `  docket ingest /var/log/openshell-ocsf.2026-11-*.log
  docket ingest --tenant acme --schema 1.7.0 export/*.json.gz
  zcat events.gz | docket ingest -`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(c *cobra.Command, files []string) error {
			if err := o.check(files); err != nil {
				return err
			}
			if err := lakeOnly(s.data, "ingest"); err != nil {
				return err
			}
			i := &ingesting{o: &o, dir: s.data, files: files, stdin: c.InOrStdin(), stderr: c.ErrOrStderr()}
			err := i.run(c.Context())
			if werr := i.report(c.OutOrStdout()); err == nil {
				err = werr
			}
			if err != nil {
				return cli.Hint(err, "run the same again: what is stored is not stored twice")
			}
			return i.verdict()
		},
	}
	f := c.Flags()
	f.StringVar(&o.tenant, "tenant", "", "tenant of all events (default: the one that each names, else "+profile.TenantDefault+")")
	f.StringVar(&o.schema, "schema", schema.Default, "version that events are judged by that name none, or one that is not known")
	f.StringVar(&o.name, "emitter", "ingest", "name of the emitter, which has a WAL in DIR/ingest")
	f.StringVar(&o.url, "nats", "", "URL of a server to send by")
	o.access.Flags(f)
	f.StringVarP(&o.format, "output", "o", "", "format: table, json (default table)")
	return c
}

func (o *ingestOptions) check(files []string) error {
	switch {
	case !slices.Contains(schema.Versions(), o.schema):
		return cli.Usagef("--schema %s: there is no such version", o.schema)
	case o.tenant == profile.TenantDocket:
		return cli.Usagef("--tenant %s: this tenant is Docket's own", o.tenant)
	case o.format != "" && o.format != cli.Table && o.format != cli.JSON:
		return cli.Usage(cli.Hint(fmt.Errorf("ingest has no output format %q", o.format), "use table or json"))
	}
	if stdin := slices.Index(files, eventfile.Stdin); stdin >= 0 && slices.Contains(files[stdin+1:], eventfile.Stdin) {
		return cli.Usagef("standard input can be read once only")
	}
	return nil
}

// An ingesting is one run of the verb.
type ingesting struct {
	o      *ingestOptions
	dir    string
	files  []string
	stdin  io.Reader
	stderr io.Writer

	bar     *cli.Progress
	take    *ingest.Run
	convert *ingest.Converter
	summary ingestSummary
}

// An ingestSummary is what -o json prints.
type ingestSummary struct {
	Events        int `json:"events"`        // that were found
	Stored        int `json:"stored"`        // by this run; unless it is settled, some may be on their way
	Duplicates    int `json:"duplicates"`    // that are stored already
	Nonconformant int `json:"nonconformant"` // of them; they are stored all the same
	Wrapped       int `json:"wrapped"`       // of these, in an application error
	Skipped       int `json:"skipped"`       // parts of the input that are no events
	// Settled says that the run came to its end, and the store has what it sent.
	Settled bool `json:"settled"`
}

func (i *ingesting) run(ctx context.Context) (err error) {
	client, err := openOwner(ctx, i.dir, "start `docket up` there: it stores what is ingested")
	if err != nil {
		return err
	}
	defer client.Close()
	conn, err := i.connect()
	if err != nil {
		return err
	}
	defer conn.Close()
	// Its events go where the owner of the directory takes its own from.
	owner, err := statusOf(ctx, client)
	if err != nil {
		return err
	}
	em, err := i.open(conn, owner.Stream.Name)
	if err != nil {
		return err
	}
	running, stop := context.WithCancel(context.WithoutCancel(ctx))
	ended := make(chan error, 1)
	go func() { ended <- em.Run(running) }()
	defer func() {
		closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
		defer cancel()
		if cerr := em.Close(closing); err == nil {
			err = cerr
		}
		stop()
		if rerr := <-ended; err == nil {
			err = rerr
		}
	}()
	reader, err := lake.OpenReader(filepath.Join(i.dir, "lake"))
	if err != nil {
		return err
	}
	defer reader.Close()
	i.take = &ingest.Run{
		Emitter: em, Store: reader, Refresh: reader.Refresh, Left: reader.Left, Settle: func(ctx context.Context) error { return settle(ctx, em, conn, owner.Stream.Name, client) },
		Refused: func(f *ingest.Foreign, err error) { i.summary.Events--; i.skip(f.File, f.Line, err) },
	}
	i.convert = ingest.NewConverter(i.o.tenant, i.o.schema, time.Now)
	// What a run that was killed left in the WAL is stored before anything is
	// asked of the store.
	if err := i.take.Settle(ctx); err != nil {
		return err
	}
	if err := i.read(ctx); err != nil {
		return err
	}
	if err := i.take.Flush(ctx); err != nil {
		return err
	}
	if err := i.take.Settle(ctx); err != nil {
		return err
	}
	i.summary.Settled = true
	return nil
}

func (i *ingesting) connect() (*nats.Conn, error) {
	url := i.o.url
	if url == "" {
		var err error
		if url, err = brokerOf(i.dir); err != nil {
			return nil, err
		}
	}
	opts, err := i.o.access.Options()
	if err != nil {
		return nil, err
	}
	opts = append(opts, nats.Name("docket ingest"), nats.Timeout(5*time.Second), nats.MaxReconnects(-1), nats.CustomInboxPrefix("_INBOX."+profile.Token(i.o.name)))
	conn, err := nats.Connect(url, opts...)
	if err != nil {
		return nil, cli.Hint(fmt.Errorf("connect to %s: %w", requestpath.Redacted(url), err), natsaccess.Advice)
	}
	return conn, nil
}

// open opens the emitter of ingestion, whose key and WAL lie in the data directory.
func (i *ingesting) open(conn *nats.Conn, stream string) (*emitter.Emitter, error) {
	dir := filepath.Join(i.dir, "ingest")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the directory of ingestion: %w", err)
	}
	key, err := datadir.EmitterKey(filepath.Join(dir, "emitter.key"))
	if err != nil {
		return nil, err
	}
	id, vkey, err := datadir.EmitterVKey(key)
	if err != nil {
		return nil, err
	}
	// Where docket verify looks for it.
	public := filepath.Join(i.dir, "keys", "emitters", id+".vkey")
	if _, err := os.Stat(public); errors.Is(err, fs.ErrNotExist) {
		if err := os.MkdirAll(filepath.Dir(public), 0o700); err != nil {
			return nil, fmt.Errorf("keep the key of ingestion: %w", err)
		}
		if err := os.WriteFile(public, vkey, 0o644); err != nil { //nolint:gosec // it is public
			return nil, fmt.Errorf("keep the key of ingestion: %w", err)
		}
	}
	em, err := emitter.New(emitter.Config{Dir: filepath.Join(dir, "wal"), Name: i.o.name, Conn: conn, Stream: stream, Product: requestpath.Product(), Key: key})
	var locked *emitter.LockedError
	if errors.As(err, &locked) {
		return nil, cli.Hint(err, "another docket ingest runs over this data directory; wait for it")
	}
	return em, err
}

// troubled is for how long something may be in the way before it is an error: a
// connection comes back, and what a collector could not do it tries again.
const troubled = 30 * time.Second

// settle returns when all that em has taken is stored by the owner of the
// directory.
func settle(ctx context.Context, em *emitter.Emitter, conn *nats.Conn, stream string, client *reading.Client) error {
	sent := func() (bool, error) {
		s := em.State()
		for about, what := range s.Troubles {
			return false, fmt.Errorf("send events: %s: %s", about, what)
		}
		return s.Behind == 0 && s.Offered == s.Sequenced+s.Refused && s.QueueBytes == 0, nil
	}
	if err := until(ctx, sent); err != nil {
		return err
	}
	last, err := lastOf(ctx, conn, stream)
	if err != nil {
		return err
	}
	return until(ctx, func() (bool, error) {
		r, err := statusOf(ctx, client)
		if err == nil && r.Collector.Error != "" {
			err = fmt.Errorf("wait for the store: %s", r.Collector.Error)
		}
		return err == nil && r.Collector.StreamSeq >= last, err
	})
}

// until asks ok again and again, and fails with its error once that stays.
func until(ctx context.Context, ok func() (bool, error)) error {
	var since time.Time
	for {
		done, err := ok()
		switch {
		case done:
			return nil
		case err == nil:
			since = time.Time{}
		case since.IsZero():
			since = time.Now()
		case time.Since(since) > troubled:
			return err
		}
		if err := pause(ctx); err != nil {
			return err
		}
	}
}

func lastOf(ctx context.Context, conn *nats.Conn, stream string) (uint64, error) {
	js, err := jetstream.New(conn)
	if err != nil {
		return 0, fmt.Errorf("open JetStream: %w", err)
	}
	s, err := js.Stream(ctx, stream)
	if err != nil {
		return 0, fmt.Errorf("ask for stream %s: %w", stream, err)
	}
	return s.CachedInfo().State.LastSeq, nil
}

func pause(ctx context.Context) error {
	select {
	case <-time.After(20 * time.Millisecond):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
