// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"io"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/docket-audit/docket/cmd/internal/cli"
	"github.com/docket-audit/docket/cmd/internal/contexts"
)

func contextAddCommand() *cobra.Command {
	var (
		k          contexts.Context
		force, use bool
	)
	c := &cobra.Command{
		Use:   "add NAME",
		Short: "Name a server",
		Long: `Name a server: where it is, and how to prove to it who asks. A token in a file is
read at each request, so that another program can renew it; --token - reads it from
standard input and keeps it in the context. http:// is for this machine; beyond it
--insecure says that it is meant, and there is no token then.`,
		Example: `  docket context add prod --url https://audit.example:8443 --token-file /run/secrets/docket --use
  docket context add lab --url https://10.0.0.7:8443 --ca lab-ca.pem --cert me.pem --key me.key
  docket context add here --url http://127.0.0.1:8080 --token - < docket-data/keys/api.token`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			k.Name = args[0]
			if k.URL == "" {
				return cli.Usage(cli.Hint(fmt.Errorf("context %s: no address", k.Name), "give --url https://HOST:PORT"))
			}
			if k.Token != "" && k.Token != "-" {
				return cli.Usage(cli.Hint(fmt.Errorf("--token takes no token: the list of processes shows what stands here"), "write it into a file, and say --token - < FILE, or --token-file FILE"))
			}
			if k.Token == "-" {
				b, err := io.ReadAll(io.LimitReader(c.InOrStdin(), 64<<10))
				if err != nil {
					return fmt.Errorf("read token: %w", err)
				}
				if k.Token = strings.TrimSpace(string(b)); k.Token == "" {
					return cli.Usage(fmt.Errorf("--token -: there is no token on standard input"))
				}
			}
			// From wherever docket is started next, they are the same files.
			for _, file := range []*string{&k.TokenFile, &k.CA, &k.Cert, &k.Key} {
				if *file == "" {
					continue
				}
				whole, err := filepath.Abs(*file)
				if err != nil {
					return fmt.Errorf("find %s: %w", *file, err)
				}
				*file = whole
			}
			store, err := contexts.Open()
			if err != nil {
				return err
			}
			if err := store.Save(k, force); err != nil || !use {
				return err
			}
			return store.Use(k.Name)
		},
	}
	f := c.Flags()
	f.StringVar(&k.URL, "url", "", "where the server is: https://HOST:PORT")
	f.StringVar(&k.Description, "description", "", "what to remember about it")
	f.StringVar(&k.Token, "token", "", "- reads the token from standard input, and keeps it in the context")
	f.StringVar(&k.TokenFile, "token-file", "", "a file with the token")
	f.StringVar(&k.CA, "ca", "", "a file with the certificates (PEM) of who signs the server's; default what this system trusts")
	f.StringVar(&k.Cert, "cert", "", "a file with the client's certificate (PEM)")
	f.StringVar(&k.Key, "key", "", "a file with its key (PEM)")
	f.BoolVar(&k.Insecure, "insecure", false, "http:// beyond this machine, without a token")
	f.BoolVar(&force, "force", false, "also over one of the same name")
	f.BoolVar(&use, "use", false, "and ask it where nothing else is said")
	return c
}
