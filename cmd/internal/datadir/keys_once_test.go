// SPDX-License-Identifier: Apache-2.0

package datadir

import (
	"os"
	"path/filepath"
	"sync"
	"testing"
)

// Of many who make a secret at once, all have the one that is in the file.
func TestSecretIsMadeOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys", "secret")
	var wg sync.WaitGroup
	secrets := make([]string, 8)
	for i := range secrets {
		wg.Go(func() {
			b, err := SecretKey(path)
			if err != nil {
				t.Error(err)
			}
			secrets[i] = string(b)
		})
	}
	wg.Wait()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range secrets {
		if s+"\n" != string(b) {
			t.Errorf("somebody has %q, and the file %q", s, b)
		}
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
	left, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(left) != 1 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}
