// SPDX-License-Identifier: Apache-2.0

package remote

import (
	"context"
	"fmt"

	"google.golang.org/grpc/connectivity"
)

// Connect waits until there is a connection, or the first attempt at one has
// failed; why, the next call tells. A call that comes first need not wait for it:
// Connect is for who wants the call's deadline to be about the call alone. It
// fails when ctx ends.
func (c *Client) Connect(ctx context.Context) error {
	for c.conn.Connect(); ; {
		state := c.conn.GetState()
		if state != connectivity.Idle && state != connectivity.Connecting {
			return nil
		}
		if !c.conn.WaitForStateChange(ctx, state) {
			return fmt.Errorf("connect to interceptor: %w", ctx.Err())
		}
	}
}
