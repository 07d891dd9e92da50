// SPDX-License-Identifier: Apache-2.0

package main

import (
	"testing"

	"github.com/docket-audit/docket/cmd/internal/compose"
)

// What docker-compose.yml runs of this command is what it understands.
func TestComposeCommands(t *testing.T) {
	p, err := compose.Load(t.Context(), ".", "*")
	if err != nil {
		t.Fatal(err)
	}
	services := p.Running("docket-gateway")
	if len(services) == 0 {
		t.Error("no service runs docket-gateway")
	}
	for name, s := range services {
		if err := p.CheckCommand(root(), &s); err != nil {
			t.Errorf("service %s: %v", name, err)
		}
	}
	if n, err := p.CheckHealth(root(), "/usr/local/bin/docket-gateway"); err != nil || n == 0 {
		t.Errorf("%d services ask whether they are healthy by docket-gateway: %v", n, err)
	}
}

// What the manifests of deploy/kubernetes run of this command, too.
func TestKubernetesCommands(t *testing.T) {
	p, err := compose.Load(t.Context(), ".", "*")
	if err != nil {
		t.Fatal(err)
	}
	if n, err := p.CheckPods(root(), "docket-gateway"); err != nil || n == 0 {
		t.Errorf("%d containers: %v", n, err)
	}
}
