// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/docket-audit/docket/cmd/internal/cli"
	"github.com/docket-audit/docket/cmd/internal/datadir"
	"github.com/docket-audit/docket/cmd/internal/duration"
	"github.com/docket-audit/docket/collector/authz"
	"github.com/docket-audit/docket/internal/strictoml"
)

func tokenCommand(s *settings) *cobra.Command {
	var (
		o    authz.Order
		caps []string
		key  string
	)
	c := &cobra.Command{
		Use:   "token",
		Short: "Mint a token for somebody who asks",
		Long: `Mint a token: who sends it, as "Authorization: Bearer TOKEN", may do what --cap says
with the events of the tenants that --prefix names, until it expires. The token is
printed to standard output, and nothing else; what it may do to standard error.

The key is DIR/keys/tokens.hs256, made when there is none; a docket that runs over DIR
takes what it signs. With --key it is another: an HS256 key, or a private Ed25519 key in
PEM, whose public half ` + "`docket token jwks`" + ` prints for [auth] jwks.

A token cannot be called back, but for all that a key signed, by replacing the key. So
it is valid for an hour, and for 30 days at most. docs/authorization.md says more.`,
		Example: `  docket token --subject alice --cap list,read --prefix acme > alice.token
  docket token --subject ci --cap tail --prefix acme --prefix umbrella/eu --for 12h
  docket token inspect < alice.token`,
		Args: cli.Verbs,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := checkOrder(&o, caps); err != nil {
				return err
			}
			made := false
			if key == "" {
				var err error
				if key, made, err = ownKey(s.data); err != nil {
					return err
				}
			}
			signer, err := authz.OpenSigner(key)
			if err != nil {
				return err
			}
			token, expires, err := signer.Mint(o, time.Now())
			if err != nil {
				return err
			}
			if made {
				fmt.Fprintf(c.ErrOrStderr(), "docket: made the key %s; whoever can read it can mint\n", cli.Escape(key))
			}
			fmt.Fprintf(c.ErrOrStderr(), "docket: %s\n", cli.Escape(mayDo(&o, expires)))
			_, err = fmt.Fprintln(c.OutOrStdout(), token)
			return err // else somebody has an empty file for a token
		},
	}
	f := c.Flags()
	f.StringVar(&o.Subject, "subject", "", "who it is for; events about what they ask say so")
	f.StringSliceVar(&caps, "cap", nil, "what they may do: "+strings.Join(capabilityNames(), ", "))
	f.StringSliceVar(&o.Prefixes, "prefix", nil, `a tenant that they see, with what is below it at a "/"; "/" is all`)
	duration.Var(f, &o.Lifetime, "for", authz.DefaultLifetime, "how long it is valid, such as 12h, 7d or 2w; 30d at most")
	f.StringVar(&key, "key", "", "file with the key that signs (default: DIR/keys/tokens.hs256)")
	f.StringVar(&o.Audience, "audience", authz.DefaultAudience, "the aud that [auth] audience asks for")
	f.StringVar(&o.Issuer, "issuer", "", "the iss that [auth] issuer asks for")
	c.AddCommand(tokenInspectCommand(s), tokenJWKSCommand())
	return c
}

// checkOrder says what is wrong with an order as its flags were given.
func checkOrder(o *authz.Order, caps []string) (err error) {
	usage := func(advice, format string, args ...any) error {
		return cli.Usage(cli.Hint(fmt.Errorf(format, args...), "%s", advice))
	}
	switch {
	case o.Subject == "":
		return usage("give --subject NAME", "a token is for somebody")
	case len(caps) == 0:
		return usage("give --cap with some of "+strings.Join(capabilityNames(), ", "), "a token without a capability may do nothing")
	case len(o.Prefixes) == 0:
		return usage(`give --prefix TENANT, or --prefix / for all of them`, "a token without a prefix shows nothing")
	case slices.Contains(o.Prefixes, ""):
		return usage(`give --prefix TENANT, or --prefix / for all of them`, "the empty prefix covers no tenant")
	case o.Lifetime > authz.MaxLifetime:
		return usage("it cannot be called back: mint one that is valid for 30d at most, and another before it ends", "--for %s is longer than 30 days", duration.String(o.Lifetime))
	case o.Lifetime < time.Second:
		return usage("give --for a time such as 1h", "--for %s is over before it is used", duration.String(o.Lifetime))
	}
	o.Capabilities, err = authz.ParseCapabilities(caps)
	var unknown *authz.CapabilityError
	if errors.As(err, &unknown) {
		if near := strictoml.Suggest(unknown.Name, capabilityNames()); near != "" {
			return usage("did you mean "+near+"?", "--cap: %v", err)
		}
	}
	if err != nil {
		return cli.Usage(fmt.Errorf("--cap: %w", err))
	}
	return nil
}

func capabilityNames() []string {
	var names []string
	for _, c := range authz.Capabilities() {
		names = append(names, string(c))
	}
	return names
}

// ownKey returns the key of a data directory, or of one that is to be, and whether it
// was made now.
func ownKey(data string) (path string, made bool, err error) {
	if err := datadir.Claimable(data); err != nil {
		return "", false, err
	}
	path = datadir.TokensKey(data)
	_, err = os.Stat(path)
	made = errors.Is(err, fs.ErrNotExist)
	_, err = datadir.SecretKey(path)
	return path, made, err
}

// mayDo says in a sentence what a token is good for.
func mayDo(o *authz.Order, expires time.Time) string {
	var caps []string
	for _, c := range o.Capabilities {
		caps = append(caps, string(c))
	}
	where := "the events of " + strings.Join(o.Prefixes, ", ") + ", and of what is below at a /"
	if slices.Contains(o.Prefixes, authz.Everywhere) {
		where = "the events of all tenants"
	}
	return fmt.Sprintf("%s may %s %s, until %s", o.Subject, strings.Join(caps, ", "), where, expires.UTC().Format(time.RFC3339))
}

func tokenJWKSCommand() *cobra.Command {
	var key string
	c := &cobra.Command{
		Use:   "jwks --key FILE",
		Short: "Print the key set that verifies what a key signs",
		Long: `Print the public half of a private Ed25519 key as a JWKS, for the file that [auth] jwks
names. Of several keys put the entries into one list: each is found by its kid.`,
		Example: `  openssl genpkey -algorithm ed25519 -out signer.pem
  docket token jwks --key signer.pem > jwks.json
  docket token --key signer.pem --subject alice --cap read --prefix acme`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if key == "" {
				return cli.Usage(cli.Hint(errors.New("name the key"), "give --key with a private Ed25519 key in PEM"))
			}
			signer, err := authz.OpenSigner(key)
			if err != nil {
				return err
			}
			set, ok := signer.JWKS()
			if !ok {
				return cli.Hint(fmt.Errorf("%s: an HS256 key has no public half", key), "give who verifies the same file, as one of [auth] hs256_keys")
			}
			_, err = fmt.Fprintf(c.OutOrStdout(), "%s\n", set)
			return err
		},
	}
	c.Flags().StringVar(&key, "key", "", "file with a private Ed25519 key in PEM")
	return c
}
