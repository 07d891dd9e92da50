// SPDX-License-Identifier: Apache-2.0

//go:build !cgo

package sql

import (
	"errors"
	"strings"
	"testing"
)

func TestUnavailable(t *testing.T) {
	_, err := Open(t.Context(), Scope{Dir: t.TempDir()})
	var hinted interface{ Hint() string }
	if !errors.Is(err, ErrUnavailable) || !errors.As(err, &hinted) || !strings.Contains(hinted.Hint(), "gcc") {
		t.Errorf("Open without cgo: %v", err)
	}
}
