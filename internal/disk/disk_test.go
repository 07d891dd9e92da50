// SPDX-License-Identifier: Apache-2.0

package disk_test

import (
	"errors"
	"io/fs"
	"path/filepath"
	"testing"

	"github.com/docket-audit/docket/internal/disk"
)

func TestOf(t *testing.T) {
	dir := t.TempDir()
	r, err := disk.Of(dir)
	if err != nil || r.Total <= 0 || r.Free < 0 || r.Free > r.Total {
		t.Errorf("%+v, %v", r, err)
	}
	if _, err := disk.Of(filepath.Join(dir, "nothing")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("of what is not there: %v", err)
	}
}
