// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"testing"

	"go.uber.org/goleak"

	"github.com/docket-audit/docket/internal/natstest"
)

func TestMain(m *testing.M) {
	natstest.Child()
	goleak.VerifyTestMain(m)
}
