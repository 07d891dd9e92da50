// SPDX-License-Identifier: Apache-2.0

package regular

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

func TestOpen(t *testing.T) {
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	if err := errors.Join(
		os.WriteFile(at("file"), []byte("what it holds"), 0o600), os.Symlink("file", at("link")), os.Symlink("none", at("dangling")),
		os.Symlink("/dev/zero", at("zeros")), syscall.Mkfifo(at("pipe"), 0o600), os.Mkdir(at("directory"), 0o700),
	); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		flag int
		want error
	}{
		{"file", os.O_RDONLY, nil},
		{"file", os.O_RDONLY | syscall.O_NOFOLLOW, nil},
		{"link", os.O_RDONLY, nil},
		{"link", os.O_RDONLY | syscall.O_NOFOLLOW, ErrNot},
		{"dangling", os.O_RDONLY, os.ErrNotExist},
		{"dangling", os.O_RDONLY | syscall.O_NOFOLLOW, ErrNot},
		{"none", os.O_RDONLY, os.ErrNotExist},
		{"new", os.O_RDWR | os.O_CREATE, nil},
		{"zeros", os.O_RDONLY, ErrNot},
		{"pipe", os.O_RDONLY, ErrNot},
		{"pipe", os.O_RDWR, ErrNot},
		{"pipe", os.O_WRONLY, ErrNot},
		{"directory", os.O_RDONLY, ErrNot},
		{"directory", os.O_RDWR, ErrNot},
	} {
		f, err := Open(at(c.name), c.flag)
		if !errors.Is(err, c.want) || (err == nil) != (c.want == nil) {
			t.Errorf("%s, flags %#x: %v, want %v", c.name, c.flag, err, c.want)
		}
		if err == nil {
			f.Close()
		}
	}
}

func TestReadAtMost(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, []byte("0123456789"), 0o600); err != nil {
		t.Fatal(err)
	}
	for most, want := range map[int64]error{9: ErrNot, 10: nil, 11: nil} {
		if b, err := ReadAtMost(path, most); !errors.Is(err, want) || want == nil && string(b) != "0123456789" {
			t.Errorf("at most %d: %q, %v", most, b, err)
		}
	}
	if b, err := ReadFile(path); err != nil || len(b) != 10 {
		t.Errorf("%q, %v", b, err)
	}
}
