// SPDX-License-Identifier: Apache-2.0

package lake

import (
	"errors"
	"io"
	"os"
	"path/filepath"
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
