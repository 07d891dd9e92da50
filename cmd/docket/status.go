// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/docket-audit/docket/cmd/internal/datadir"
	"github.com/docket-audit/docket/cmd/internal/requestpath"
	"github.com/docket-audit/docket/collector"
	"github.com/docket-audit/docket/collector/clickhouse"
	"github.com/docket-audit/docket/emitter"
)

// A report is what a running docket says of itself: GET /v1/status.
type report struct {
	Run  datadir.Run `json:"run"`
	Plan string      `json:"plan,omitempty"` // digest of the plan in force
	// Interceptors are those that the plan calls elsewhere, as of the last look.
	Interceptors []requestpath.Health `json:"interceptors,omitempty"`
	Emitter      emitter.State        `json:"emitter"`
	Collector    collector.Status     `json:"collector"`
	Store        storeStatus          `json:"store"`
	Stream       streamStatus         `json:"stream"`
	// KeysTogether says that emitter and ledger keys lie in one directory.
	KeysTogether bool `json:"keys_together"`
}

type storeStatus struct {
	Commit uint64 `json:"commit"` // number of the newest
	Files  int    `json:"files"`
	Events int64  `json:"events"`
	// ClickHouse is where the events are if not in the lake: hosts and database.
	// Files are then none, and Events counts those that have expired too.
	ClickHouse string               `json:"clickhouse,omitempty"`
	Troubles   []clickhouse.Trouble `json:"troubles,omitempty"`
}

func (d *daemon) storeStatus() storeStatus {
	if s := d.record.ClickHouse; s != nil {
		return storeStatus{Commit: s.Number(), Events: s.Events(), ClickHouse: s.Addr(), Troubles: s.Troubles()}
	}
	m := d.record.Lake.Manifest()
	return storeStatus{Commit: m.Number, Files: len(m.Files), Events: m.Rows()}
}

func (d *daemon) status(ctx context.Context) (any, error) {
	r := report{
		Run: d.run, Emitter: d.emitter.State(), Collector: d.record.Collector.Status(), KeysTogether: d.keysTogether(),
		Store:  d.storeStatus(),
		Stream: d.streamOf(ctx),
	}
	if p := d.governing.Load(); p != nil {
		r.Plan, r.Interceptors = p.Plan().Digest(), p.Health()
	}
	return r, nil
}

// ready says whether what comes in now would be recorded and stored.
func (d *daemon) ready() error {
	if s := d.record.Collector.Status(); !s.Connected || s.Error != "" {
		return fmt.Errorf("the collector does not collect: %s", or(s.Error, "not connected to NATS"))
	}
	for about, what := range d.emitter.State().Troubles {
		return fmt.Errorf("the emitter: %s: %s", about, what)
	}
	if d.cfg.HasGateway && d.governing.Load() == nil {
		return errors.New("the proxy does not listen yet")
	}
	return nil
}

func or(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}
