// SPDX-License-Identifier: Apache-2.0

package ocsfbench

import (
	"encoding/json"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/bytedance/sonic"
	goccy "github.com/goccy/go-json"

	"github.com/docket-audit/docket/ocsf"
)

// event returns the 1.6 KB result event that the figures are about: one of
// Docket's examples with fewer particulars. free makes its free-form value.
func event(b *testing.B, free func(text string) any) *ocsf.APIActivity {
	b.Helper()
	text, err := os.ReadFile("../../schemas/ocsf/examples/1.8.0/02_result_modify.json")
	if err != nil {
		b.Fatal(err)
	}
	decoded, err := ocsf.Decode(text)
	if err != nil {
		b.Fatal(err)
	}
	e, ok := decoded.(*ocsf.APIActivity)
	if !ok {
		b.Fatalf("it is a %T", decoded)
	}
	e.Verbatim = false
	e.API.Response.Data = free(`{"allowed":true,"patches":[{"op":"replace","path":"/spec/image","value":"y"}]}`)
	e.Unmapped = nil
	e.Authorizations, e.Metadata.Tags, e.Actor.Session, e.Actor.User.Groups = nil, nil, nil, nil
	e.StartTime, e.EndTime = 0, 0
	return e
}

// complete returns e with everything in its fields that ocsf derives, so that
// the others, who derive nothing, write the same members.
func complete(b *testing.B, e *ocsf.APIActivity) *ocsf.APIActivity {
	b.Helper()
	text := encoded(b, e)
	decoded, err := ocsf.Decode(text)
	if err != nil {
		b.Fatal(err)
	}
	c, ok := decoded.(*ocsf.APIActivity)
	if !ok {
		b.Fatalf("it is a %T", decoded)
	}
	c.API.Response.Data = e.API.Response.Data
	return c
}

func encoded(b *testing.B, e ocsf.Event) []byte {
	b.Helper()
	text, err := ocsf.Encode(e)
	if err != nil {
		b.Fatal(err)
	}
	return text
}

func tree(text string) any {
	var v any
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		panic(err)
	}
	return v
}

func run(b *testing.B, size int, f func() error) {
	b.Helper()
	b.ReportAllocs()
	b.SetBytes(int64(size))
	if err := f(); err != nil { // some compile code for a type when they first see it
		b.Fatal(err)
	}
	start := processor(b)
	for b.Loop() {
		if err := f(); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(processor(b)-start)/float64(b.N), "cpu-ns/op")
}

// processor returns how long this process has been running on all processors, that
// of collecting garbage included.
func processor(b *testing.B) time.Duration {
	b.Helper()
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		b.Fatal(err)
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}

// BenchmarkEncode encodes the event with a free-form value that is a Go map, as
// any user's would be; and, ocsf alone, one that is canonical already, as
// Docket's own are: ocsf-canonical-payload, which no other has a like of.
func BenchmarkEncode(b *testing.B) {
	e := event(b, tree)
	full := complete(b, e)
	size := len(encoded(b, e))
	buf := make([]byte, 0, 2*size)
	b.Run("ocsf", func(b *testing.B) {
		run(b, size, func() error { _, err := ocsf.Append(buf, e); return err })
	})
	b.Run("ocsf-canonical-payload", func(b *testing.B) {
		e := event(b, func(text string) any { return ocsf.Canonical(text) })
		run(b, size, func() error { _, err := ocsf.Append(buf, e); return err })
	})
	b.Run("encoding-json", func(b *testing.B) {
		run(b, size, func() error { _, err := json.Marshal(full); return err })
	})
	b.Run("goccy", func(b *testing.B) {
		run(b, size, func() error { _, err := goccy.Marshal(full); return err })
	})
	b.Run("sonic", func(b *testing.B) {
		run(b, size, func() error { _, err := sonic.Marshal(full); return err })
	})
}

// BenchmarkDecode decodes into the same structs. The others make maps of the
// free-form value and pass over what the structs have no field for; ocsf keeps
// both as they are.
func BenchmarkDecode(b *testing.B) {
	text := encoded(b, event(b, tree))
	b.Run("ocsf", func(b *testing.B) {
		run(b, len(text), func() error { _, err := ocsf.Decode(text); return err })
	})
	b.Run("encoding-json", func(b *testing.B) {
		run(b, len(text), func() error { return json.Unmarshal(text, new(ocsf.APIActivity)) })
	})
	b.Run("goccy", func(b *testing.B) {
		run(b, len(text), func() error { return goccy.Unmarshal(text, new(ocsf.APIActivity)) })
	})
	b.Run("sonic", func(b *testing.B) {
		run(b, len(text), func() error { return sonic.Unmarshal(text, new(ocsf.APIActivity)) })
	})
}

// BenchmarkValidate validates the event by the rules of the official server.
// There is no other Go library to put beside it.
func BenchmarkValidate(b *testing.B) {
	text := encoded(b, event(b, tree))
	for _, mode := range []ocsf.Mode{ocsf.ModeServer, ocsf.ModeStrict} {
		v, err := ocsf.NewValidator(ocsf.DefaultVersion, mode, ocsf.ValidateOptions{})
		if err != nil {
			b.Fatal(err)
		}
		name := "ocsf"
		if mode == ocsf.ModeStrict {
			name = "ocsf-strict"
		}
		b.Run(name, func(b *testing.B) {
			run(b, len(text), func() error { _, err := v.Validate(text); return err })
		})
	}
}
