// SPDX-License-Identifier: Apache-2.0

package chainfile

import (
	"context"

	"github.com/docket-audit/docket/interceptor/remote"
)

func dialRemote(ctx context.Context, e Endpoint) (Client, error) {
	client, err := remote.Dial(ctx, e.URL, remote.CACert(e.CACertPath), remote.ClientCert(e.ClientCert, e.ClientKey), remote.MaxResponseBytes(e.MaxResponseBytes))
	if err != nil {
		return nil, err // not a nil *remote.Client in a Client
	}
	return client, nil
}
