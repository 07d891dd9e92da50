// SPDX-License-Identifier: Apache-2.0

package telemetry

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
)

// A signal is what OpenTelemetry sends: its name in the variables.
type signal string

const (
	traces  signal = "TRACES"
	metrics signal = "METRICS"
)

// An ask is what the OTEL_ variables want of a signal.
type ask struct {
	send    bool   // by OTLP
	problem string // why not although a collector is named; "" when nobody asks
}

// wanted reads the variables that say whether a signal is sent and where to. All
// others are for the SDK and its exporter to read. Names and meanings are those
// of OpenTelemetry's specification; but where that has a collector on this
// machine by default, no collector named is nothing sent here.
func wanted(s signal, getenv func(string) string) ask {
	of := func(what string) (string, string) { // the signal's own variable goes first
		own := "OTEL_EXPORTER_OTLP_" + string(s) + "_" + what
		if v := getenv(own); v != "" {
			return own, v
		}
		return "OTEL_EXPORTER_OTLP_" + what, getenv("OTEL_EXPORTER_OTLP_" + what)
	}
	exporters := "OTEL_" + string(s) + "_EXPORTER"
	at, endpoint := of("ENDPOINT")
	names := listOf(getenv(exporters))
	if endpoint == "" || disabled(getenv) || slices.Contains(names, "none") {
		return ask{}
	}
	if len(names) > 0 && !slices.Contains(names, "otlp") {
		if s == metrics && slices.Contains(names, "prometheus") {
			return ask{} // which there always is
		}
		return ask{problem: fmt.Sprintf("%s is %q: sent is by otlp or not at all", exporters, getenv(exporters))}
	}
	if name, protocol := of("PROTOCOL"); protocol != "" && protocol != "grpc" {
		return ask{problem: fmt.Sprintf("%s is %q: OTLP is spoken over grpc only, for which collectors listen on port 4317", name, protocol)}
	}
	if u, err := url.Parse(endpoint); err != nil || !slices.Contains([]string{"http", "https", "unix"}, u.Scheme) || u.Scheme != "unix" && u.Host == "" {
		return ask{problem: at + " is no http://HOST:PORT, https://HOST:PORT or unix:///PATH"} // it may hold credentials
	}
	return ask{send: true}
}

func disabled(getenv func(string) string) bool {
	return strings.EqualFold(strings.TrimSpace(getenv("OTEL_SDK_DISABLED")), "true")
}

// listOf splits a list of names at its commas.
func listOf(s string) []string {
	var names []string
	for name := range strings.SplitSeq(s, ",") {
		if name = strings.ToLower(strings.TrimSpace(name)); name != "" {
			names = append(names, name)
		}
	}
	return names
}
