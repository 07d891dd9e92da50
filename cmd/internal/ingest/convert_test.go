// SPDX-License-Identifier: Apache-2.0

package ingest_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/docket-audit/docket/cmd/internal/ingest"
	"github.com/docket-audit/docket/internal/profile"
	"github.com/docket-audit/docket/ocsf"
)

var now = func() time.Time { return time.UnixMilli(1_795_000_000_000) }

// sealed converts an event and returns it as it would be stored, parsed.
func sealed(t *testing.T, c *ingest.Converter, data string) (*ingest.Foreign, profile.Header, map[string]any) {
	t.Helper()
	f, err := c.Convert([]byte(data))
	if err != nil {
		t.Fatalf("%s: %v", data, err)
	}
	raw, _, err := profile.Seal(f.Event, profile.Link{Emitter: "ingest", Epoch: "0199d0aa-1000-7000-8000-00000000e001", Sequence: 1})
	if err != nil {
		t.Fatalf("%s: %v", data, err)
	}
	h, err := profile.Check(raw)
	if err != nil {
		t.Fatal(err)
	}
	if err := h.Admit(); err != nil {
		t.Errorf("%s: %v", data, err)
	}
	if h.Kind != profile.KindForeign || h.MetadataUID != f.UID || h.Emitter != "ingest" {
		t.Errorf("%s: %+v", data, h)
	}
	var all map[string]any
	if err := json.Unmarshal(raw, &all); err != nil {
		t.Fatal(err)
	}
	return f, h, all
}

func at(v any, path string) any {
	for name := range strings.SplitSeq(path, "/") {
		m, _ := v.(map[string]any)
		v = m[name]
	}
	return v
}

// What OpenShell's supervisor writes: no event uid, its sandbox's in its place.
const shell = `{"class_uid":4001,"class_name":"Network Activity","category_uid":4,"category_name":"Network Activity","activity_id":1,"activity_name":"Open","type_uid":400101,"type_name":"Network Activity: Open","time":1790000000123,"severity_id":1,"severity":"Informational","status_id":1,"status":"Success","action_id":1,"action":"Allowed","disposition_id":1,"disposition":"Allowed","metadata":{"version":"1.8.0","product":{"name":"OpenShell Sandbox Supervisor","vendor_name":"OpenShell","version":"0.1"},"profiles":["security_control","network_proxy","container","host"],"uid":"sbx-1"},"dst_endpoint":{"domain":"example.com","port":443},"unmapped":{"x":1.5}}`

func TestConvert(t *testing.T) {
	c := ingest.NewConverter("", "", now)
	f, h, all := sealed(t, c, shell)
	if h.Tenant != "default" || h.ClassUID != 4001 || h.Time != 1_790_000_000_123 || h.Decision != "allow" || f.Wrapped {
		t.Errorf("%+v, %+v", f, h)
	}
	for path, want := range map[string]any{
		"metadata/original_event_uid": "sbx-1", "metadata/event_code": "foreign", "metadata/product/name": "OpenShell Sandbox Supervisor",
		"dst_endpoint/domain": "example.com", "unmapped/x": 1.5, "unmapped/docket/ingest/judged_by": "1.8.0", "unmapped/docket/ingest/original": nil,
	} {
		if got := at(all, path); got != want {
			t.Errorf("%s is %v, want %v", path, got, want)
		}
	}

	// Everything that has to make way is kept, and nothing of it is believed.
	theirs := `{"class_uid":6002,"category_uid":6,"activity_id":4,"type_uid":600204,"time":1790000000000,"severity_id":1,"app":{"name":"x"},"new_thing":{"a":[1]},
		"metadata":{"version":"1.3.0","product":{"name":"p","vendor_name":"v"},"uid":"u","original_event_uid":"o","event_code":"lifecycle","sequence":7,"tenant_uid":"docket","loggers":[{"name":"gateway-0","uid":"0199d0aa-1000-7000-8000-00000000e001"}],"correlation_uid":"op"},
		"unmapped":{"docket":{"closes":[{"epoch":"e"}],"ran":true},"attestation_list":[{"uid":"z"}],"mine":null}}`
	_, h, all = sealed(t, c, theirs)
	if h.Tenant != "default" || h.Ran || h.OperationUID != "op" || h.Epoch == "e" {
		t.Errorf("%+v", h)
	}
	want := map[string]any{
		"uid": "u", "event_code": "lifecycle", "sequence": 7.0, "tenant_uid": "docket", "version": "1.3.0",
		"loggers":         []any{map[string]any{"name": "gateway-0", "uid": "0199d0aa-1000-7000-8000-00000000e001"}},
		"unmapped_docket": map[string]any{"closes": []any{map[string]any{"epoch": "e"}}, "ran": true}, "unmapped_attestation_list": []any{map[string]any{"uid": "z"}},
	}
	if diff := cmp.Diff(want, at(all, "unmapped/docket/ingest/original")); diff != "" {
		t.Errorf("original (-want +got):\n%s", diff)
	}
	if at(all, "metadata/original_event_uid") != "o" || at(all, "metadata/version") != "1.8.0" || cmp.Diff(at(all, "new_thing"), map[string]any{"a": []any{1.0}}) != "" {
		t.Errorf("%v", all)
	}
	if at(all, "unmapped/docket/ingest/conformant") != false || at(all, "unmapped/docket/ingest/issues") == nil {
		t.Errorf("%v", at(all, "unmapped/docket"))
	}

	// 1.9 has a place of its own for attestations, and events of it had some.
	nine := strings.Replace(shell, `"version":"1.8.0"`, `"version":"1.9.0","tenant_uid":"acme"`, 1)
	nine = strings.Replace(nine, `"unmapped"`, `"attestation_list":[{"uid":"a","fingerprint":{"algorithm_id":3,"value":"x"}}],"unmapped"`, 1)
	_, h, all = sealed(t, c, nine)
	if h.Tenant != "acme" || at(all, "metadata/version") != "1.9.0" || len(all["attestation_list"].([]any)) != 1 || at(all, "unmapped/docket/ingest/original/attestation_list") == nil {
		t.Errorf("%v", all)
	}
	if _, h, _ = sealed(t, ingest.NewConverter("globex", "", now), nine); h.Tenant != "globex" {
		t.Errorf("%+v", h)
	}
}

// What fits no class is kept to the byte; what is no object is refused.
func TestWrapped(t *testing.T) {
	c := ingest.NewConverter("", "", now)
	for name, data := range map[string]string{
		"a wrong type":     `{"class_uid":4001,"type_uid":400101,"time":"now","metadata":{}}`,
		"no class":         `{"time":1790000000000}`,
		"an unknown class": `{"class_uid":999999,"type_uid":99999901,"time":1790000000000,"metadata":{"version":"1.8.0"}}`,
		"no type":          `{"class_uid":4001,"time":1790000000000,"metadata":{"version":"1.8.0","product":{"name":"x"}},"severity_id":1}`,
		"a huge number":    `{"class_uid":4001,"type_uid":400101,"time":1790000000000,"unmapped":{"n":12345678901234567890},"severity_id":1,"metadata":{"version":"1.8.0","product":{"name":"x"}}}`,
		"the far future":   `{"class_uid":4001,"type_uid":400101,"time":9223372036854775807,"severity_id":1,"metadata":{"version":"1.8.0","product":{"name":"x"}}}`,
		"nothing":          `{}`,
	} {
		f, h, all := sealed(t, c, data)
		if !f.Wrapped || f.Issues == 0 || h.ClassUID != int32(ocsf.ClassApplicationError) || all["raw_data"] != data || at(all, "unmapped/docket/ingest/wrapped") == nil {
			t.Errorf("%s: %+v, %v", name, f, all)
		}
		if timed := strings.Contains(data, "1790000000000"); timed == f.Timeless || timed && h.Time != 1_790_000_000_000 || !timed && h.Time != now().UnixMilli() {
			t.Errorf("%s: time %d", name, h.Time)
		}
	}
	for _, data := range []string{``, `1`, `"x"`, `[{}]`, `{`, `{"a":}`, `not JSON`, `{"a":1,"a":2}`, "{\"a\":\"\xff\"}"} {
		if f, err := c.Convert([]byte(data)); err == nil {
			t.Errorf("%q: %+v", data, f)
		}
	}
}

// The uid follows from what an event says and whose it is, and from nothing else.
func TestUID(t *testing.T) {
	later := ingest.NewConverter("", "", func() time.Time { return now().Add(time.Hour) })
	uid := func(c *ingest.Converter, data string) string {
		f, _, _ := sealed(t, c, data)
		return f.UID
	}
	c := ingest.NewConverter("", "", now)
	first := uid(c, shell)
	spaced := strings.ReplaceAll(shell, `,"`, ` , "`)
	moved := `{"unmapped":{"x":1.50},` + strings.TrimPrefix(strings.Replace(shell, `,"unmapped":{"x":1.5}`, "", 1), "{")
	for _, same := range []string{uid(later, shell), uid(c, spaced), uid(c, moved)} {
		if same != first {
			t.Errorf("%s, %s", same, first)
		}
	}
	if want := fmt.Sprintf("%012x", 1_790_000_000_123); strings.ReplaceAll(first[:13], "-", "") != want || first[14] != '8' {
		t.Errorf("%s", first)
	}
	if uid(later, `{}`) != uid(c, `{}`) || uid(c, `{}`) == uid(c, `{"a":1}`) {
		t.Error("an event without a time has a uid by the clock")
	}
	for _, other := range []string{uid(ingest.NewConverter("acme", "", now), shell), uid(c, strings.Replace(shell, "443", "444", 1))} {
		if other == first {
			t.Errorf("another event has the same uid")
		}
	}
}
