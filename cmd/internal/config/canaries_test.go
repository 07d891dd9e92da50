// SPDX-License-Identifier: Apache-2.0

package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Canaries are read from the file, the environment and flags; a bad one is told
// without its pattern.
func TestCanaries(t *testing.T) {
	file := filepath.Join(t.TempDir(), "docket.toml")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("[emitter]\ncanaries = '''\nplanted  CANARY-[0-9]+\n\nspaced a b\n'''\n")
	c, err := Load(file, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	list := c.Emitter.Canaries.List
	if len(list) != 2 || list[0].Name != "planted" || !list[0].Pattern.MatchString("CANARY-7") || list[1].Name != "spaced" || !list[1].Pattern.MatchString("a b") {
		t.Errorf("canaries %v", list)
	}
	c, err = Load("", []string{"DOCKET_EMITTER_CANARIES=one x+"}, nil)
	if err != nil || len(c.Emitter.Canaries.List) != 1 || c.Emitter.Canaries.List[0].Name != "one" {
		t.Errorf("from the environment: %v, %v", c, err)
	}
	if _, err := Load("", nil, []string{"emitter.canaries=s3cret("}); err == nil || strings.Contains(err.Error(), "s3cret") || !strings.Contains(err.Error(), "canary 1") {
		t.Errorf("a name alone: %v", err)
	}
	write("[emitter]\ncanaries = \"planted s3cret(\"\n")
	if _, err := Load(file, nil, nil); err == nil || strings.Contains(err.Error(), "s3cret") {
		t.Errorf("a bad pattern: %v", err)
	}
}
