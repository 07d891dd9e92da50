// SPDX-License-Identifier: Apache-2.0

package verify

import (
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/docket-audit/docket/internal/profile"
	"github.com/docket-audit/docket/ocsf"
)

// plan seals the event that carries a plan, and names the file it is kept in.
func (h *house) plan(c *hashChain, plan string) (file string) {
	sum := sha256.Sum256([]byte(plan))
	digest := hex.EncodeToString(sum[:])
	h.put(c, &ocsf.EntityManagement{
		ActivityID: ocsf.EntityManagementActivate,
		Base: ocsf.Base{
			SeverityID: ocsf.SeverityInformational, Metadata: ocsf.Metadata{EventCode: profile.KindLifecycle},
			Unmapped: map[string]any{profile.Unmapped: map[string]any{"plan": "sha256:" + digest}},
		},
		Entity: &ocsf.ManagedEntity{Name: "plan", UID: "sha256:" + digest, Data: ocsf.Canonical(plan)},
	})
	return "plans/" + digest + ".json"
}

func TestPlans(t *testing.T) {
	h := newHouse(t)
	c := h.begin("acme", "gw-0")
	const plan = `{"bindings":[],"unmatched":"allow"}`
	file := h.plan(c, plan)
	h.write(file, []byte(plan))
	// An operation under a plan that no event carries; and one of somebody else's.
	for kind, digit := range map[string]string{profile.KindOutcome: "ab", profile.KindForeign: "cd"} {
		h.put(c, &ocsf.APIActivity{
			ActivityID: ocsf.APIActivityCreate,
			Base: ocsf.Base{
				SeverityID: ocsf.SeverityInformational, Metadata: ocsf.Metadata{EventCode: kind},
				Unmapped: map[string]any{profile.Unmapped: map[string]any{"plan": "sha256:" + strings.Repeat(digit, 32)}},
				API:      &ocsf.API{Operation: "CreateSandbox"},
			},
		})
	}
	h.commit()
	h.close()
	for _, deep := range []bool{false, true} {
		r := h.run(Options{Deep: deep})
		// Which plans events name is in the rows, which only a deep run reads.
		if r.Code() != CodeFine || deep != slices.ContainsFunc(r.Notes, func(n string) bool { return strings.Contains(n, "none carries: 1") }) {
			t.Errorf("deep %v: %v, notes %v", deep, r.Problems, r.Notes)
		}
	}
	for _, bad := range []string{"", plan + "\n", strings.Replace(plan, "allow", "alloy", 1)} {
		h.write(file, []byte(bad))
		h.expect(Options{}, "damage", file, "sequence 2", "carries the plan")
	}
	h.remove(file)
	h.expect(Options{}, "missing", file, "sequence 2")
	h.write(file, []byte(plan))
	// One that no event here carries is still named by what it was.
	other := "plans/" + strings.Repeat("ab", 32) + ".json"
	h.write(other, []byte(plan))
	h.expect(Options{}, "damage", other)
	h.remove(other)
	h.write("plans/.x.json-123", nil)
	if r := h.run(Options{Deep: true}); r.Code() != CodeFine {
		t.Errorf("afterwards: %v", r.Problems)
	}
}

func TestFormat(t *testing.T) {
	h := newFurnished(t)
	for _, bad := range []string{"", "one\n", "0\n"} {
		h.write(formatFile, []byte(bad))
		h.expect(Options{}, "damage: FORMAT")
	}
	h.remove(formatFile)
	h.expect(Options{}, "missing: FORMAT")
}

func TestForeignFiles(t *testing.T) {
	h := newFurnished(t)
	h.write("lake/_hot/mine.parquet", []byte("x"))
	h.write("lake/_quarantine/mine.ndjson", []byte("x"))
	r := h.run(Options{})
	if r.Code() != CodeFine || !slices.ContainsFunc(r.Notes, func(n string) bool {
		return strings.Contains(n, "no statement names, and nobody reads: 2, such as lake/_hot/mine.parquet")
	}) {
		t.Errorf("problems %v, notes %v", r.Problems, r.Notes)
	}
}

// TestKeptCheckpoint rolls store and ledger back to yesterday, but not what the
// owner keeps outside of them; and removes them altogether.
func TestKeptCheckpoint(t *testing.T) {
	h := newFurnished(t)
	yesterday := filepath.Join(t.TempDir(), "yesterday")
	copyDir(t, yesterday, h.dir)
	h.open()
	c := h.begin("acme", "gw-0")
	h.outcomes(c, 2)
	h.commit()
	h.close()
	kept := h.read(keptPath)
	if string(kept) != string(h.read("ledger/checkpoint")) {
		t.Error("the newest checkpoint is not kept")
	}
	for _, part := range []string{"lake", "ledger"} {
		if err := os.RemoveAll(filepath.Join(h.dir, part)); err != nil {
			t.Fatal(err)
		}
		copyDir(t, filepath.Join(h.dir, part), filepath.Join(yesterday, part))
	}
	h.expect(Options{}, "rolled_back", keptPath, "covers 6 statements, the ledger has 5")
	h.write(keptPath, []byte("nonsense"))
	h.expect(Options{}, "signature", keptPath)
	h.remove(keptPath)
	h.expect(Options{}, "missing", keptPath)

	for _, part := range []string{"lake", "ledger"} {
		if err := os.RemoveAll(filepath.Join(h.dir, part)); err != nil {
			t.Fatal(err)
		}
	}
	h.expect(Options{}, "missing", "ledger/checkpoint")
	h.remove("keys/ledger.vkey")
	h.write(keptPath, kept)
	h.expect(Options{}, "missing", "ledger/checkpoint")
}

// TestStateBehindCheckpoint: from there a writer would write over what is signed.
func TestStateBehindCheckpoint(t *testing.T) {
	h := newFurnished(t)
	old := h.read("ledger/.state/treeState")
	h.open()
	c := h.begin("acme", "gw-0")
	h.outcomes(c, 1)
	h.commit()
	h.close()
	h.write("ledger/.state/treeState", old)
	h.expect(Options{}, "ledger/.state/treeState", "is of 5 leaves, the checkpoint is of 6")
}

// TestEmptyEmitterKey: a key file that holds none is not the same as none.
func TestEmptyEmitterKey(t *testing.T) {
	h := newFurnished(t)
	for _, bad := range []string{"", "\n", "# nothing\n"} {
		h.write(emitterVKey, []byte(bad))
		h.expect(Options{}, "damage", emitterVKey, "holds no key")
	}
	h.remove(emitterVKey)
	if r := h.run(Options{}); r.Code() != CodeFine || !h.noted("signatures of emitter gw-0 were not checked") {
		t.Errorf("without a key: %v, %v", r.Problems, r.Notes)
	}
}
