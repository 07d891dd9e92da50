// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/mod/sumdb/note"

	"github.com/docket-audit/docket/cmd/internal/cli"
	"github.com/docket-audit/docket/cmd/internal/datadir"
	"github.com/docket-audit/docket/collector/ledger"
	"github.com/docket-audit/docket/collector/ledger/proof"
	"github.com/docket-audit/docket/collector/prove"
	"github.com/docket-audit/docket/collector/store"
)

func proveCommand(s *settings) *cobra.Command {
	var key, kept string
	c := &cobra.Command{
		Use:   "prove UID | --event FILE",
		Short: "Write the proof that one event is in the ledger",
		Long: `Write to standard output the proof that one event was stored and is in the ledger:
the event's exact bytes, its place in the commit that added it, the commit's
statement, its place in the ledger, and the ledger's signed checkpoint. Whoever
has the ledger's public key checks it with ` + "`docket verify-proof`" + `, without the data
directory. UID is the event's metadata.uid.

The proof is a C2SP tlog-proof, so that other tools can read it; docs/proofs.md
describes it byte by byte. It shows one event to whoever reads it, and of the
others of its commit the digests, how many there are of each tenant, class and
day, and which epochs they are of.

Of an event that expired or was erased the directory has a stub only. Who kept its
bytes names the file that has them, and nothing else, with --event: the stub shows
that they were stored, and the proof is that of any other event.

The directory may be in use. What is written was checked: a damaged directory
gives no proof. The exit code is 1 when there is no such event, and when the
ledger has not signed for it yet, as in the second after it was stored; 3 when
the proof would not hold.`,
		Example: `  docket prove 0199c1f2-7b00-7d10-8a2b-1c2d3e4f5a6b > denied.tlog-proof
  docket verify-proof denied.tlog-proof --key ledger.vkey`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			uid := strings.Join(args, "")
			if uid == "" && kept == "" {
				return cli.Usage(cli.Hint(errors.New("name the event"), "give its metadata.uid, or a file with its bytes by --event"))
			}
			if err := datadir.Check(s.data); err != nil {
				return err
			}
			var o prove.Options
			if key != "" {
				var err error
				if o.Key, err = verifierKey(key); err != nil {
					return err
				}
			}
			if kept != "" {
				var err error
				if o.Event, err = readEvent(kept); err != nil {
					return err
				}
			}
			if err := lakeOnly(s.data, "prove"); err != nil {
				return err
			}
			m, err := prove.Make(c.Context(), s.data, uid, o)
			if err != nil {
				return proveError(err)
			}
			if m.Left != "" {
				fmt.Fprintf(c.ErrOrStderr(), "docket: the event is no longer in the store: it left by %s; its stub is there\n", m.Left)
			}
			if m.Others > 0 {
				fmt.Fprintf(c.ErrOrStderr(), "docket: %d more events have this uid; this is the proof of the one that was stored first\n", m.Others)
			}
			_, err = c.OutOrStdout().Write(m.Proof)
			return err
		},
	}
	c.Flags().StringVar(&key, "key", "", "the ledger's public key, or a file with it (default: the one in the data directory)")
	c.Flags().StringVar(&kept, "event", "", "file with the bytes of an event that has left, as they were")
	return c
}

// readEvent returns the bytes of one event; a line's end behind them is none of it.
func readEvent(file string) ([]byte, error) {
	const most = 64 << 20
	f, err := os.Open(file)
	if err != nil {
		return nil, fmt.Errorf("read event: %w", err)
	}
	defer f.Close()
	b, err := readAtMost(f, most)
	if err != nil {
		return nil, fmt.Errorf("read event %s: %w", file, err)
	}
	return bytes.TrimRight(b, "\r\n"), nil
}

// proveError gives an error the exit code and the advice that it needs.
func proveError(err error) error {
	switch {
	case errors.Is(err, prove.ErrLeft):
		return cli.Hint(err, "of what left only digests are kept: who has its bytes proves it with --event FILE; `docket verify` says how many left")
	case errors.Is(err, store.ErrNotFound):
		return cli.Hint(err, "the uid is metadata.uid of an event that `docket tail -o ndjson` prints; one that was emitted a moment ago is not stored yet")
	case errors.Is(err, ledger.ErrNotYet):
		return cli.Hint(err, "ask again in a moment; if it stays so, `docket verify` says what the ledger lacks")
	case notProven(err):
		return &cli.Exit{Code: cli.ExitFound, Err: cli.Hint(err, "`docket verify` names what is damaged")}
	}
	return err
}

// notProven says whether err is about what was read, and not about reading it.
func notProven(err error) bool {
	for _, is := range []error{proof.ErrNoProof, proof.ErrNotProven, proof.ErrMalformed, proof.ErrBadSignature, proof.ErrUnknownKey} {
		if errors.Is(err, is) {
			return true
		}
	}
	return false
}

// maxKey is more than any file with a key has.
const maxKey = 4096

// verifierKey returns a public key of package note that is given as it is, or
// as the name of a file.
func verifierKey(given string) (string, error) {
	if _, err := note.NewVerifier(strings.TrimSpace(given)); err == nil {
		return strings.TrimSpace(given), nil
	}
	hint := "--key names a file with the ledger's public key, a copy of DIR/keys/ledger.vkey, or is that key"
	f, err := os.Open(given)
	if err != nil {
		return "", cli.Hint(fmt.Errorf("read key: %w", err), "%s", hint)
	}
	defer f.Close()
	b, err := readAtMost(f, maxKey)
	if err != nil {
		return "", cli.Hint(fmt.Errorf("read key %s: %w", given, err), "%s", hint)
	}
	if _, err := note.NewVerifier(strings.TrimSpace(string(b))); err != nil {
		return "", cli.Hint(fmt.Errorf("read key %s: %w", given, err), "%s", hint)
	}
	return strings.TrimSpace(string(b)), nil
}
