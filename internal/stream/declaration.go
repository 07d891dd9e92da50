// SPDX-License-Identifier: Apache-2.0

package stream

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/nats-io/nats.go/jetstream"

	declared "github.com/docket-audit/docket/schemas/nats"
)

// A Declaration is what JetStream must hold for Docket.
type Declaration struct {
	Stream     jetstream.StreamConfig
	Watermarks jetstream.KeyValueConfig
	Leases     jetstream.KeyValueConfig

	// assigned says that the stream is for the emitters that its subjects name, and
	// for no other; some, that it may be.
	assigned, some bool
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

// DefaultName is that of the one stream that most installations have.
const DefaultName = "DOCKET"

// Name asks for the stream of a name, with buckets of its own: several streams
// share nothing but their servers. "" means [DefaultName].
func Name(name string) Option {
	return func(d *Declaration) {
		if name == "" || name == d.Stream.Name {
			return
		}
		d.Stream.Name = name
		d.Watermarks.Bucket += "_" + name
		d.Leases.Bucket += "_" + name
	}
}

// maxStreamName leaves room for what the names of buckets and subjects put around
// a stream's.
const maxStreamName = 32

// CheckName says what is wrong with the name of a stream. "" is none, and right.
func CheckName(name string) error {
	other := func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '-' && r != '_'
	}
	if len(name) > maxStreamName || strings.ContainsFunc(name, other) {
		return fmt.Errorf("%.80q is no name of a stream: it has letters, digits, - and _, at most %d of them", name, maxStreamName)
	}
	return nil
}

// Emitters assigns the stream to emitters, each as the one subject token that its
// events' subjects end in. An emitter's events are on one stream, because the
// subjects of two never overlap. Without any, the stream is for all of them.
func Emitters(tokens ...string) Option {
	return func(d *Declaration) {
		if len(tokens) == 0 {
			return
		}
		d.assigned = true
		d.Stream.Subjects = nil
		for _, t := range tokens {
			d.Stream.Subjects = append(d.Stream.Subjects, emitterPrefix+t)
		}
	}
}

// AnyEmitters leaves a stream that is assigned to emitters as it is, whichever they
// are: whoever reads it does not know them. One that is not there is for all.
func AnyEmitters() Option { return func(d *Declaration) { d.some = true } }

// of returns what is wanted of a stream that is there: with [AnyEmitters] its own
// subjects, if they assign it.
func (d *Declaration) of(found *jetstream.StreamConfig) jetstream.StreamConfig {
	wanted := d.Stream
	if d.some {
		if tokens, _ := Assigned(found.Subjects); len(tokens) > 0 {
			wanted.Subjects = found.Subjects
		}
	}
	return wanted
}

// emitterPrefix begins the subjects of one emitter:
// docket.activity.<tenant>.<kind>.<decision>.<service>.<method>.<emitter>.
const emitterPrefix = "docket.activity.*.*.*.*.*."

// Assigned returns the tokens of the emitters that a stream with these subjects is
// for, and whether it is for all.
func Assigned(subjects []string) (tokens []string, all bool) {
	for _, s := range subjects {
		token, ok := strings.CutPrefix(s, emitterPrefix)
		switch {
		case covers(s, emitterPrefix+"*"):
			return nil, true
		case ok && !strings.ContainsAny(token, ".*>"):
			tokens = append(tokens, token)
		}
	}
	return tokens, false
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
