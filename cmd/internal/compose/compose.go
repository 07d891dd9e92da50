// SPDX-License-Identifier: Apache-2.0

// Package compose reads docker-compose.yml as an engine would, so that tests
// can do what its containers would, without an engine: parse each command line
// by the real command, load each mounted file by its owner, look whether every
// port, name, secret and variable is one that somebody knows, and run what is
// ours or can run in this process.
package compose

import (
	"context"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/compose-spec/compose-go/v2/dotenv"
	"github.com/compose-spec/compose-go/v2/loader"
	"github.com/compose-spec/compose-go/v2/types"
)

// A Project is the Compose file of the repository at Root.
type Project struct {
	*types.Project
	Root string
}

// Load reads docker-compose.yml in dir or the nearest directory above it. With
// profiles it has the services of these; without, those of a plain `docker
// compose up`: of the profiles that COMPOSE_PROFILES names in the .env beside it.
// "*" is every profile.
func Load(ctx context.Context, dir string, profiles ...string) (*Project, error) {
	root, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("find docker-compose.yml: %w", err)
	}
	name := filepath.Join(root, "docker-compose.yml")
	for _, err := os.Stat(name); err != nil; _, err = os.Stat(name) {
		if root == filepath.Dir(root) {
			return nil, fmt.Errorf("find docker-compose.yml above %s: %w", dir, err)
		}
		root = filepath.Dir(root)
		name = filepath.Join(root, "docker-compose.yml")
	}
	env, err := dotenv.GetEnvFromFile(nil, []string{filepath.Join(root, ".env")})
	if err != nil {
		return nil, fmt.Errorf("load %s: %w", filepath.Join(root, ".env"), err)
	}
	if len(profiles) == 0 {
		profiles = strings.Split(env["COMPOSE_PROFILES"], ",")
	}
	p, err := loader.LoadWithContext(ctx, types.ConfigDetails{
		WorkingDir:  root,
		ConfigFiles: []types.ConfigFile{{Filename: name}},
		Environment: env,
	}, loader.WithProfiles(profiles))
	if err != nil {
		return nil, fmt.Errorf("load %s: %w", name, err)
	}
	return &Project{Project: p, Root: root}, nil
}

// Running returns the services that run an image, by name.
func (p *Project) Running(image string) map[string]types.ServiceConfig {
	out := make(map[string]types.ServiceConfig)
	for name, s := range p.Services {
		if s.Image == image {
			out[name] = s
		}
	}
	return out
}

// HostPath returns the file of the repository that a service sees under name,
// "" when it sees none there. A secret is one of deploy/secrets.
func (p *Project) HostPath(s *types.ServiceConfig, name string) string {
	for _, secret := range s.Secrets {
		if name == SecretTarget(&secret) {
			return p.Secrets[secret.Source].File
		}
	}
	for _, v := range s.Volumes {
		if v.Type != types.VolumeTypeBind {
			continue
		}
		if name == v.Target {
			return v.Source
		}
		if rest, ok := strings.CutPrefix(name, path.Clean(v.Target)+"/"); ok {
			return filepath.Join(v.Source, filepath.FromSlash(rest))
		}
	}
	return ""
}

// SecretTarget returns where a service sees a secret.
func SecretTarget(s *types.ServiceSecretConfig) string {
	switch {
	case s.Target == "":
		return "/run/secrets/" + s.Source
	case path.IsAbs(s.Target):
		return s.Target
	}
	return "/run/secrets/" + s.Target
}

// Environ is the environment of a service as a process sees it.
func Environ(s *types.ServiceConfig) []string {
	var out []string
	for name, value := range s.Environment {
		if value != nil {
			out = append(out, name+"="+*value)
		}
	}
	return out
}
