// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/docket-audit/docket/cmd/internal/cli"
	"github.com/docket-audit/docket/cmd/internal/config"
	"github.com/docket-audit/docket/collector/authz"
)

func tokenInspectCommand(s *settings) *cobra.Command {
	var file, audience, issuer, format string
	c := &cobra.Command{
		Use:   "inspect < FILE",
		Short: "Say what a token claims, and whether it holds",
		Long: `Read a token from standard input and print what it claims, and whether the keys of the
data directory verify it; with --config also those that [auth] names. The exit code is 3
when it does not hold.

There is no way to give it as an argument: the arguments of a process can be read by
everybody on the machine, and shells keep them.`,
		Example: `  docket token inspect < alice.token
  docket token inspect --config docket.toml -o json < alice.token`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return cli.Usage(cli.Hint(errors.New("a token is read from standard input alone"), "docket token inspect < FILE; one that was in an argument can have been read by others"))
			}
			return nil
		},
		RunE: func(c *cobra.Command, _ []string) error {
			token, err := readToken(c.InOrStdin())
			if err != nil {
				return err
			}
			cfg := &config.Config{Auth: config.Auth{Audience: audience, Issuer: issuer}}
			if file != "" {
				if c.Flags().Changed("audience") || c.Flags().Changed("issuer") {
					return cli.Usage(errors.New("--config says which audience and issuer: leave --audience and --issuer out"))
				}
				if cfg, err = loadConfig(file, nil); err != nil {
					return err
				}
			}
			v, err := authz.New(callers(cfg, s.data, apiToken(s.data), slog.New(slog.DiscardHandler)))
			if err != nil {
				return err
			}
			p, err := cli.NewPrinter(c.OutOrStdout(), format, []string{"claim", "value"}, false)
			if err != nil {
				return err
			}
			grant, refused := v.Token(c.Context(), token)
			said, err := authz.Peek(token)
			switch {
			case grant != nil && grant.By == authz.BySecret:
				said = &authz.Claims{Subject: grant.Subject, Capabilities: capabilityNames(), Prefixes: grant.Prefixes}
			case err != nil:
				return err
			}
			if err := inspected(p, said, refused); err != nil {
				return err
			}
			if refused != nil {
				return &cli.Exit{Code: cli.ExitFound, Err: refused}
			}
			return nil
		},
	}
	c.Flags().StringVar(&file, "config", "", "configuration whose [auth] verifies it too")
	c.Flags().StringVar(&audience, "audience", authz.DefaultAudience, "the audience that it must be for")
	c.Flags().StringVar(&issuer, "issuer", "", "the issuer that it must be of (default: any)")
	cli.OutputFlag(c.Flags(), &format)
	return c
}

// readToken reads a token as it lies in a file or in a header.
func readToken(r io.Reader) (string, error) {
	b, err := readAtMost(r, 2*authz.MaxToken)
	if err != nil {
		return "", cli.Hint(fmt.Errorf("read token: %w", err), "give it on standard input: docket token inspect < FILE")
	}
	text := strings.TrimSpace(string(b))
	for _, before := range []string{"Authorization:", "authorization:", "Bearer ", "bearer "} {
		text = strings.TrimSpace(strings.TrimPrefix(text, before))
	}
	if text == "" {
		return "", cli.Usage(cli.Hint(errors.New("there is no token on standard input"), "docket token inspect < FILE"))
	}
	return text, nil
}

// apiToken returns the secret of a data directory; "" where there is none, or none that
// this user may read.
func apiToken(data string) string {
	b, err := os.ReadFile(filepath.Join(data, "keys", "api.token"))
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
}

// inspected prints claims: one object where programs read, else a line for each.
func inspected(p *cli.Printer, said *authz.Claims, refused error) error {
	verdict := struct {
		Verified bool   `json:"verified"`
		Reason   string `json:"reason,omitzero"`
		*authz.Claims
	}{Verified: refused == nil, Claims: said}
	holds := "yes"
	if e, ok := errors.AsType[*authz.Error](refused); ok {
		verdict.Reason, holds = e.Reason, "no: "+e.Reason
	}
	b, err := json.Marshal(verdict)
	if err != nil {
		return err
	}
	rows := []cli.Row{{JSON: b}}
	if p.Format != cli.JSON && p.Format != cli.NDJSON {
		rows = nil
		for _, line := range [][2]string{
			{"verified", holds},
			{"subject", said.Subject},
			{"capabilities", strings.Join(said.Capabilities, ", ")},
			{"prefixes", strings.Join(said.Prefixes, ", ")},
			{"audience", strings.Join(said.Audience, ", ")},
			{"issuer", said.Issuer},
			{"issued", at(said.Issued)},
			{"not before", at(said.NotBefore)},
			{"expires", at(said.Expires)},
			{"algorithm", said.Algorithm},
			{"key", said.KeyID},
		} {
			if line[1] != "" {
				rows = append(rows, cli.Row{Cells: line[:]})
			}
		}
	}
	for _, r := range rows {
		if err := p.Row(r); err != nil {
			return err
		}
	}
	return p.Close()
}

func at(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}
