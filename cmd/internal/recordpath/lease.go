// SPDX-License-Identifier: Apache-2.0

package recordpath

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/docket-audit/docket/cmd/internal/config"
	"github.com/docket-audit/docket/cmd/internal/datadir"
	"github.com/docket-audit/docket/collector"
)

// newLease returns the lease by which dockets on one NATS take turns; nil where
// there is no other. A broker of our own ends with us, so that nobody could take
// over.
func newLease(cfg *config.Config, dir *datadir.Dir, js jetstream.JetStream, holder string, log *slog.Logger) (*collector.Lease, error) {
	if cfg.NATS.URL == "" || cfg.Collector.Lease == 0 {
		return nil, nil
	}
	id, err := collectorID(dir)
	if err != nil {
		return nil, err
	}
	return collector.NewLease(collector.LeaseConfig{
		JetStream: js, Stream: cfg.NATS.Stream, Replicas: cfg.NATS.Replicas, Holder: holder, ID: id, TTL: time.Duration(cfg.Collector.Lease), Logger: log,
	})
}

// collectorID returns what tells the collector of a directory from all others,
// over its restarts. The directory has one owner at a time, so that what bears the
// id cannot be running elsewhere.
func collectorID(dir *datadir.Dir) (string, error) {
	const name = "collector.id"
	b, err := os.ReadFile(dir.Join(name))
	if errors.Is(err, fs.ErrNotExist) {
		b = []byte(uuid.NewString() + "\n")
		err = dir.Keep(b, name)
	}
	if err != nil {
		return "", fmt.Errorf("open id of the collector: %w", err)
	}
	return strings.TrimSpace(string(b)), nil
}
