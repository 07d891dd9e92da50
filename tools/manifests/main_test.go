// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const kubernetes = "../../deploy/kubernetes"

func TestOverlays(t *testing.T) {
	dirs, err := filepath.Glob(kubernetes + "/overlays/*")
	if err != nil || len(dirs) != 3 {
		t.Fatalf("%v, %v", dirs, err)
	}
	var out bytes.Buffer
	if err := run(dirs, &out); err != nil {
		t.Fatal(err)
	}
	if strings.Count(out.String(), " objects") != len(dirs) {
		t.Errorf("it said %q", &out)
	}
}

// One thing wrong in one file is found, and named.
func TestMistakes(t *testing.T) {
	for _, tc := range []struct{ name, file, from, to, want string }{
		{"unknown key", "overlays/collector/statefulset.yaml", "readOnlyRootFilesystem: true", "readOnlyRootFileSystem: true", "readOnlyRootFileSystem"},
		{"unknown key of a probe", "overlays/deployment/deployment.yaml", "httpGet: {path: /readyz, port: ops}", "httpGet: {path: /readyz, ports: ops}", "ports"},
		{"another type", "overlays/deployment/deployment.yaml", "replicas: 1", `replicas: "one"`, "replicas"},
		{"missing", "overlays/deployment/deployment.yaml", "  selector:\n    matchLabels: *labels\n", "", "selector"},
		{"unknown kind", "overlays/sidecar/poddisruptionbudget.yaml", "kind: PodDisruptionBudget", "kind: PodDisruptionBudgets", "PodDisruptionBudgets"},
		{"another version", "overlays/sidecar/poddisruptionbudget.yaml", "policy/v1", "policy/v1beta1", "policy/v1beta1"},
		{"unknown key of kustomize", "overlays/sidecar/kustomization.yaml", "resources:", "resource:", "resource"},
		{"file that is not there", "overlays/sidecar/kustomization.yaml", "gateway.toml", "gateways.toml", "gateways.toml"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			dir := t.TempDir()
			if err := os.CopyFS(dir, os.DirFS(kubernetes)); err != nil {
				t.Fatal(err)
			}
			file := filepath.Join(dir, tc.file)
			text, err := os.ReadFile(file)
			if err != nil || !strings.Contains(string(text), tc.from) {
				t.Fatalf("%s has no %q, %v", tc.file, tc.from, err)
			}
			if err := os.WriteFile(file, []byte(strings.Replace(string(text), tc.from, tc.to, 1)), 0o600); err != nil {
				t.Fatal(err)
			}
			err = run([]string{filepath.Dir(file)}, &bytes.Buffer{})
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("error %v, want %q", err, tc.want)
			}
		})
	}
}
