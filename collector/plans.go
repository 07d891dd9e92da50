// SPDX-License-Identifier: Apache-2.0

package collector

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/docket-audit/docket/collector/store"
	"github.com/docket-audit/docket/ocsf"
)

// keepPlans writes the plans that entries carry to DataDir/plans, named by
// their digest: what recorded operations are replayed with. A plan that is
// there already stays.
func (c *Collector) keepPlans(entries []store.Entry) error {
	if c.cfg.DataDir == "" {
		return nil
	}
	for i := range entries {
		e := &entries[i]
		if e.Header.ClassUID != int32(ocsf.ClassEntityManagement) || e.Header.PlanDigest == "" {
			continue
		}
		digest, plan, ok := planOf(e)
		if !ok {
			c.log.Warn("an event names a plan that it does not carry", "event", e.Header.MetadataUID, "plan", e.Header.PlanDigest)
			continue
		}
		if err := c.keepPlan(digest, plan); err != nil {
			return fmt.Errorf("keep plan %s: %w", digest, err)
		}
	}
	return nil
}

func (c *Collector) keepPlan(digest string, plan []byte) error {
	dir := filepath.Join(c.cfg.DataDir, "plans")
	path := filepath.Join(dir, digest+".json")
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	return replace(path, plan)
}

// planOf returns the plan that an event carries, and its digest in hex. The
// event's bytes are canonical, so those of the plan within are too, and their
// SHA-256 is the plan's digest.
func planOf(e *store.Entry) (digest string, plan []byte, ok bool) {
	type policy struct {
		Data json.RawMessage `json:"data"`
	}
	var event struct {
		Policy policy `json:"policy"`
		Entity struct {
			Data   json.RawMessage `json:"data"`
			Policy policy          `json:"policy"`
		} `json:"entity"`
	}
	if err := json.Unmarshal(e.Raw, &event); err != nil {
		return "", nil, false
	}
	for _, plan := range [][]byte{event.Entity.Data, event.Entity.Policy.Data, event.Policy.Data} {
		sum := sha256.Sum256(plan)
		digest := hex.EncodeToString(sum[:])
		if len(plan) > 0 && e.Header.PlanDigest == "sha256:"+digest {
			return digest, plan, true
		}
	}
	return "", nil, false
}
