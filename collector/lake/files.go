// SPDX-License-Identifier: Apache-2.0

package lake

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"syscall"
)

const aside = ".tmp"

// put makes a file durable under its name: it is written aside, synced, renamed,
// and the directory is synced. So there is never a part of a file under its
// name, and what put has returned for survives a power cut.
//
// fault is asked before the first and after each step.
func put(dir, path, kind string, fault func(string) error, write func(io.Writer) error) error {
	if err := fault(kind + " begin"); err != nil {
		return err
	}
	final := filepath.Join(dir, filepath.FromSlash(path))
	if err := writeAside(final+aside, write); err != nil {
		return err
	}
	if err := fault(kind + " written"); err != nil {
		return err
	}
	if err := os.Rename(final+aside, final); err != nil {
		return err
	}
	if err := fault(kind + " renamed"); err != nil {
		return err
	}
	return syncDir(filepath.Dir(final))
}

func writeAside(path string, write func(io.Writer) error) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		return err
	}
	err = write(f)
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// acquire takes the writer's lock of the lake in dir. The lock is the process's
// hold on the open file, so that a crash gives it back.
func acquire(dir string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, LockPath), os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		if errors.Is(err, syscall.EWOULDBLOCK) {
			err = ErrLocked
		}
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// ours are the names that a writer gives to files.
var ours = regexp.MustCompile(`^([0-9a-f-]{36}\.(parquet|ndjson)|[0-9]{12}\.json|_manifest\.json)(\.tmp)?$`)

// sweep removes what an interrupted commit left: files of ours that no
// statement names. named is asked only for the few that keep does not know, as
// it reads every statement.
func sweep(dir string, keep map[string]bool, named func() (map[string]bool, error)) error {
	var all map[string]bool
	for _, sub := range []string{".", HotDir, QuarantineDir, CommitsDir} {
		list, err := os.ReadDir(filepath.Join(dir, sub))
		if err != nil {
			return err
		}
		for _, d := range list {
			path := filepath.ToSlash(filepath.Join(sub, d.Name()))
			partial := filepath.Ext(path) == aside
			if !ours.MatchString(d.Name()) || !d.Type().IsRegular() || keep[path] {
				continue
			}
			if !partial {
				if sub == "." || sub == CommitsDir {
					continue
				}
				if all == nil {
					if all, err = named(); err != nil {
						return err
					}
				}
				if all[path] {
					continue
				}
			}
			if err := os.Remove(filepath.Join(dir, path)); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return fmt.Errorf("remove what a commit left: %w", err)
			}
		}
	}
	return nil
}
