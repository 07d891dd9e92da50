// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/docket-audit/docket/cmd/internal/cli"
	"github.com/docket-audit/docket/cmd/internal/eventfile"
	"github.com/docket-audit/docket/collector/ledger/proof"
	"github.com/docket-audit/docket/collector/prove"
	"github.com/docket-audit/docket/internal/profile"
)

func verifyProofCommand() *cobra.Command {
	var key, format string
	c := &cobra.Command{
		Use:   "verify-proof FILE",
		Short: "Check a proof of one event, without the data directory",
		Long: `Check a proof that ` + "`docket prove`" + ` wrote, with the ledger's public key and nothing
else, and say what it proves. A FILE of - is standard input. The key is the one
that you were given by the ledger's owner, a copy of DIR/keys/ledger.vkey: a key
that came with the proof shows nothing.

A proof that holds shows that the owner of the key signed for a history that has
this event, unchanged. It does not show that what the event says is true, nor
what else there is: that is for ` + "`docket verify`" + `.

The exit code is 3 when the proof does not hold: when anything in it was changed,
when another key signed it, when it is no proof.`,
		Example: `  docket verify-proof denied.tlog-proof --key ledger.vkey
  docket verify-proof - --key "$(cat ledger.vkey)" -o json < denied.tlog-proof`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if format != "" && format != cli.Table && format != cli.JSON {
				return cli.Usage(cli.Hint(fmt.Errorf("verify-proof has no output format %q", format), "use table or json"))
			}
			if key == "" {
				return cli.Usage(cli.Hint(fmt.Errorf("verify-proof needs --key"), "the ledger's public key, as its owner gave it to you: a copy of DIR/keys/ledger.vkey"))
			}
			vkey, err := verifierKey(key)
			if err != nil {
				return err
			}
			raw, err := readProof(args[0], c.InOrStdin())
			if err != nil {
				return err
			}
			p, err := prove.Check(raw, vkey)
			if notProven(err) {
				return &cli.Exit{Code: cli.ExitFound, Err: err}
			}
			if err != nil {
				return err
			}
			return printProven(c.OutOrStdout(), p, format)
		},
	}
	f := c.Flags()
	f.StringVar(&key, "key", "", "the ledger's public key, or a file with it (required)")
	f.StringVarP(&format, "output", "o", "", "format: table, json (default table)")
	return c
}

func readProof(name string, stdin io.Reader) ([]byte, error) {
	in, err := eventfile.Open(name, stdin)
	if err != nil {
		return nil, fmt.Errorf("read proof: %w", err)
	}
	defer in.Close()
	raw, err := readAtMost(in, proof.MaxSize)
	if err != nil {
		return nil, fmt.Errorf("read proof %s: %w", name, err)
	}
	return raw, nil
}

// readAtMost reads all of r, and fails when that is more than limit bytes.
func readAtMost(r io.Reader, limit int) ([]byte, error) {
	b, err := io.ReadAll(io.LimitReader(r, int64(limit)+1))
	if err == nil && len(b) > limit {
		err = fmt.Errorf("more than %d bytes", limit)
	}
	return b, err
}

// A provenReport is verify-proof -o json. Its members may grow.
type provenReport struct {
	Proven      bool            `json:"proven"` // always true: else there is no report
	UID         string          `json:"event_uid"`
	Time        int64           `json:"time"` // ms since 1970
	Tenant      string          `json:"tenant"`
	Kind        string          `json:"kind"`
	Decision    string          `json:"decision"`
	Sentence    string          `json:"sentence"`
	Emitter     string          `json:"emitter"`
	Epoch       string          `json:"epoch"`
	Sequence    int64           `json:"sequence"`
	Fingerprint string          `json:"fingerprint"`
	Commit      uint64          `json:"commit"`
	StoredTime  int64           `json:"stored_time"` // ms since 1970
	Statement   string          `json:"statement"`   // hex SHA-256
	Ledger      provenLedger    `json:"ledger"`
	Event       json.RawMessage `json:"event"`
}

type provenLedger struct {
	Origin string `json:"origin"`
	Size   uint64 `json:"size"`
	Root   string `json:"root"` // hex
	Key    string `json:"key"`  // its id, hex
}

func printProven(w io.Writer, p *prove.Proven, format string) error {
	h, cp := &p.Header, &p.Checkpoint
	if format == cli.JSON {
		b, err := json.MarshalIndent(provenReport{
			Proven: true, UID: h.MetadataUID, Time: h.Time, Tenant: h.Tenant, Kind: h.Kind, Decision: h.Decision, Sentence: profile.Sentence(*h),
			Emitter: h.Emitter, Epoch: h.Epoch, Sequence: h.Sequence, Fingerprint: h.Fingerprint,
			Commit: p.Commit, StoredTime: p.StoredTime, Statement: hex.EncodeToString(p.Statement[:]),
			Ledger: provenLedger{Origin: cp.Origin, Size: cp.Size, Root: hex.EncodeToString(cp.Root[:]), Key: fmt.Sprintf("%08x", p.KeyHash)},
			Event:  p.Event,
		}, "", "  ")
		if err != nil {
			return err
		}
		text := string(b)
		if cli.IsTerminal(w) {
			text = cli.EscapeJSON(text)
		}
		_, err = fmt.Fprintln(w, text)
		return err
	}
	_, err := fmt.Fprintf(w, "proven: event %s of %s, tenant %s, %s, decision %s, was stored at %s by commit %d, which the ledger %s signed for among %d statements: %s\n",
		cli.Escape(h.MetadataUID), csvTime(h.Time), cli.Escape(h.Tenant), cli.Escape(h.Kind), cli.Escape(or(h.Decision, profile.DecisionNone)),
		csvTime(p.StoredTime), p.Commit, cli.Escape(cp.Origin), cp.Size, cli.Escape(profile.Sentence(*h)))
	return err
}
