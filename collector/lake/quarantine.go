// SPDX-License-Identifier: Apache-2.0

package lake

import (
	"bytes"
	"encoding/json"
	"fmt"

	"github.com/docket-audit/docket/collector/store"
)

const quarantineSuffix = ".ndjson"

// A quarantineLine is one line of a quarantine file. Data is in base64: what
// could not be read as an event may hold anything.
type quarantineLine struct {
	Subject   string              `json:"subject"`
	Headers   map[string][]string `json:"headers"`
	Data      []byte              `json:"data"`
	StreamSeq uint64              `json:"stream_seq"`
	Reason    string              `json:"reason"`
	Time      int64               `json:"time"` // ms; when it was put aside
	Epoch     string              `json:"epoch"`
	Sequence  int64               `json:"sequence"`
}

func encodeQuarantine(messages []store.Quarantined, ms int64) ([]byte, error) {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	for i := range messages {
		q := &messages[i]
		if err := enc.Encode(quarantineLine{q.Subject, q.Headers, q.Data, q.StreamSeq, q.Reason, ms, q.Epoch, q.Sequence}); err != nil {
			return nil, fmt.Errorf("encode quarantined message: %w", err)
		}
	}
	return buf.Bytes(), nil
}

// ReadQuarantine returns the messages of one quarantine file of the lake in dir.
func ReadQuarantine(dir, path string) ([]store.Quarantined, error) {
	var out []store.Quarantined
	for h, err := range readHeld(dir, path) {
		if err != nil {
			return nil, err
		}
		out = append(out, h.Quarantined)
	}
	return out, nil
}
