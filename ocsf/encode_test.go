// SPDX-License-Identifier: Apache-2.0

package ocsf_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/gowebpki/jcs"

	"github.com/docket-audit/docket/ocsf"
)

func sample() *ocsf.APIActivity {
	return &ocsf.APIActivity{
		ActivityID: ocsf.APIActivityCreate,
		StatusID:   ocsf.StatusSuccess,
		Base: ocsf.Base{
			Time: 1793215000100, SeverityID: ocsf.SeverityInformational, ActionID: ocsf.ActionModified, DispositionID: ocsf.DispositionCorrected,
			Duration: new(int64(3)),
			Metadata: ocsf.Metadata{UID: "e1", Profiles: []string{"security_control"}, Product: &ocsf.Product{Name: "docket"}, Tags: []ocsf.KeyValueObject{{Name: "phase", Value: "validate"}}},
			Policy:   &ocsf.Policy{UID: "b", IsApplied: new(true)},
			Actor:    &ocsf.Actor{User: &ocsf.User{UID: "alice", TypeID: ocsf.UserTypeUser}},
			API:      &ocsf.API{Operation: "CreateSandbox", Request: &ocsf.Request{UID: "r", Data: map[string]any{"n": 1e21, "m": 100.0, "s": math.Copysign(0, -1)}}},
			Unmapped: map[string]any{"z": 1, "a": []any{true, nil, 1.5, "é\u2028<&>"}, "\U0001F600": 1, "\uFB33": 2},
		},
		SrcEndpoint: &ocsf.NetworkEndpoint{IP: "192.0.2.7"},
	}
}

func TestEncode(t *testing.T) {
	event := sample()
	got, err := ocsf.Encode(event)
	if err != nil {
		t.Fatal(err)
	}
	// The name beyond the basic plane sorts before U+FB33: RFC 8785 orders by UTF-16.
	want := `{"action":"Modified","action_id":4,"activity_id":1,"activity_name":"Create","actor":{"user":{"type":"User","type_id":1,"uid":"alice"}},` +
		`"api":{"operation":"CreateSandbox","request":{"data":{"m":100,"n":1e+21,"s":0},"uid":"r"}},"category_name":"Application Activity","category_uid":6,` +
		`"class_name":"API Activity","class_uid":6003,"disposition":"Corrected","disposition_id":11,"duration":3,` +
		`"metadata":{"product":{"name":"docket"},"profiles":["security_control"],"tags":[{"name":"phase","value":"validate"}],"uid":"e1","version":"1.8.0"},` +
		`"policy":{"is_applied":true,"uid":"b"},"severity":"Informational","severity_id":1,"src_endpoint":{"ip":"192.0.2.7"},"status":"Success","status_id":1,` +
		`"time":1793215000100,"type_name":"API Activity: Create","type_uid":600301,` +
		`"unmapped":{"a":[true,null,1.5,"é` + "\u2028" + `<&>"],"z":1,"` + "\U0001F600" + `":1,"` + "\uFB33" + `":2}}`
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Errorf("encoded event (-want +got):\n%s", diff)
	}
	if oracle, err := jcs.Transform(got); err != nil || !bytes.Equal(oracle, got) {
		t.Errorf("not canonical (%v):\n got %s\nwant %s", err, got, oracle)
	}
	if diff := cmp.Diff(sample(), event); diff != "" {
		t.Errorf("encoding changed the event (-want +got):\n%s", diff)
	}
	prefixed, err := ocsf.Append([]byte("x"), event)
	if err != nil || string(prefixed) != "x"+string(got) {
		t.Errorf("Append to x = %s, %v", prefixed, err)
	}
}

// TestDerived checks what nobody types by hand, and what stays as it was typed.
func TestDerived(t *testing.T) {
	for _, c := range []struct {
		name  string
		event ocsf.Event
		want  string
	}{
		{"zero", &ocsf.BaseEvent{}, `{"activity_id":0,"activity_name":"Unknown","category_name":"Uncategorized","category_uid":0,"class_name":"Base Event","class_uid":0,"metadata":{"version":"1.8.0"},"severity":"Unknown","severity_id":0,"time":0,"type_name":"Base Event: Unknown","type_uid":0}`},
		{
			"status of a finding", &ocsf.DetectionFinding{ActivityID: ocsf.DetectionFindingUpdate, StatusID: 1},
			`{"activity_id":2,"activity_name":"Update","category_name":"Findings","category_uid":2,"class_name":"Detection Finding","class_uid":2004,"metadata":{"version":"1.8.0"},"severity":"Unknown","severity_id":0,"status":"New","status_id":1,"time":0,"type_name":"Detection Finding: Update","type_uid":200402}`,
		},
		{
			"the source's own words", &ocsf.APIActivity{ActivityID: ocsf.APIActivityOther, StatusID: ocsf.StatusOther, Base: ocsf.Base{ActivityName: "Heartbeat", Status: "so-so", Severity: "meh", SeverityID: 1, ActionID: 99, ClassUID: 1, TypeUID: 2}},
			`{"action_id":99,"activity_id":99,"activity_name":"Heartbeat","category_name":"Application Activity","category_uid":6,"class_name":"API Activity","class_uid":6003,"metadata":{"version":"1.8.0"},"severity":"meh","severity_id":1,"status":"so-so","status_id":99,"time":0,"type_name":"API Activity: Other","type_uid":600399}`,
		},
		{
			"a list and its captions", &ocsf.DNSActivity{ActivityID: ocsf.DNSActivityQuery, RCodeID: 16, Answers: []ocsf.DNSAnswer{{RData: "x", FlagIDs: []ocsf.FlagID{1, 99, 7}}}},
			`{"activity_id":1,"activity_name":"Query","answers":[{"flag_ids":[1,99,7],"flags":["Authoritative Answer","Other","7"],"rdata":"x"}],"category_name":"Network Activity","category_uid":4,"class_name":"DNS Activity","class_uid":4003,"metadata":{"version":"1.8.0"},"rcode":"BADSIG_VERS","rcode_id":16,"severity":"Unknown","severity_id":0,"time":0,"type_name":"DNS Activity: Query","type_uid":400301}`,
		},
		{
			"a caption of 1.9.0", &ocsf.DNSActivity{ActivityID: ocsf.DNSActivityQuery, RCodeID: 16, Base: ocsf.Base{Metadata: ocsf.Metadata{Version: "1.9.0"}}},
			`{"activity_id":1,"activity_name":"Query","category_name":"Network Activity","category_uid":4,"class_name":"DNS Activity","class_uid":4003,"metadata":{"version":"1.9.0"},"rcode":"BADVERS","rcode_id":16,"severity":"Unknown","severity_id":0,"time":0,"type_name":"DNS Activity: Query","type_uid":400301}`,
		},
		{
			"verbatim", &ocsf.APIActivity{StatusID: 1, Base: ocsf.Base{Verbatim: true, ClassUID: 6003, SeverityID: 2, AttestationList: []ocsf.Attestation{{UID: "a"}}}},
			`{"attestation_list":[{"uid":"a"}],"class_uid":6003,"severity_id":2,"status_id":1}`,
		},
		{
			"extra members, one with a field", &ocsf.APIActivity{Base: ocsf.Base{Verbatim: true, Message: "m", Extra: ocsf.Extra{
				{Name: "zz", Value: ocsf.Raw(`{"b":1,"a":2.0}`)}, {Name: "message", Value: ocsf.Raw(`"x"`)}, {Name: "count", Value: ocsf.Raw(`null`)}, {Name: "é", Value: ocsf.Raw(`1`)}, {Name: "count", Value: ocsf.Raw(`0`)}, {Name: "a"},
			}}},
			`{"a":null,"count":0,"message":"m","zz":{"a":2,"b":1},"é":1}`,
		},
	} {
		got, err := ocsf.Encode(c.event)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if diff := cmp.Diff(c.want, string(got)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, diff)
		}
	}
}

// TestEdit reads an event, changes it, and writes it in another version.
func TestEdit(t *testing.T) {
	before := sample()
	before.Status, before.StatusID = "so-so", ocsf.StatusOther
	before.Metadata.Loggers = []ocsf.Logger{{UID: "l"}}
	b, err := ocsf.Encode(before)
	if err != nil {
		t.Fatal(err)
	}
	e, err := ocsf.Decode(b)
	if err != nil {
		t.Fatal(err)
	}
	ocsf.Edit(e)
	a, ok := e.(*ocsf.APIActivity)
	if !ok {
		t.Fatalf("it is a %T", e)
	}
	a.ActivityID, a.SeverityID, a.Metadata.Version = ocsf.APIActivityDelete, ocsf.SeverityHigh, "1.9.0"
	a.Actor.User.TypeID = ocsf.UserTypeAdmin
	a.AttestationList = []ocsf.Attestation{{UID: "a"}}
	got, err := ocsf.Encode(a)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		`"activity_id":4,"activity_name":"Delete"`, `"severity":"High","severity_id":4`, `"type":"Admin","type_id":2`, `"status":"so-so","status_id":99`,
		`"type_name":"API Activity: Delete","type_uid":600304`, `"attestation_list":[{"uid":"a"}]`, `"version":"1.9.0"`, `"action":"Modified"`,
	} {
		if !strings.Contains(string(got), want) {
			t.Errorf("no %s in\n%s", want, got)
		}
	}
}

// TestEditKeepsZeros: a zero that was there stays there with its caption, until
// the field gets a value.
func TestEditKeepsZeros(t *testing.T) {
	in := `{"activity_id":1,"activity_name":"Create","category_name":"Application Activity","category_uid":6,"class_name":"API Activity","class_uid":6003,` +
		`"confidence":"Unknown","confidence_id":0,"metadata":{"version":"1.8.0"},"risk_level":"Info","risk_level_id":0,"severity":"Unknown","severity_id":0,` +
		`"status":"Unknown","status_id":0,"time":0,"type_name":"API Activity: Create","type_uid":600301}`
	e, err := ocsf.Decode([]byte(in))
	if err != nil {
		t.Fatal(err)
	}
	ocsf.Edit(e)
	if got, err := ocsf.Encode(e); err != nil || string(got) != in {
		t.Errorf("%v\n got %s\nwant %s", err, got, in)
	}
	e.Common().RiskLevelID = ocsf.RiskLevelHigh
	if got, err := ocsf.Encode(e); err != nil || !strings.Contains(string(got), `"risk_level":"High","risk_level_id":3`) {
		t.Errorf("%s, %v", got, err)
	}
}

// TestNumbers checks the two exceptions from RFC 8785, and that AppendCanonical
// makes none.
func TestNumbers(t *testing.T) {
	event := func(lat float64, seconds int64) ocsf.Event {
		return &ocsf.APIActivity{Base: ocsf.Base{Verbatim: true, Time: seconds}, SrcEndpoint: &ocsf.NetworkEndpoint{Location: &ocsf.Location{Lat: &lat}}}
	}
	for _, c := range []struct {
		lat             float64
		time            int64
		wire, canonical string
	}{
		{5, 1, `{"src_endpoint":{"location":{"lat":5.0}},"time":1}`, `{"src_endpoint":{"location":{"lat":5}},"time":1}`},
		{-0.25, 12345, `{"src_endpoint":{"location":{"lat":-0.25}},"time":12345}`, `{"src_endpoint":{"location":{"lat":-0.25}},"time":12345}`},
		{1e21, 9, `{"src_endpoint":{"location":{"lat":1e+21}},"time":9}`, `{"src_endpoint":{"location":{"lat":1e+21}},"time":9}`},
		{0, -1 << 63, `{"src_endpoint":{"location":{"lat":0.0}},"time":-9223372036854775808}`, ""},
		{0, 1<<53 + 1, `{"src_endpoint":{"location":{"lat":0.0}},"time":9007199254740993}`, ""},
	} {
		e := event(c.lat, c.time)
		if got, err := ocsf.Append(nil, e); err != nil || string(got) != c.wire {
			t.Errorf("Append: %s, %v; want %s", got, err, c.wire)
		}
		got, err := ocsf.AppendCanonical(nil, e)
		if string(got) != c.canonical {
			t.Errorf("AppendCanonical: %s, %v; want %s", got, err, c.canonical)
		}
		var inexact *ocsf.InexactError
		if c.canonical == "" && !errors.As(err, &inexact) {
			t.Errorf("AppendCanonical: %v, want an InexactError", err)
		}
	}
}

func TestEncodeRefuses(t *testing.T) {
	deep := any("x")
	for range ocsf.MaxDepth + 1 {
		deep = []any{deep}
	}
	ring := map[string]any{}
	ring["again"] = ring
	parent := &ocsf.Process{}
	parent.ParentProcess = parent
	long := &ocsf.Process{}
	for range ocsf.MaxDepth + 1 {
		long = &ocsf.Process{ParentProcess: long}
	}
	lineage := &ocsf.Process{Lineage: []string{"init"}}
	for range ocsf.MaxDepth - 2 { // with the event and the process itself there is no room for the list
		lineage = &ocsf.Process{ParentProcess: lineage}
	}
	var (
		inexact *ocsf.InexactError
		version *ocsf.VersionError
		unknown *ocsf.UnknownVersionError
		syntax  *ocsf.SyntaxError
	)
	unmapped := func(v any) ocsf.Event {
		e := sample()
		e.Unmapped = map[string]any{"v": v}
		return e
	}
	for _, c := range []struct {
		name  string
		event ocsf.Event
		path  string
		is    error
		as    any
	}{
		{"invalid UTF-8", unmapped("\xff"), "unmapped", ocsf.ErrUTF8, nil},
		{"invalid UTF-8 in a name", unmapped(map[string]any{"\xff": 1}), "unmapped", ocsf.ErrUTF8, nil},
		{"invalid UTF-8 in an attribute", &ocsf.APIActivity{Base: ocsf.Base{Metadata: ocsf.Metadata{Loggers: []ocsf.Logger{{}, {UID: "a\xc3"}}}}}, "metadata.loggers[1].uid", ocsf.ErrUTF8, nil},
		{"NaN", unmapped(math.NaN()), "unmapped", ocsf.ErrNotFinite, nil},
		{"infinity", &ocsf.APIActivity{SrcEndpoint: &ocsf.NetworkEndpoint{Location: &ocsf.Location{Lat: new(math.Inf(1))}}}, "src_endpoint.location.lat", ocsf.ErrNotFinite, nil},
		{"depth", unmapped(deep), "unmapped", ocsf.ErrDepth, nil},
		{"a value within itself", unmapped(ring), "unmapped", ocsf.ErrDepth, nil},
		{"a process that is its own parent", &ocsf.ProcessActivity{Process: parent}, "process", ocsf.ErrDepth, nil},
		{"a list that is too deep", &ocsf.ProcessActivity{Process: lineage}, "process", ocsf.ErrDepth, nil},
		{"too many parents", &ocsf.ProcessActivity{Process: long}, "process", ocsf.ErrDepth, nil},
		{"a float32", unmapped(float32(math.Inf(1))), "unmapped", ocsf.ErrNotFinite, nil},
		{"cut off JSON", unmapped(json.RawMessage(`{"a":`)), "unmapped", nil, &syntax},
		{"2^53+1", unmapped(int64(1)<<53 + 1), "unmapped", nil, &inexact},
		{"max uint64", unmapped(uint64(math.MaxUint64)), "unmapped", nil, &inexact},
		{"deep down", unmapped(map[string]any{"a": []any{map[string]any{"b": int64(math.MinInt64 + 1)}}}), "unmapped", nil, &inexact},
		{"a raw 2^60", unmapped(ocsf.Raw(`{"a":1152921504606846976}`)), "unmapped", nil, &inexact},
		{"a json.Number", unmapped(json.Number("9007199254740993")), "unmapped", nil, &inexact},
		{"no number", unmapped(json.Number("one")), "unmapped", nil, &syntax},
		{"duplicate name", unmapped(json.RawMessage(`{"a":1,"a":2}`)), "unmapped", nil, nil},
		{"duplicate name, raw", unmapped(ocsf.Raw(`{"a":1,"a":2}`)), "unmapped", nil, &syntax},
		{"a raw bomb", unmapped(ocsf.Raw(bytes.Repeat([]byte("["), 1<<20))), "unmapped", ocsf.ErrDepth, nil},
		{"a channel", unmapped(make(chan int)), "unmapped", nil, nil},
		{"an attribute of 1.9.0", &ocsf.APIActivity{Base: ocsf.Base{AttestationList: []ocsf.Attestation{{}}}}, "attestation_list", nil, &version},
		{"an attribute of an object", &ocsf.APIActivity{Base: ocsf.Base{Metadata: ocsf.Metadata{Version: "1.6.0", LogFormat: "x"}}}, "metadata.log_format", nil, &version},
		{"a class of 1.9.0", &ocsf.UserManagement{}, "class_uid", nil, &version},
		{"no event", nil, "", nil, nil},
		{"a version that is none", &ocsf.APIActivity{Base: ocsf.Base{Metadata: ocsf.Metadata{Version: "1.9.0-dev"}}}, "", nil, &unknown},
	} {
		b, err := ocsf.Append([]byte("before"), c.event)
		if err == nil || string(b) != "before" {
			t.Errorf("%s: encoded as %s, %v", c.name, b, err)
			continue
		}
		var encode *ocsf.EncodeError
		if len(err.Error()) > 1<<10 {
			t.Errorf("%s: an error of %d bytes", c.name, len(err.Error()))
		}
		if !errors.As(err, &encode) || !strings.HasPrefix(encode.Path, c.path) {
			t.Errorf("%s: %v; want an EncodeError at %q", c.name, err, c.path)
		}
		if c.is != nil && !errors.Is(err, c.is) {
			t.Errorf("%s: %v, want %v", c.name, err, c.is)
		}
		if c.as != nil && !errors.As(err, c.as) {
			t.Errorf("%s: %v (%T), want %T", c.name, err, encode.Err, c.as)
		}
	}
}

func TestAppendAllocatesNothing(t *testing.T) {
	e := typical(t)
	buf := make([]byte, 0, 8<<10)
	if n := testing.AllocsPerRun(100, func() {
		if _, err := ocsf.Append(buf, e); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestTypicalSize(t *testing.T) {
	b, err := ocsf.Encode(typical(t))
	if err != nil || len(b) < 1550 || len(b) > 1700 {
		t.Errorf("%d bytes, %v: not the 1.6 KB that the figures are about\n%s", len(b), err, b)
	}
}
