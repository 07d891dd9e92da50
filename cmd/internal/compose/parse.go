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
func CheckCommand(root *cobra.Command, s *types.ServiceConfig) error {
	c, rest, err := root.Find(s.Command)
	if err != nil {
		return fmt.Errorf("%v: %w", s.Command, err)
	}
	if err := c.ParseFlags(rest); err != nil {
		return fmt.Errorf("%v: %w", s.Command, err)
	}
	if err := c.ValidateArgs(c.Flags().Args()); err != nil {
		return fmt.Errorf("%v: %w", s.Command, err)
	}
	if c.RunE == nil {
		return fmt.Errorf("%v: runs nothing", s.Command)
	}
	if file := c.Flag("config"); file != nil && file.Value.String() != "" {
		host := HostPath(s, file.Value.String())
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
