// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/docket-audit/docket/cmd/internal/cli"
	"github.com/docket-audit/docket/cmd/internal/datadir"
	"github.com/docket-audit/docket/cmd/internal/devcert"
	"github.com/docket-audit/docket/cmd/internal/duration"
)

func certCommand(s *settings) *cobra.Command {
	var (
		hosts  []string
		client string
		valid  time.Duration
		force  bool
	)
	c := &cobra.Command{
		Use:   "cert",
		Short: "Make certificates to try TLS with",
		Long: `Make an authority and a certificate of it for localhost, 127.0.0.1, ::1 and each --host,
in DIR/tls: ca.pem, server.pem, server.key. With --client NAME, a URI, a mail address or
a DNS name, also one by which a client is known: client.pem, client.key.

The authority's own key is used once and written nowhere, and what it signs is good for
these hosts alone. So nobody can make more certificates of it, whoever trusts it: for
another host make all of them anew, with --force. A docket that runs serves the new
certificate without a restart. What to put into the configuration, and the command of
curl by which to try it, are printed to standard error.

This is for trying things. Where others connect, use the certificates of an authority
that they trust.`,
		Example: `  docket cert
  docket cert --host docket.test --host 192.0.2.7
  docket cert --client spiffe://example.com/ci --force`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if valid < time.Hour || valid > devcert.MaxLifetime {
				return cli.Usage(cli.Hint(fmt.Errorf("--for %s is not between 1h and 825d", duration.String(valid)), "clients refuse certificates of servers that are valid for more than 825 days"))
			}
			if err := datadir.Claimable(s.data); err != nil {
				return err
			}
			dir, err := filepath.Abs(filepath.Join(s.data, "tls"))
			if err != nil {
				return err
			}
			files, err := devcert.Make(devcert.Order{Hosts: hosts, Client: client, Lifetime: valid}, time.Now())
			if err != nil {
				return cli.Usage(cli.Hint(err, "see `docket cert --help`"))
			}
			if !force {
				if err := noneThere(dir, files); err != nil {
					return err
				}
			}
			for _, f := range files {
				if err := datadir.WriteFile(filepath.Join(dir, f.Name), f.PEM, f.Mode); err != nil {
					return cli.Hint(fmt.Errorf("write certificates: %w", err), "the directory must be writable by this user")
				}
			}
			fmt.Fprint(c.ErrOrStderr(), cli.EscapeText(certAdvice(s.data, dir, files, client, time.Now().Add(valid))))
			return nil
		},
	}
	c.Flags().StringSliceVar(&hosts, "host", nil, "one more name or address of the server")
	c.Flags().StringVar(&client, "client", "", "also a client's certificate with this name in it")
	duration.Var(c.Flags(), &valid, "for", 365*duration.Day, "how long they are valid, 825d at most")
	c.Flags().BoolVar(&force, "force", false, "overwrite what is there")
	return c
}

// noneThere refuses to overwrite what somebody may be using.
func noneThere(dir string, files []devcert.File) error {
	for _, f := range files {
		if _, err := os.Lstat(filepath.Join(dir, f.Name)); !errors.Is(err, fs.ErrNotExist) {
			return cli.Hint(fmt.Errorf("%s is there", filepath.Join(dir, f.Name)), "leave it, or make all anew with --force: who trusts the old ca.pem has to trust the new one")
		}
	}
	return nil
}

// certAdvice says what was made and how it is used.
func certAdvice(data, dir string, files []devcert.File, client string, until time.Time) string {
	var names []string
	for _, f := range files {
		names = append(names, f.Name)
	}
	at := func(name string) string { return filepath.Join(dir, name) }
	var b strings.Builder
	fmt.Fprintf(&b, "docket: wrote %s into %s, valid until %s\n", strings.Join(names, ", "), dir, until.UTC().Format(time.RFC3339))
	fmt.Fprintf(&b, "docket: in the configuration:\n\n  [api]\n  tls_cert = %q\n  tls_key = %q\n", at("server.pem"), at("server.key"))
	as := fmt.Sprintf(` -H "Authorization: Bearer $(docket token --data %s --subject me --cap list --prefix /)"`, quote(data))
	if client != "" {
		fmt.Fprintf(&b, "  client_ca = %q\n\n  [[auth.certificates]]\n  name = %q\n  capabilities = [\"list\", \"read\"]\n  prefixes = [\"/\"]\n", at("ca.pem"), client)
		as = fmt.Sprintf(" --cert %s --key %s", quote(at("client.pem")), quote(at("client.key")))
	}
	if slices.Contains(names, "ca.pem") {
		fmt.Fprintf(&b, "\ndocket: clients trust it by its authority; to try it, while docket runs with that:\n\n  curl --cacert %s%s https://localhost:8080/v1/status\n\n", quote(at("ca.pem")), as)
	}
	return b.String()
}
