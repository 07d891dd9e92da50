// SPDX-License-Identifier: Apache-2.0

package replay_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/docket-audit/docket/interceptor"
	"github.com/docket-audit/docket/interceptor/replay"
)

func TestRecordedPlans(t *testing.T) {
	h := record(t, oldPlan())
	digest := oldPlan().Digest()
	report := replayed(t, h, func() *interceptor.Plan { return nil }, replay.Recorded(func(d string) (*interceptor.Plan, error) {
		if d != digest {
			return nil, errors.New("no such plan")
		}
		return oldPlan(), nil
	}))
	if report.Same != len(requests) {
		t.Errorf("report: %s", report)
	}
	_, err := replay.Run(context.Background(), h, nil, replay.Recorded(func(string) (*interceptor.Plan, error) { return nil, errors.New("lost") }))
	if err == nil || !strings.Contains(err.Error(), "lost") {
		t.Errorf("a lost plan: %v", err)
	}
	if _, err := replay.Run(context.Background(), h, nil); err == nil {
		t.Error("replayed without a plan")
	}
	if _, err := replay.Run(context.Background(), h, &interceptor.Plan{}); err == nil {
		t.Error("replayed with a plan that no chain runs")
	}
}

// write writes the history to a file.
