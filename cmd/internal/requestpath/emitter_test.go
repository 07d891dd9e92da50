// SPDX-License-Identifier: Apache-2.0

package requestpath

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/docket-audit/docket/cmd/internal/config"
	"github.com/docket-audit/docket/cmd/internal/datadir"
)

// A key that is replaced leaves its public half where verify looks, and so does
// one that the configuration has elsewhere.
func TestKeysAreKept(t *testing.T) {
	dir, err := datadir.Own(filepath.Join(t.TempDir(), "data"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = dir.Close() }()
	start := func(cfg *config.Config) {
		t.Helper()
		em, err := OpenEmitter(cfg, dir, nil, nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := em.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	cfg := config.Defaults()
	start(&cfg)
	start(&cfg)
	if err := os.Remove(dir.Join("keys", "emitter.key")); err != nil {
		t.Fatal(err)
	}
	start(&cfg)
	cfg.Emitter.Key = filepath.Join(t.TempDir(), "other.key")
	start(&cfg)
	files, err := os.ReadDir(dir.Join("keys", "emitters"))
	if err != nil || len(files) != 3 {
		t.Fatalf("%d public keys are kept, %v; want one for each key", len(files), err)
	}
	for _, f := range files {
		key, err := datadir.EmitterKey(cfg.Emitter.Key)
		if err != nil {
			t.Fatal(err)
		}
		id, vkey, err := datadir.EmitterVKey(key)
		if err != nil {
			t.Fatal(err)
		}
		kept, err := os.ReadFile(dir.Join("keys", "emitters", f.Name()))
		if err != nil || (f.Name() == id+".vkey") != (string(kept) == string(vkey)) {
			t.Errorf("%s holds %q, %v", f.Name(), kept, err)
		}
	}
}
