// SPDX-License-Identifier: Apache-2.0

package main

import (
	_ "embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/docket-audit/docket/cmd/internal/cli"
)

// initText is a configuration with every key: what is commented out is the
// default. A test checks that all keys are in it and that it loads.
//
//go:embed init.toml
var initText []byte

func initCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "init [FILE]",
		Short: "Write a configuration to begin with",
		Long: `Write a configuration with every key and what it means; docket.toml when no FILE
is named. A file that is there is left alone.`,
		Example: `  docket init
  docket init /etc/docket/docket.toml`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) (err error) {
			name := "docket.toml"
			if len(args) > 0 {
				name = args[0]
			}
			f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
			if errors.Is(err, fs.ErrExist) {
				return cli.Hint(fmt.Errorf("write configuration: %w", err), "name another file, or move this one away")
			}
			if errors.Is(err, fs.ErrNotExist) {
				return cli.Hint(fmt.Errorf("write configuration: %w", err), "make the directory first: mkdir -p %s", quote(filepath.Dir(name)))
			}
			if err != nil {
				return cli.Hint(fmt.Errorf("write configuration: %w", err), "name a file where this user may write: docket init FILE")
			}
			_, werr := f.Write(initText)
			if err := errors.Join(werr, f.Close()); err != nil {
				return fmt.Errorf("write configuration: %w", err)
			}
			fmt.Fprintf(c.ErrOrStderr(), "docket: wrote %s; set [gateway] upstream in it, add your interceptors, then run: docket up --config %s\n", name, name)
			return nil
		},
	}
}
