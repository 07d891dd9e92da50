// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"os"
	"sync/atomic"
	"syscall"

	"github.com/docket-audit/docket/emitter"
)

// A disk is the real one until it is broken: then every write and every sync
// fails.
type disk struct{ broken atomic.Bool }

var _ emitter.FS = (*disk)(nil)

func (d *disk) check() error {
	if d.broken.Load() {
		return syscall.EIO
	}
	return nil
}

func (d *disk) Create(path string) (emitter.File, error) {
	if err := d.check(); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	return &diskFile{File: f, disk: d}, nil
}

func (d *disk) Rename(from, to string) error {
	if err := d.check(); err != nil {
		return err
	}
	return os.Rename(from, to)
}

func (d *disk) Remove(path string) error { return os.Remove(path) }

func (d *disk) SyncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := d.check(); err != nil {
		return err
	}
	return f.Sync()
}

type diskFile struct {
	*os.File
	disk *disk
}

func (f *diskFile) Write(b []byte) (int, error) {
	if err := f.disk.check(); err != nil {
		return 0, err
	}
	return f.File.Write(b)
}

func (f *diskFile) Sync() error {
	if err := f.disk.check(); err != nil {
		return err
	}
	return f.File.Sync()
}
