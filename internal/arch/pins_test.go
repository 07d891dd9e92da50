// SPDX-License-Identifier: Apache-2.0

package arch

import (
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/mod/modfile"
)

// pins are the versions that are known to build, link and start together.
// Newer releases of some cannot be had by everybody: never `go get -u`. A new
// direct dependency is added here in the commit that adds it to go.mod.
var pins = map[string]string{
	"github.com/ClickHouse/clickhouse-go/v2":    "v2.50.0",
	"github.com/apache/arrow/go/v17":            "v17.0.0",
	"github.com/cockroachdb/datadriven":         "v1.0.3",
	"github.com/compose-spec/compose-go/v2":     "v2.16.2",
	"github.com/duckdb/duckdb-go-bindings":      "v0.10505.0",
	"github.com/duckdb/duckdb-go/v2":            "v2.10505.0",
	"github.com/ebitengine/purego":              "v0.11.3",
	"github.com/evanphx/json-patch/v5":          "v5.9.11",
	"github.com/go-json-experiment/json":        "v0.0.0-20260820222146-c27c302e5fc3",
	"github.com/goccy/go-json":                  "v0.12.0",
	"github.com/google/cel-go":                  "v0.31.0",
	"github.com/google/go-cmp":                  "v0.7.0",
	"github.com/google/uuid":                    "v1.6.0",
	"github.com/gowebpki/jcs":                   "v1.0.2",
	"github.com/grpc-ecosystem/grpc-gateway/v2": "v2.31.0",
	"github.com/klauspost/compress":             "v1.20.3",
	"github.com/knadh/koanf/parsers/toml/v2":    "v2.1.0",
	"github.com/knadh/koanf/v2":                 "v2.4.1",
	"github.com/lestrrat-go/jwx/v3":             "v3.3.0",
	"github.com/nats-io/nats-server/v2":         "v2.15.2",
	"github.com/nats-io/nats.go":                "v1.55.0",
	"github.com/pelletier/go-toml/v2":           "v2.2.2",
	"github.com/prometheus/client_golang":       "v1.24.1",
	"github.com/prometheus/client_model":        "v0.6.3",
	"github.com/prometheus/common":              "v0.72.0",
	"github.com/rivo/uniseg":                    "v0.4.7",
	"github.com/rogpeppe/go-internal":           "v1.14.1",
	"github.com/santhosh-tekuri/jsonschema/v6":  "v6.0.1",
	"github.com/spf13/cobra":                    "v1.10.2",
	"github.com/spf13/pflag":                    "v1.0.9",
	"github.com/transparency-dev/formats":       "v0.0.0-20251017110053-404c0d5b696c",
	"github.com/transparency-dev/merkle":        "v0.0.2",
	"github.com/transparency-dev/tessera":       "v1.0.4",
	"github.com/vbauerster/mpb/v8":              "v8.9.3",
	"github.com/wI2L/jsondiff":                  "v0.7.1",

	"go.opentelemetry.io/contrib/instrumentation/google.golang.org/grpc/otelgrpc": "v0.72.0",

	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc": "v1.47.0",

	"go.opentelemetry.io/otel/exporters/otlp/otlpmetric/otlpmetricgrpc": "v1.47.0",

	"go.opentelemetry.io/otel":                      "v1.47.0",
	"go.opentelemetry.io/otel/exporters/prometheus": "v0.69.0",
	"go.opentelemetry.io/otel/metric":               "v1.47.0",
	"go.opentelemetry.io/otel/sdk":                  "v1.47.0",
	"go.opentelemetry.io/otel/sdk/metric":           "v1.47.0",
	"go.opentelemetry.io/otel/trace":                "v1.47.0",
	"go.opentelemetry.io/proto/otlp":                "v1.11.0",
	"go.uber.org/goleak":                            "v1.3.0",
	"go.yaml.in/yaml/v3":                            "v3.0.5",
	"go.yaml.in/yaml/v4":                            "v4.0.0-rc.4",
	"golang.org/x/crypto":                           "v0.58.0",
	"golang.org/x/mod":                              "v0.41.0",
	"golang.org/x/net":                              "v0.61.0",
	"golang.org/x/sync":                             "v0.24.0",
	"golang.org/x/sys":                              "v0.49.0",
	"golang.org/x/term":                             "v0.47.0",
	"google.golang.org/genproto/googleapis/rpc":     "v0.0.0-20260928230214-8a89bd6388cc",
	"google.golang.org/grpc":                        "v1.85.0",
	"google.golang.org/protobuf":                    "v1.36.12",
	"k8s.io/klog/v2":                                "v2.130.1",
	"pgregory.net/rapid":                            "v1.3.0",
}

func TestPins(t *testing.T) {
	name := filepath.Join(root(), "go.mod")
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	f, err := modfile.Parse(name, data, nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(f.Replace) > 0 {
		t.Errorf("go.mod replaces modules; a user's build would not")
	}
	for _, r := range f.Require {
		want, pinned := pins[r.Mod.Path]
		switch {
		case pinned && r.Mod.Version != want:
			t.Errorf("go.mod requires %s %s, pinned is %s", r.Mod.Path, r.Mod.Version, want)
		case !pinned && !r.Indirect:
			t.Errorf("%s is a direct dependency without a pin", r.Mod.Path)
		}
	}
}
