// SPDX-License-Identifier: Apache-2.0

package prove

import (
	"bytes"
	"encoding/hex"
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/docket-audit/docket/collector/ledger/proof"
)

var update = flag.Bool("update", false, "make the example of docs/proofs.md anew")

// The example is checked for ever: who kept a proof can check it with any later
// Docket. It is made anew only when the page that shows it is.
func TestExample(t *testing.T) {
	const docs = "../../docs"
	file, keyFile := filepath.Join(docs, "proofs", "example.tlog-proof"), filepath.Join(docs, "proofs", "example.vkey")
	if *update {
		h := newHouse(t)
		h.event("acme", "", 0, h.uid(), lifecycle())
		h.commit(true)
		h.event("acme", "1.8.0", 0, h.uid(), outcome("bob"))
		h.event("acme", "1.8.0", 0, h.uid(), outcome("alice"))
		h.commit(true)
		m, err := Make(t.Context(), h.dir, h.all[2], Options{})
		if err != nil {
			t.Fatal(err)
		}
		for name, b := range map[string][]byte{file: m.Proof, keyFile: []byte(h.vkey + "\n")} {
			if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(name, b, 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	raw, key, page := readFile(t, file), string(readFile(t, keyFile)), string(readFile(t, filepath.Join(docs, "proofs.md")))
	m, err := Check(raw, key)
	if err != nil || m.UID != "0199c1f2-7a10-7c3e-9b1d-000000000005" || m.Tenant != "acme" || m.Header.Principal != "alice" || m.Commit != 2 || m.Checkpoint.Size != 2 {
		t.Fatalf("the example: %+v, %v", m, err)
	}
	p, err := proof.ParseEventProof(raw)
	if err != nil {
		t.Fatal(err)
	}
	root := regexp.MustCompile(`"root":"([0-9a-f]{64})","tenant":"acme"`).FindSubmatch(p.Statement)
	if root == nil {
		t.Fatalf("no root in %s", p.Statement)
	}
	shown := []string{string(raw), string(p.Statement), string(p.Event)}
	for _, e := range corpus(t) {
		shown = append(shown, string(e)) // of both versions
	}
	digits := regexp.MustCompile(`"value":"[0-9a-f]{64}"`)
	for i := range shown {
		shown[i] = digits.ReplaceAllString(shown[i], `"value":"HEX"`)
	}
	blocks := regexp.MustCompile("(?s)```text\n(.*?)\n```").FindAllStringSubmatch(page, -1)
	if len(blocks) != 3 {
		t.Fatalf("%d blocks of text", len(blocks))
	}
	for _, block := range blocks {
		parts := []string{strings.ReplaceAll(block[1], "ROOT", string(root[1]))}
		if strings.Contains(block[1], "HEX") {
			parts = strings.Split(block[1], "\n")
		}
		for _, part := range parts {
			if !slices.ContainsFunc(shown, func(s string) bool { return strings.Contains(s, part) }) {
				t.Errorf("nothing has\n%s\nthe example is\n%s\nits statement\n%s", part, raw, p.Statement)
			}
		}
	}
	// As the page says: without the member, the bytes have the fingerprint.
	if !bytes.Contains(p.Event, []byte(hex.EncodeToString(m.Fingerprint[:]))) {
		t.Error("the event does not bear its fingerprint")
	}
}

func readFile(t *testing.T, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
