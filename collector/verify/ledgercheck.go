// SPDX-License-Identifier: Apache-2.0

package verify

import (
	"cmp"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/note"

	"github.com/docket-audit/docket/collector/ledger"
	"github.com/docket-audit/docket/collector/ledger/proof"
	"github.com/docket-audit/docket/internal/regular"
)

// maxInFlight is how many statements can be without a leaf: a writer adds each
// before it makes the next.
const maxInFlight = 1

// checkLedger reads the ledger and ties it to the statements and to the
// checkpoint that was kept.
func (v *verifier) checkLedger(ctx context.Context) error {
	r := &v.report.Ledger
	vkey := v.opts.Key
	if r.KeyGiven = vkey != ""; !r.KeyGiven {
		vkey = v.keyFromDirectory()
	}
	v.vkey, v.warrant = vkey, v.readWarrant()
	// Before the ledger, which may be ahead of it.
	kept, keptErr := readShort(filepath.Join(v.dir, filepath.FromSlash(keptPath)))
	log, problems, err := ledger.Read(ctx, filepath.Join(v.dir, ledgerDir), vkey)
	if err != nil {
		return err
	}
	for _, p := range problems {
		kind := map[ledger.ProblemKind]string{
			ledger.Damaged: Damage, ledger.Missing: Missing, ledger.Untrusted: Signature, ledger.Unreadable: Unreadable,
		}[p.Kind]
		v.problem(kind, Place{File: ledgerDir + "/" + p.Path}, "%s", p.What)
	}
	r.Origin, r.Size, r.Root, r.Verified = log.Checkpoint.Origin, log.Checkpoint.Size, hex.EncodeToString(log.Checkpoint.Root[:]), log.Trusted
	v.catchUp(ctx, log)
	v.checkSigned(ctx, log, vkey)
	v.matchLeaves(log)
	v.countSigned(log)
	v.continues(log, vkey)
	switch {
	case keptErr == nil:
		v.continuesKept(log, vkey, kept)
	case errors.Is(keptErr, os.ErrNotExist) && r.Size == 0:
	default:
		v.unread(Place{File: keptPath}, keptErr)
	}
	v.noteAdopted()
	return nil
}

// keyFromDirectory returns "" when there is no key to be had.
func (v *verifier) keyFromDirectory() string {
	raw, err := readShort(filepath.Join(v.dir, filepath.FromSlash(ledgerVKey)))
	if err != nil {
		v.unread(Place{File: ledgerVKey}, err)
		return ""
	}
	vkey := strings.TrimSpace(string(raw))
	switch key, err := note.NewVerifier(vkey); {
	case err != nil:
		v.problem(Damage, Place{File: ledgerVKey}, "%v", err)
	case !strings.HasPrefix(vkey, fmt.Sprintf("%s+%08x+", key.Name(), key.KeyHash())):
		v.problem(Damage, Place{File: ledgerVKey}, "it is not written as it was")
	}
	return vkey
}

func readShort(path string) ([]byte, error) {
	return regular.ReadAtMost(path, maxKeyLength)
}

// catchUp reads the statements that a living owner has committed since: the
// ledger, read after them, may know more than they say.
func (v *verifier) catchUp(ctx context.Context, log *ledger.Log) {
	if v.state != ownerLives {
		return
	}
	known := v.leafHashes()
	for _, leaf := range log.Hashes {
		if _, ok := known[leaf]; !ok && !v.source.next(ctx) {
			break
		}
	}
	v.report.Statements = uint64(len(v.statements))
}

// checkSigned looks that the checkpoint covers all leaves. One may be on its way,
// as in [verifier.inFlight]; more of them would be a history that anybody can write
// behind a checkpoint of some other day.
// A living owner signs while the leaves are read: it is given time to have done so.
func (v *verifier) checkSigned(ctx context.Context, log *ledger.Log, vkey string) {
	unsigned := len(log.Hashes) - int(log.Checkpoint.Size)
	if !log.Trusted || unsigned <= 0 {
		return
	}
	if v.state == ownerLives && (unsigned <= maxInFlight || v.signs(ctx, uint64(len(log.Hashes)), vkey)) {
		return
	}
	if v.state == ownerCrashed && unsigned <= maxInFlight {
		if n := len(v.statements); n > 0 && v.unwarranted(&v.statements[n-1]) {
			return // [verifier.checkUnsignedLeft] tells
		}
		v.note("the last leaf of the ledger is not signed yet: the owner of the directory crashed; its next start does it")
		return
	}
	v.problem(Signature, Place{File: ledgerDir + "/checkpoint"}, "it covers %d leaves of %d: what comes behind them nobody has signed", log.Checkpoint.Size, len(log.Hashes))
}

// signingTime is how long a living owner is waited for.
const signingTime = 10 * time.Second

// signs waits until a checkpoint covers so many leaves.
func (v *verifier) signs(ctx context.Context, leaves uint64, vkey string) bool {
	ctx, cancel := context.WithTimeout(ctx, cmp.Or(v.opts.patience, signingTime))
	defer cancel()
	for {
		raw, err := regular.ReadAtMost(filepath.Join(v.dir, ledgerDir, "checkpoint"), maxKeyLength)
		if err == nil {
			if c, err := openCheckpoint(raw, vkey); err == nil && c.Size >= leaves {
				return true
			}
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-ctx.Done():
			return false
		}
	}
}

// countSigned counts the statements, from the first on, that the signature of the
// checkpoint is for.
func (v *verifier) countSigned(log *ledger.Log) {
	if !log.Trusted {
		return
	}
	signed := make(map[[32]byte]bool, len(log.Hashes))
	for _, leaf := range log.Hashes[:min(uint64(len(log.Hashes)), log.Checkpoint.Size)] {
		signed[leaf] = true
	}
	for i := range v.statements {
		if s := &v.statements[i]; s.raw == nil || !signed[ledger.LeafHash(s.digest)] {
			return
		}
		v.signed++
	}
}

// leafHashes maps the leaf that each statement must have in the ledger to its
// number.
func (v *verifier) leafHashes() map[[32]byte]uint64 {
	known := make(map[[32]byte]uint64, len(v.statements))
	for i := range v.statements {
		if v.statements[i].raw != nil {
			known[ledger.LeafHash(v.statements[i].digest)] = v.statements[i].number
		}
	}
	return known
}

// matchLeaves compares: a leaf for each statement, in their order, and none
// besides. A repeated leaf is what a recovery does, and harmless.
func (v *verifier) matchLeaves(log *ledger.Log) {
	if log.Raw == nil && len(log.Hashes) == 0 {
		return // there is no ledger, which is told
	}
	leaves := make([][32]byte, 0, len(log.Hashes))
	at := make(map[[32]byte]int, len(log.Hashes))
	for _, leaf := range log.Hashes {
		if _, repeated := at[leaf]; !repeated {
			at[leaf] = len(leaves)
			leaves = append(leaves, leaf)
		}
	}
	known := v.leafHashes()
	if v.elsewhere(log, at, known) {
		return
	}
	last := -1
	for i := range v.statements {
		s := &v.statements[i]
		if s.raw == nil {
			continue
		}
		place, ok := at[ledger.LeafHash(s.digest)]
		switch {
		case !ok && i < len(leaves) && known[leaves[i]] == 0:
			v.problem(Damage, v.source.place(s.number), "it was changed: the ledger has another leaf in its place (its SHA-256 is now %.16s...)", hex.EncodeToString(s.digest[:]))
			known[leaves[i]] = s.number // told
		case !ok && v.inFlight(i) && v.unwarranted(s):
			// [verifier.checkUnsignedLeft] tells.
		case !ok && v.inFlight(i):
			v.note("statement %d is not in the ledger yet: %s", s.number, map[owner]string{
				ownerLives: "the owner of the directory is at it", ownerCrashed: "the owner of the directory crashed; its next start adds it",
			}[v.state])
		case !ok && uint64(len(log.Hashes)) < log.Checkpoint.Size:
			// Leaves could not be read, which is told.
		case !ok:
			v.problem(Missing, v.source.place(s.number), "the ledger has no leaf for it")
		case place < last:
			v.problem(Damage, v.source.place(s.number), "the ledger has it before a statement that comes before it")
		default:
			last = place
		}
	}
	for i, leaf := range leaves {
		if known[leaf] == 0 {
			v.problem(Missing, Place{Statement: uint64(i) + 1}, "the ledger has a leaf for a statement that is not here")
		}
	}
}

// elsewhere reports whether tables have nothing to do with the ledger: then who asked
// named the wrong ones, or all of them was replaced. All else that there is to say
// follows from that, and would hide it. Of a single statement one can say what it was.
func (v *verifier) elsewhere(log *ledger.Log, leaves map[[32]byte]int, known map[[32]byte]uint64) bool {
	if v.opts.Tables == nil || v.broken || len(leaves)+len(known) <= 2 || uint64(len(log.Hashes)) < log.Checkpoint.Size {
		return false
	}
	for leaf := range known {
		if _, ok := leaves[leaf]; ok {
			return false
		}
	}
	so := ""
	if b, err := readShort(filepath.Join(v.dir, storeFile)); err == nil {
		if at := strings.TrimSpace(string(b)); at != "" && at != v.report.Store {
			so = fmt.Sprintf(", whose events are in %s", safe(at))
		}
	}
	v.foreign = true
	v.problem(Missing, v.source.whole(), "this is not the store of %s%s: statements here: %d, in the ledger there: %d, in both: none; name the directory of the docket that fills this database with --data, or another database with --store. If both are the right ones, all that was stored is gone",
		safe(v.dir), so, len(known), len(leaves))
	v.note("nothing else was judged: it would be about another store")
	return true
}

// inFlight reports whether statement i may still be on its way to the ledger.
func (v *verifier) inFlight(i int) bool {
	return v.state != ownerGone && i >= len(v.statements)-maxInFlight
}

// continues compares with the checkpoint that was kept.
func (v *verifier) continues(log *ledger.Log, vkey string) {
	if v.opts.Against == nil {
		return
	}
	ok := false
	v.report.Ledger.Continues = &ok
	place := Place{File: ledgerDir + "/checkpoint"}
	kept, err := openCheckpoint(v.opts.Against, vkey)
	if err != nil {
		v.problem(Signature, place, "the kept checkpoint: %v", err)
		return
	}
	if err := log.Continues(kept); err != nil {
		v.problem(RolledBack, place, "%v", err)
		return
	}
	ok = true
}

// continuesKept compares with the checkpoint that the owner keeps outside of
// the ledger's directory.
func (v *verifier) continuesKept(log *ledger.Log, vkey string, raw []byte) {
	place := Place{File: keptPath}
	kept, err := openCheckpoint(raw, vkey)
	if err != nil {
		v.problem(Signature, place, "%v", err)
		return
	}
	if err := log.Continues(kept); err != nil {
		v.problem(RolledBack, place, "%v", err)
	}
}

// openCheckpoint checks the signature as far as there is a key.
func openCheckpoint(raw []byte, vkey string) (proof.Checkpoint, error) {
	if vkey == "" {
		return proof.ParseCheckpoint(raw)
	}
	return proof.OpenCheckpoint(raw, vkey)
}

// noteAdopted tells of ledgers that were set aside.
func (v *verifier) noteAdopted() {
	aside, _ := filepath.Glob(filepath.Join(v.dir, ledgerDir+".before-*")) // fails on a bad pattern only
	for _, path := range aside {
		v.note("the ledger was begun anew; the one before it is in %s", safe(filepath.Base(path)))
	}
}
