// SPDX-License-Identifier: Apache-2.0

package stream

import (
	"encoding/json"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"

	declared "github.com/docket-audit/docket/schemas/nats"
)

// A Declaration is what JetStream must hold for Docket.
type Declaration struct {
	Stream     jetstream.StreamConfig
	Watermarks jetstream.KeyValueConfig
	Leases     jetstream.KeyValueConfig
}

// An Option changes a declaration where an installation may differ from the
// file.
type Option func(*Declaration)

// Replicas asks for n copies of stream and buckets.
func Replicas(n int) Option {
	return func(d *Declaration) {
		if n > 0 {
			d.Stream.Replicas, d.Watermarks.Replicas, d.Leases.Replicas = n, n, n
		}
	}
}

// MaxBytes limits what the stream may take on disk. When it is full, it refuses
// and the emitters keep the events.
func MaxBytes(n int64) Option {
	return func(d *Declaration) {
		if n > 0 {
			d.Stream.MaxBytes = n
		}
	}
}

// Declared returns the declaration of schemas/nats/stream.json with opts.
func Declared(opts ...Option) Declaration {
	d, err := parse(declared.Stream)
	if err != nil {
		// The file is embedded and a test reads it: this is no run-time fault.
		panic(err)
	}
	for _, o := range opts {
		o(&d)
	}
	return d
}

func parse(b []byte) (Declaration, error) {
	var file struct {
		Stream     jetstream.StreamConfig `json:"stream"`
		Watermarks bucket                 `json:"watermarks"`
		Leases     bucket                 `json:"leases"`
	}
	if err := json.Unmarshal(b, &file); err != nil {
		return Declaration{}, fmt.Errorf("read stream declaration: %w", err)
	}
	return Declaration{Stream: file.Stream, Watermarks: file.Watermarks.config(), Leases: file.Leases.config()}, nil
}

// A bucket is one as the file has it.
type bucket struct {
	Bucket      string                `json:"bucket"`
	Description string                `json:"description"`
	History     uint8                 `json:"history"`
	Storage     jetstream.StorageType `json:"storage"`
	Replicas    int                   `json:"num_replicas"`
}

func (b bucket) config() jetstream.KeyValueConfig {
	return jetstream.KeyValueConfig{
		Bucket: b.Bucket, Description: b.Description, History: b.History, Storage: b.Storage, Replicas: b.Replicas,
	}
}
