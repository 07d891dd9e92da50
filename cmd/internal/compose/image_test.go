// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package compose_test

import (
	"debug/elf"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// inBase are the shared libraries of distroless/cc: glibc and the C++ runtime.
var inBase = []string{
	"libc.so.6", "libm.so.6", "libdl.so.2", "libpthread.so.0", "librt.so.1", "libresolv.so.2",
	"libstdc++.so.6", "libgcc_s.so.1", "ld-linux-x86-64.so.2", "ld-linux-aarch64.so.1",
}

// The Dockerfile's build command, in a copy of what is committed and nothing
// else, makes two binaries that run on the bases of their images.
func TestImageBuilds(t *testing.T) {
	p := load(t)
	dir := t.TempDir()
	sh(t, p.Root, "git archive HEAD | tar -x -C '"+dir+"'")
	dockerfile := read(t, filepath.Join(dir, "Dockerfile"))
	for _, m := range regexp.MustCompile(`(?m)^RUN (make .*)$`).FindAllStringSubmatch(dockerfile, -1) {
		sh(t, dir, "VERSION=test; "+m[1])
	}
	for _, m := range regexp.MustCompile(`COPY --from=build /src/(\S+)`).FindAllStringSubmatch(dockerfile, -1) {
		binary := filepath.Join(dir, m[1])
		f, err := elf.Open(binary)
		if err != nil {
			t.Fatal(err)
		}
		libraries, err := f.ImportedLibraries()
		if err != nil {
			t.Fatal(err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		t.Logf("%s needs %v", m[1], libraries)
		base := inBase
		if strings.HasSuffix(m[1], "-gateway") {
			base = nil // static
		}
		for _, l := range libraries {
			if !slices.Contains(base, l) {
				t.Errorf("%s needs %s, which its image does not have", m[1], l)
			}
		}
		if out, err := exec.Command(binary, "--help").CombinedOutput(); err != nil {
			t.Errorf("%s --help: %v\n%s", m[1], err, out)
		}
	}
}

func sh(t *testing.T, dir, command string) {
	t.Helper()
	cmd := exec.Command("bash", "-euo", "pipefail", "-c", command)
	cmd.Dir = dir
	cmd.Env = os.Environ()
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", command, err, out)
	}
}
