// SPDX-License-Identifier: Apache-2.0

package compose

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/compose-spec/compose-go/v2/types"
	"github.com/spf13/cobra"

	"github.com/docket-audit/docket/cmd/internal/config"
)

// CheckCommand does what the command would do with the command line of a
// service before it touches anything: it parses it, and reads the
// configuration that it names, in the environment of the service.
func (p *Project) CheckCommand(root *cobra.Command, s *types.ServiceConfig) error {
	c, err := parse(root, s.Command)
	if err != nil {
		return err
	}
	for _, flag := range []string{"ca", "password-file"} {
		if f := c.Flag(flag); f != nil && f.Changed && p.HostPath(s, f.Value.String()) == "" {
			return fmt.Errorf("%v: nothing is mounted at %s", s.Command, f.Value)
		}
	}
	if file := c.Flag("config"); file != nil && file.Value.String() != "" {
		host := p.HostPath(s, file.Value.String())
		if host == "" {
			return fmt.Errorf("%v: nothing is mounted at %s", s.Command, file.Value)
		}
		if _, err := config.Load(host, Environ(s), nil); err != nil {
			return err
		}
	}
	if c.Flag("config") == nil {
		return nil
	}
	// What holds a data directory must keep it beyond its container.
	var data string
	if v := s.Environment["DOCKET_DATA"]; v != nil {
		data = *v
	}
	if f := c.Flag("data"); f.Changed {
		data = cmp.Or(f.Value.String(), data)
	}
	if !slices.ContainsFunc(s.Volumes, func(v types.ServiceVolumeConfig) bool { return v.Type == types.VolumeTypeVolume && v.Target == data }) {
		return fmt.Errorf("%v: the data directory %q is on no volume", s.Command, data)
	}
	return nil
}

// CheckHealth parses the health check of each service that asks by the binary,
// as root would, and returns how many do.
func (p *Project) CheckHealth(root *cobra.Command, binary string) (int, error) {
	n := 0
	for name, s := range p.Services {
		if s.HealthCheck == nil || len(s.HealthCheck.Test) < 2 || s.HealthCheck.Test[1] != binary {
			continue
		}
		n++
		if s.HealthCheck.Test[0] != "CMD" {
			return n, fmt.Errorf("service %s: its image has no shell to ask by", name)
		}
		if _, err := parse(root, s.HealthCheck.Test[2:]); err != nil {
			return n, fmt.Errorf("service %s: %w", name, err)
		}
	}
	return n, nil
}

func parse(root *cobra.Command, args []string) (*cobra.Command, error) {
	c, rest, err := root.Find(args)
	if err != nil {
		return nil, fmt.Errorf("%v: %w", args, err)
	}
	if err := c.ParseFlags(rest); err != nil {
		return nil, fmt.Errorf("%v: %w", args, err)
	}
	if err := c.ValidateArgs(c.Flags().Args()); err != nil {
		return nil, fmt.Errorf("%v: %w", args, err)
	}
	if c.RunE == nil {
		return nil, fmt.Errorf("%v: runs nothing", args)
	}
	return c, nil
}
