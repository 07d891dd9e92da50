// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/spf13/cobra"

	"github.com/docket-audit/docket/cmd/internal/cli"
	"github.com/docket-audit/docket/cmd/internal/datadir"
	"github.com/docket-audit/docket/cmd/internal/requestpath"
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
		url, creds string
		replicas   int
	)
	c := &cobra.Command{
		Use:   "apply",
		Short: "Create the stream as declared, or make it as strong",
		Long: `Create the stream and the watermarks' bucket as declared in schemas/nats/stream.json,
or make those that are there at least as strong. What promises more stays as it
is. Emitters and collectors refuse a stream that promises less.

Without --nats it is the broker of the data directory's owner, or NATS_URL.`,
		Example: `  docket stream apply --nats nats://nats.example:4222 --creds admin.creds --replicas 3`,
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if replicas < 1 || replicas > 5 {
				return cli.Usagef("--replicas %d: JetStream keeps 1 to 5", replicas)
			}
			if url == "" {
				if run, err := datadir.Owner(s.data); err == nil {
					url = run.Addresses["nats"]
				}
			}
			url = cmp.Or(url, os.Getenv("NATS_URL"), nats.DefaultURL)
			opts := []nats.Option{nats.Name("docket stream apply"), nats.Timeout(5 * time.Second)}
			if creds != "" {
				opts = append(opts, nats.UserCredentials(creds))
			}
			conn, err := nats.Connect(url, opts...)
			if err != nil {
				return cli.Hint(fmt.Errorf("connect to %s: %w", requestpath.Redacted(url), err), "name the server with --nats, and credentials with --creds")
			}
			defer conn.Close()
			js, err := jetstream.New(conn)
			if err != nil {
				return fmt.Errorf("open JetStream: %w", err)
			}
			ctx, cancel := context.WithTimeout(c.Context(), 30*time.Second)
			defer cancel()
			o := []stream.Option{stream.Replicas(replicas)}
			if err := stream.Apply(ctx, js, o...); err != nil {
				return tooFewServers(err, requestpath.Redacted(url), replicas)
			}
			if err := stream.Check(ctx, js, o...); err != nil {
				return err
			}
			_, err = fmt.Fprintf(c.OutOrStdout(), "stream %s at %s is as declared\n", stream.Declared(o...).Stream.Name, requestpath.Redacted(url))
			return err
		},
	}
	f := c.Flags()
	f.StringVar(&url, "nats", "", "URL of the server")
	f.StringVar(&creds, "creds", "", "file with credentials")
	f.IntVar(&replicas, "replicas", 1, "servers that keep a copy")
	return c
}

// tooFewServers puts into words what JetStream says by number when it has fewer
// servers than copies are asked for.
func tooFewServers(err error, url string, replicas int) error {
	const standsAlone, noPeers = 10074, 10005
	var api *jetstream.APIError
	if !errors.As(err, &api) {
		return err
	}
	switch api.ErrorCode {
	case standsAlone:
		return cli.Hint(fmt.Errorf("apply the stream: the server at %s stands alone and cannot keep %d copies", url, replicas), "name a server of a cluster of at least %d with --nats, or leave --replicas out", replicas)
	case noPeers:
		return cli.Hint(fmt.Errorf("apply the stream: the cluster of %s has too few servers with room to keep %d copies: %s", url, replicas, api.Description), "add servers, or lower --replicas")
	}
	return err
}
