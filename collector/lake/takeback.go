// SPDX-License-Identifier: Apache-2.0

package lake

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// asideMark is in the names of statements that were taken back, before the time.
const asideMark = ".unsigned-"

// TakeBack undoes the last statement of the lake in dir, which nobody has signed
// for, so that the lake is what it was before it. It returns the path of the
// statement, which is put aside. The files that it added go with the next Open.
//
// It fails with [ErrCorrupt], and has done nothing, when one of the files that it
// removes is not there as it was: then events are gone. It may be called again
// after a crash at any point.
func TakeBack(dir string, number uint64, opts Options) (aside string, _ error) {
	opts = opts.withDefaults()
	lock, err := acquire(dir)
	if err != nil {
		return "", failed("take back a statement of lake", dir, err)
	}
	defer func() { _ = lock.Close() }() // only the lock was of use
	if aside, err = takeBack(dir, number, &opts); err != nil {
		return "", failed("take back a statement of lake", dir, err)
	}
	return aside, nil
}

func takeBack(dir string, number uint64, opts *Options) (string, error) {
	raw, err := ReadStatement(dir, number)
	if err != nil {
		return "", err
	}
	s, err := ParseStatement(raw)
	if err != nil {
		return "", err
	}
	before, err := foldTo(dir, number-1)
	if err != nil {
		return "", err
	}
	removed := make(map[string]bool, len(s.Removed))
	for _, r := range s.Removed {
		removed[r.Path] = true
	}
	for i := range before.Files {
		if f := &before.Files[i]; removed[f.Path] {
			if err := checkDigest(dir, f); err != nil {
				return "", err
			}
		}
	}
	// First the manifest, which may be behind the statements, and never ahead.
	l := &Lake{dir: dir, opts: *opts}
	if err := l.writeManifest(before); err != nil {
		return "", err
	}
	if err := opts.Fault("aside begin"); err != nil {
		return "", err
	}
	path := StatementPath(number)
	aside := path + asideMark + strconv.FormatInt(opts.Now().UnixNano(), 10)
	if err := os.Rename(filepath.Join(dir, filepath.FromSlash(path)), filepath.Join(dir, filepath.FromSlash(aside))); err != nil {
		return "", err
	}
	if err := opts.Fault("aside renamed"); err != nil {
		return "", err
	}
	return aside, syncDir(filepath.Join(dir, CommitsDir))
}

// foldTo makes the manifest of the statements up to one.
func foldTo(dir string, number uint64) (*Manifest, error) {
	m := new(Manifest)
	for b, err := range Statements(dir, 1) {
		if m.Number == number {
			return m, nil
		}
		if err == nil {
			err = m.Apply(b)
		}
		if err != nil {
			return nil, err
		}
	}
	if m.Number < number {
		return nil, fmt.Errorf("%s: %w: %w", StatementPath(m.Number+1), ErrCorrupt, fs.ErrNotExist)
	}
	return m, nil
}

// TakenBack returns the paths of the statements that were taken back.
func TakenBack(dir string) ([]string, error) {
	list, err := os.ReadDir(filepath.Join(dir, CommitsDir))
	if err != nil {
		return nil, err
	}
	var paths []string
	for _, d := range list {
		if strings.Contains(d.Name(), asideMark) {
			paths = append(paths, CommitsDir+"/"+d.Name())
		}
	}
	return paths, nil
}
