// SPDX-License-Identifier: Apache-2.0

package datadir

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// storeFile says where the events of a directory are that has no lake.
const storeFile = "store"

// ErrElsewhere says that the events of a directory are not in it.
var ErrElsewhere = errors.New("its events are not in it")

// Elsewhere returns where the events of a directory are, without who asks for them
// there; "" when they are in it.
func Elsewhere(path string) (at string, err error) {
	b, err := os.ReadFile(filepath.Join(path, storeFile))
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", &Error{path, err, "the directory must be readable by this user"}
	}
	return strings.TrimSpace(string(b)), nil
}

// Within fails with [ErrElsewhere] if the events of a directory are not in it. What
// says what was to be done with them, advice what can be done in place of it.
func Within(path, what, advice string) error {
	at, err := Elsewhere(path)
	if err != nil || at == "" {
		return err
	}
	return &Error{path, fmt.Errorf("%s: %w but in ClickHouse, %s", what, ErrElsewhere, at), advice}
}

// KeepElsewhere says from now on that the events are there, which is no place for
// passwords.
func (d *Dir) KeepElsewhere(at string) error {
	if have, err := Elsewhere(d.Path); err == nil && have == at {
		return nil
	}
	if err := ReplaceFile(d.Join(storeFile), []byte(at+"\n"), 0o600); err != nil {
		return &Error{d.Path, err, notWritable}
	}
	return nil
}
