// SPDX-License-Identifier: Apache-2.0

package ops

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"time"

	"github.com/spf13/cobra"

	"github.com/docket-audit/docket/cmd/internal/cli"
)

// CheckCommand is how an image without a shell asks what runs in it.
func CheckCommand() *cobra.Command {
	return &cobra.Command{
		Use:    "healthcheck URL",
		Short:  "Whether http://HOST:PORT/PATH answers 200, or somebody listens at unix:///PATH",
		Hidden: true,
		Args:   cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			u, err := url.Parse(args[0])
			if err != nil || u.Scheme != "http" && u.Scheme != "unix" {
				return cli.Usage(fmt.Errorf("%s is neither http:// nor unix://", cli.Escape(args[0])))
			}
			ctx, cancel := context.WithTimeout(c.Context(), 5*time.Second)
			defer cancel()
			return check(ctx, u)
		},
	}
}

func check(ctx context.Context, u *url.URL) error {
	if u.Scheme == "unix" {
		conn, err := (&net.Dialer{}).DialContext(ctx, "unix", u.Path)
		if err != nil {
			return fmt.Errorf("check health: %w", err)
		}
		return conn.Close()
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return fmt.Errorf("check health: %w", err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return fmt.Errorf("check health: %w", err)
	}
	defer resp.Body.Close()
	if resp.StatusCode == http.StatusOK {
		return nil
	}
	line, err := bufio.NewReader(io.LimitReader(resp.Body, 4<<10)).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("check health: %w", err)
	}
	return fmt.Errorf("check health: %s: %s", resp.Status, cli.Escape(line))
}
