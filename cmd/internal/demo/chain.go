// SPDX-License-Identifier: Apache-2.0

package demo

import (
	"bytes"
	"fmt"
	"text/template"

	"github.com/docket-audit/docket/interceptor"
	"github.com/docket-audit/docket/interceptor/chainfile"
)

// chain is the demo's chain.toml. The parts show the three failure policies at
// work: an update passes when the quota does not answer, a create does not, and
// what the quota counts afterwards may fail without consequence. The settings
// say which of the demo's interceptors is served; see [Link].
var chain = template.Must(template.New("chain.toml").Parse(`# The demo's chain. ` + "`docket up --demo`" + ` writes this file at each start: to try
# another one, copy it and run ` + "`docket replay --chain COPY`" + `. What says demo = NAME
# in its settings is linked into docket replay and needs not be served then.

[gateway]
listen = "127.0.0.1:7070"
upstream = "{{index . "service"}}"
unmatched = "allow" # health checks and reflection pass ungoverned

[audit]
mode = "durable"

[tenant]
metadata_key = "` + tenantKey + `"

[principal]
metadata_key = "` + userKey + `"

[[interceptors]]
name = "naming"
grpc_endpoint = "{{index . "naming"}}"
binding_policy = "dynamic"
order = 10

[interceptors.settings]
demo = "naming"

[[interceptors]]
name = "images"
grpc_endpoint = "{{index . "images"}}"
binding_policy = "dynamic"
order = 20

[interceptors.settings]
demo = "images"
allow = ["registry.example/base/", "registry.example/team/"]

[[interceptors]]
name = "quota"
grpc_endpoint = "{{index . "quota"}}"
binding_policy = "dynamic"
order = 30
timeout = "100ms"

[interceptors.settings]
demo = "quota"

[[interceptors.bindings]]
id = "update"
failure_policy = "fail_open"

[[interceptors.bindings]]
id = "usage"
failure_policy = "ignore"
`))

// Chain returns the demo's chain.toml for services at the given endpoints.
func Chain(endpoints map[string]string) ([]byte, error) {
	var b bytes.Buffer
	if err := chain.Execute(&b, endpoints); err != nil {
		return nil, fmt.Errorf("write the demo's chain: %w", err)
	}
	return b.Bytes(), nil
}

// Link is the option that links the demo's interceptors in process: those whose
// settings say so, as in `demo = "images"`. The name of an interceptor is its
// operator's to choose, and one that is called images need not be the demo's.
// linked, if not nil, is told of each.
func Link(linked func(name string, i interceptor.Interceptor)) chainfile.Option {
	return chainfile.Link(func(name string, settings map[string]any) (interceptor.Interceptor, error) {
		which, ok := settings["demo"]
		if !ok {
			return nil, nil
		}
		text, ok := which.(string)
		if !ok {
			return nil, fmt.Errorf("demo: %v is not a text", which)
		}
		i, err := New(text, settings)
		if err == nil && linked != nil {
			linked(name, i)
		}
		return i, err
	})
}
