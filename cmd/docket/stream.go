// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/spf13/cobra"

	"github.com/docket-audit/docket/cmd/internal/cli"
	"github.com/docket-audit/docket/cmd/internal/config"
	"github.com/docket-audit/docket/cmd/internal/datadir"
	"github.com/docket-audit/docket/cmd/internal/natsaccess"
	"github.com/docket-audit/docket/cmd/internal/requestpath"
	"github.com/docket-audit/docket/internal/profile"
	"github.com/docket-audit/docket/internal/stream"
)

func streamCommand(s *settings) *cobra.Command {
	c := &cobra.Command{
		Use:     "stream",
		Short:   "Work with the stream on NATS",
		Example: "  docket stream apply --nats nats://nats.example:4222 --replicas 3",
		Args:    cli.Verbs,
		RunE:    func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(streamApplyCommand(s))
	return c
}

func streamApplyCommand(s *settings) *cobra.Command {
	var (
		url, name string
		access    natsaccess.Access
		replicas  int
		room      string
		emitters  []string
	)
	c := &cobra.Command{
		Use:   "apply",
		Short: "Create the stream as declared, or make it as strong",
		Long: `Create the stream and the watermarks' bucket as declared in schemas/nats/stream.json,
or make those that are there at least as strong. What promises more stays as it
is. Emitters and collectors refuse a stream that promises less.

A server of NATS carries several streams where one is not enough. Each is for the
emitters that --emitter names and for no others, has buckets of its own, and one
store is filled from it: --stream is what [nats] stream is in the files of its
emitters and its collector, whose own emitter is one of them. Applied again with
other emitters it is for those: first take an emitter from its stream, and then
give it to the other, while it is stopped and its WAL is empty.

Without --nats it is the broker of the data directory's owner. Where none runs it is
that of NATS_URL, unless --data was given; no other server is guessed.`,
		Example: `  docket stream apply --nats nats://nats.example:4222 --creds admin.creds --replicas 3
  docket stream apply --nats nats://nats.example:4222 --replicas 3 --stream EU --emitter gateway-eu-1,gateway-eu-2,docket-eu
  docket stream apply --nats tls://nats.example:4222 --ca ca.pem --user operator --password-file operator.password`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if replicas < 1 || replicas > 5 {
				return cli.Usagef("--replicas %d: JetStream keeps 1 to 5", replicas)
			}
			if err := stream.CheckName(name); err != nil {
				return cli.Usagef("--stream: %v", err)
			}
			var maxBytes config.Bytes
			if room != "" {
				if err := maxBytes.UnmarshalText([]byte(room)); err != nil || maxBytes <= 0 {
					return cli.Usagef("--max-bytes %q: a size such as 40GiB", room)
				}
			}
			url, err := applyTo(c, s.data, url)
			if err != nil {
				return err
			}
			opts, err := access.Options()
			if err != nil {
				return err
			}
			opts = append(opts, nats.Name("docket stream apply"), nats.Timeout(5*time.Second))
			conn, err := nats.Connect(url, opts...)
			if err != nil {
				return cli.Hint(fmt.Errorf("connect to %s: %w", requestpath.Redacted(url), err), natsaccess.Advice)
			}
			defer conn.Close()
			js, err := jetstream.New(conn)
			if err != nil {
				return fmt.Errorf("open JetStream: %w", err)
			}
			ctx, cancel := context.WithTimeout(c.Context(), 30*time.Second)
			defer cancel()
			o := []stream.Option{stream.Name(name), stream.Replicas(replicas), stream.MaxBytes(int64(maxBytes))}
			if len(emitters) > 0 {
				for i, e := range emitters {
					emitters[i] = profile.Token(e)
				}
				o = append(o, stream.Emitters(emitters...))
			} else {
				o = append(o, stream.AnyEmitters())
			}
			if err := applyStream(ctx, js, o...); err != nil {
				return refusedStream(err, requestpath.Redacted(url), replicas)
			}
			if err := stream.Check(ctx, js, o...); err != nil {
				return err
			}
			whose := ""
			if len(emitters) > 0 {
				whose = ", for " + strings.Join(emitters, " ")
			}
			_, err = fmt.Fprintf(c.OutOrStdout(), "stream %s at %s is as declared%s\n", stream.Declared(o...).Stream.Name, requestpath.Redacted(url), whose)
			return err
		},
	}
	f := c.Flags()
	f.StringVar(&url, "nats", "", "URL of the server")
	access.Flags(f)
	f.IntVar(&replicas, "replicas", 1, "servers that keep a copy")
	f.StringVar(&name, "stream", stream.DefaultName, "name of the stream")
	f.StringSliceVar(&emitters, "emitter", nil, "assign the stream to these emitters alone, by name")
	f.StringVar(&room, "max-bytes", "", "room on each server, such as 40GiB; a stream that has more keeps it (default 10GiB)")
	return c
}

// applyTo returns the server whose stream it is: the one that was named, else the
// broker of the directory's owner. One that nobody named is somebody else's.
func applyTo(c *cobra.Command, dir, named string) (string, error) {
	if named != "" {
		return named, nil
	}
	url, err := brokerOf(dir)
	if env := os.Getenv("NATS_URL"); env != "" && errors.Is(err, datadir.ErrNotOwned) && !c.Flags().Changed("data") {
		return env, nil
	}
	return url, cli.Hint(err, "start `docket up` on it, or name the server with --nats, such as nats://127.0.0.1:4222")
}

// brokerOf returns the server of NATS that the owner of a directory uses.
func brokerOf(dir string) (string, error) {
	run, err := datadir.Owner(dir)
	switch {
	case errors.Is(err, datadir.ErrNotOwned):
		return "", &datadir.Error{Path: dir, Err: err}
	case err != nil:
		return "", err
	case run.Addresses["nats"] == "": // which a client would take for one of this machine
		return "", &datadir.Error{Path: dir, Err: fmt.Errorf("its owner (%s, pid %d) uses no NATS", run.Command, run.PID)}
	}
	return run.Addresses["nats"], nil
}

// applyStream asks again where nobody answers: the servers of a cluster that has
// just started leave what they are asked unanswered until they have a leader.
func applyStream(ctx context.Context, js jetstream.JetStream, o ...stream.Option) error {
	for {
		try, cancel := context.WithTimeout(ctx, 3*time.Second)
		err := stream.Apply(try, js, o...)
		cancel()
		if err == nil || ctx.Err() != nil || !errors.Is(err, context.DeadlineExceeded) {
			return err
		}
	}
}

// refusedStream puts into words what JetStream says by number.
func refusedStream(err error, url string, replicas int) error {
	const standsAlone, noPeers, overlaps, noRoom = 10074, 10005, 10065, 10047
	var api *jetstream.APIError
	if !errors.As(err, &api) {
		return err
	}
	switch api.ErrorCode {
	case standsAlone:
		return cli.Hint(fmt.Errorf("apply the stream: the server at %s stands alone and cannot keep %d copies", url, replicas), "name a server of a cluster of at least %d with --nats, or leave --replicas out", replicas)
	case noPeers:
		return cli.Hint(fmt.Errorf("apply the stream: the cluster of %s has too few servers with room to keep %d copies: %s", url, replicas, api.Description), "add servers, or lower --replicas")
	case noRoom:
		return cli.Hint(fmt.Errorf("apply the stream: the server at %s has not as much room as the stream may take: %s", url, api.Description), "lower --max-bytes, or give JetStream more: max_file_store says how much, else it is three quarters of what was free on the disk when the server started; the one in docket up has 1 TiB")
	case overlaps:
		return cli.Hint(fmt.Errorf("apply the stream: another stream of %s has these emitters", url), "say for each stream which emitters it is for, with --emitter: first for the one that has them now")
	}
	return err
}
