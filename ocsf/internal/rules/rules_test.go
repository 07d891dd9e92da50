// SPDX-License-Identifier: Apache-2.0

package rules

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/docket-audit/docket/ocsf/schema"
)

// base is a valid event without warnings. It is of a class that has most kinds
// of attributes; tables below edit it.
const base = `{
	"activity_id": 1, "activity_name": "Create", "category_uid": 6, "class_uid": 6003, "type_uid": 600301,
	"severity_id": 1, "time": 1700000000000, "status_id": 1, "status": "Success",
	"actor": {"user": {"name": "alice"}},
	"api": {"operation": "Get", "request": {"uid": "r1", "data": {"a": {"b": 1}}}, "service": {"name": "s"}},
	"src_endpoint": {"ip": "192.0.2.1", "port": 443},
	"resources": [{"uid": "x", "name": "n"}, {"uid": "y"}],
	"metadata": {"version": "1.8.0", "uid": "e1", "labels": ["a"], "product": {"name": "p"}, "profiles": ["datetime"]},
	"unmapped": {"anything": {"goes": [null, {}]}}
}`

// edit returns base with changes: pairs of a dotted path and the JSON that goes
// there, in place of what was there; nothing takes it away.
func edit(t testing.TB, pairs ...string) []byte {
	t.Helper()
	var event map[string]any
	dec := json.NewDecoder(strings.NewReader(base))
	dec.UseNumber()
	if err := dec.Decode(&event); err != nil {
		t.Fatal(err)
	}
	for pair := range slices.Chunk(pairs, 2) {
		path, name := event, pair[0]
		for {
			head, rest, more := strings.Cut(name, ".")
			if !more {
				break
			}
			path, name = path[head].(map[string]any), rest
		}
		if pair[1] == "" {
			delete(path, name)
		} else {
			path[name] = json.RawMessage(pair[1])
		}
	}
	text, err := json.Marshal(event)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func compiled(t testing.TB, version string) *Tables {
	t.Helper()
	s, err := schema.Load(version)
	if err != nil {
		t.Fatal(err)
	}
	tables, err := Compile(s)
	if err != nil {
		t.Fatal(err)
	}
	return tables
}

// facts are what a report says, without its words and in no order that matters.
func facts(r Report) []string {
	list := []string{}
	for _, f := range r.Errors {
		list = append(list, strings.TrimSpace("E "+f.Code+" "+f.Path))
	}
	for _, f := range r.Warnings {
		list = append(list, strings.TrimSpace("W "+f.Code+" "+f.Path))
	}
	slices.Sort(list)
	return list
}

type ruleTest struct {
	name   string
	edits  []string
	server []string
	strict []string // nil: as server
}

func runRules(t *testing.T, tests []ruleTest) {
	t.Helper()
	tables := compiled(t, "1.8.0")
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			want := tt.server
			for _, strict := range []bool{false, true} {
				if strict && tt.strict != nil {
					want = tt.strict
				}
				r, err := tables.Event(edit(t, tt.edits...), Options{Strict: strict})
				if err != nil {
					t.Fatal(err)
				}
				want := append([]string{}, want...)
				slices.Sort(want)
				if diff := cmp.Diff(want, facts(r)); diff != "" {
					t.Errorf("strict: %v (-want +got):\n%s", strict, diff)
				}
			}
		})
	}
}

func TestStructure(t *testing.T) {
	runRules(t, []ruleTest{
		{name: "valid"},
		{
			name:   "required is missing",
			edits:  []string{"time", "", "api.operation", "null", "api.request.uid", ""},
			server: []string{"E attribute_required_missing api.operation", "E attribute_required_missing api.request.uid", "E attribute_required_missing time"},
		},
		{
			name:   "unknown",
			edits:  []string{"Severity_id", "1", "api.", "null", "resources", `[{"uid":"x","a\"b":1}]`},
			server: []string{"E attribute_unknown Severity_id", "E attribute_unknown api.", `E attribute_unknown resources[0].a"b`},
		},
		{
			name:   "of a profile that is not named",
			edits:  []string{"action_id", "1", "time_dt", `"2024-01-01T00:00:00Z"`, "metadata.profiles", "null"},
			server: []string{"E attribute_unknown action_id", "E attribute_unknown time_dt"},
		},
		{
			name:   "of a profile that is not in a list",
			edits:  []string{"action_id", "1", "metadata.profiles", `"security_control"`},
			server: []string{"E attribute_unknown action_id", "E attribute_wrong_type metadata.profiles"},
		},
		{
			name:  "of profiles that are named",
			edits: []string{"action_id", "1", "time_dt", `"2024-01-01T00:00:00Z"`, "metadata.profiles", `["security_control","datetime"]`},
		},
		{
			name:   "required by a profile",
			edits:  []string{"metadata.profiles", `["cloud","osint"]`},
			server: []string{"E attribute_required_missing cloud", "E attribute_required_missing osint"},
		},
		{
			name:   "profiles",
			edits:  []string{"metadata.profiles", `["linux_users","linux/linux_users","Cloud",7,null,""]`},
			server: []string{"E profile_unknown metadata.profiles[0]", "E profile_unknown metadata.profiles[2]", "E attribute_wrong_type metadata.profiles[3]", "E attribute_wrong_type metadata.profiles[4]", "E profile_unknown metadata.profiles[5]"},
		},
		{
			name:   "metadata is no object",
			edits:  []string{"metadata", `["1.8.0"]`},
			server: []string{"E attribute_wrong_type metadata"},
		},
		{
			name:   "objects and arrays of them",
			edits:  []string{"api", `[{}]`, "resources", `{"uid":"x"}`, "unmapped", `"x"`, "actor", `{"user":[],"process":{"pid":1}}`},
			server: []string{"E attribute_wrong_type actor.user", "E attribute_wrong_type api", "E attribute_wrong_type resources", "E attribute_wrong_type unmapped"},
		},
		{
			name:   "elements",
			edits:  []string{"resources", `[null,1,[],{"uid":"x"}]`, "metadata.labels", `[null,1,"a",["b"]]`, "metadata.tags", `[]`},
			server: []string{"E attribute_wrong_type metadata.labels[0]", "E attribute_wrong_type metadata.labels[1]", "E attribute_wrong_type metadata.labels[3]", "E attribute_wrong_type resources[0]", "E attribute_wrong_type resources[1]", "E attribute_wrong_type resources[2]"},
		},
		{
			name:   "deprecated",
			edits:  []string{"class_uid", "2001", "type_uid", "200101", "category_uid", "2", "api", "", "actor", "", "src_endpoint", "", "finding", `{"title":"t","uid":"u"}`, "state_id", "1"},
			server: []string{"W class_deprecated", "W object_deprecated finding"},
		},
		{
			name:   "deprecated attribute, null is none",
			edits:  []string{"class_uid", "4011", "type_uid", "401101", "category_uid", "4", "activity_name", "", "api", "", "actor", "", "src_endpoint", "", "resources", "", "file", `{"name":"f","type_id":1}`, "email_uid", `"u"`, "raw_data_hash", "null"},
			server: []string{"W class_deprecated", "W attribute_deprecated email_uid"},
		},
	})
}

func TestTypes(t *testing.T) {
	const (
		big63  = "9223372036854775808"
		big127 = "170141183460469231731687303715884105728"
	)
	runRules(t, []ruleTest{
		{
			name:   "strings",
			edits:  []string{"message", "1", "api.operation", "true", "api.version", "null", "status_detail", `{}`},
			server: []string{"E attribute_wrong_type api.operation", "E attribute_wrong_type message", "E attribute_wrong_type status_detail"},
		},
		{
			name:   "booleans",
			edits:  []string{"is_alert", `"true"`, "metadata.is_truncated", "false"},
			server: []string{"E attribute_unknown is_alert"},
		},
		{
			name:   "booleans of a profile",
			edits:  []string{"is_alert", "0", "metadata.is_truncated", `"false"`, "metadata.profiles", `["security_control"]`},
			server: []string{"E attribute_wrong_type is_alert", "E attribute_wrong_type metadata.is_truncated"},
		},
		{name: "64 bits", edits: []string{"count", "9223372036854775807", "metadata.sequence", "-9223372036854775808", "time", "-0"}},
		{
			name:   "beyond 64 bits",
			edits:  []string{"count", big63, "metadata.sequence", "-9223372036854775809"},
			server: []string{"E attribute_wrong_type count", "E attribute_wrong_type metadata.sequence"},
		},
		{
			name:   "long_t of 128 bits",
			edits:  []string{"time", big63, "duration", "-" + big127},
			server: nil,
			strict: []string{"E attribute_wrong_type duration", "E attribute_wrong_type time"},
		},
		{
			name:   "beyond 128 bits",
			edits:  []string{"time", big127, "duration", "-" + big127 + "0"},
			server: []string{"E attribute_wrong_type duration", "E attribute_wrong_type time"},
		},
		{
			name:   "integral decimals",
			edits:  []string{"time", "1.7e12", "count", "1.0", "severity_id", "10E-1", "duration", "-0.0", "class_uid", "6003.0"},
			server: []string{"E attribute_wrong_type class_uid"},
			strict: []string{},
		},
		{
			name:   "integral decimals of a class that is known",
			edits:  []string{"time", "1.7e12", "count", "1.0", "severity_id", "10E-1", "duration", "-0.0", "type_uid", "6003.02e2"},
			server: []string{"E attribute_wrong_type count", "E attribute_wrong_type duration", "E attribute_enum_value_unknown severity_id", "E attribute_wrong_type severity_id", "E attribute_wrong_type time", "E attribute_enum_value_unknown type_uid", "E attribute_wrong_type type_uid"},
			strict: []string{"E type_uid_incorrect type_uid"},
		},
		{
			name:   "other decimals",
			edits:  []string{"time", "1.5", "count", "1e-1", "duration", "1e200"},
			server: []string{"E attribute_wrong_type count", "E attribute_wrong_type duration", "E attribute_wrong_type time"},
		},
		{
			name:   "float_t has a fraction or an exponent",
			edits:  []string{"src_endpoint.location", `{"city":"c","lat":5,"long":5.0,"coordinates":[1e1,1]}`},
			server: []string{"W attribute_deprecated src_endpoint.location.coordinates", "E attribute_wrong_type src_endpoint.location.coordinates[1]", "E attribute_wrong_type src_endpoint.location.lat"},
		},
		{name: "json_t is anything", edits: []string{"api.request.data", "5", "api.response", `{"data":[null,{"":1}]}`}},
		{
			name:   "range",
			edits:  []string{"src_endpoint.port", "65536", "dst_endpoint", `{"ip":"::1","port":-1}`},
			server: []string{"E attribute_value_exceeds_range dst_endpoint.port", "E attribute_value_exceeds_range src_endpoint.port"},
		},
		{name: "ends of the range", edits: []string{"src_endpoint.port", "0", "dst_endpoint", `{"ip":"::1","port":65535}`}},
		{
			name:   "length",
			edits:  []string{"src_endpoint.subnet_uid", `"x"`, "dst_endpoint", `{"ip":"::1","mac":"` + strings.Repeat("0", 33) + `"}`},
			server: []string{"E attribute_value_exceeds_max_len dst_endpoint.mac", "W attribute_value_regex_not_matched dst_endpoint.mac"},
		},
		{
			// A letter with an accent of its own is two code points, but one cluster.
			name:   "length in clusters",
			edits:  []string{"dst_endpoint", `{"ip":"::1","mac":"` + strings.Repeat("e\u0301", 32) + `"}`},
			server: []string{"W attribute_value_regex_not_matched dst_endpoint.mac"},
			strict: []string{"E attribute_value_exceeds_max_len dst_endpoint.mac", "W attribute_value_regex_not_matched dst_endpoint.mac"},
		},
		{
			name:   "patterns",
			edits:  []string{"time_dt", `"2024-01-01 00:00:00"`, "src_endpoint.ip", `"localhost"`, "actor.user.email_addr", `"alice"`, "actor.user.name", `""`},
			server: []string{"W attribute_value_regex_not_matched actor.user.email_addr", "W attribute_value_regex_not_matched src_endpoint.ip", "W attribute_value_regex_not_matched time_dt"},
		},
		{name: "a final line feed", edits: []string{"time_dt", `"2024-01-01T00:00:00Z\n"`, "src_endpoint.ip", `" 192.0.2.1\u000b\n"`}},
	})
}

func TestEnums(t *testing.T) {
	dns := []string{
		"class_uid", "4003", "type_uid", "400301", "category_uid", "4", "activity_name", `"Query"`, "api", "", "actor", "", "resources", "",
		"query", `{"hostname":"h"}`,
	}
	answer := func(text string) []string { return append(slices.Clone(dns), "answers", `[`+text+`]`) }
	runRules(t, []ruleTest{
		{
			name:   "unknown",
			edits:  []string{"severity_id", "7", "status_id", "-1", "http_request", `{"http_method":"get"}`},
			server: []string{"E attribute_enum_value_unknown http_request.http_method", "E attribute_enum_value_unknown severity_id", "E attribute_enum_value_unknown status_id"},
		},
		{
			name:   "null",
			edits:  []string{"severity_id", "null", "status_id", "null"},
			server: []string{"E attribute_enum_value_unknown severity_id", "E attribute_required_missing severity_id", "E attribute_enum_value_unknown status_id"},
			strict: []string{"E attribute_required_missing severity_id"},
		},
		{
			name:   "by its text",
			edits:  []string{"severity_id", `"1"`, "status_id", `"01"`, "type_uid", `"600301"`},
			server: []string{"E attribute_wrong_type severity_id", "E attribute_enum_value_unknown status_id", "E attribute_wrong_type status_id", "E attribute_wrong_type type_uid"},
		},
		{
			name:   "booleans",
			edits:  []string{"severity_id", "true"},
			server: []string{"E attribute_enum_value_unknown severity_id", "E attribute_wrong_type severity_id"},
		},
		{
			name:   "objects and arrays, on which the server fails",
			edits:  []string{"severity_id", "{}", "status_id", "[1.0]", "activity_id", "[null]", "activity_name", "", "type_uid", "[-1]"},
			server: []string{"E attribute_wrong_type activity_id", "E attribute_wrong_type severity_id", "E attribute_wrong_type status_id", "E attribute_wrong_type type_uid"},
		},
		{
			// 55296 is a surrogate, and 1114112 beyond Unicode.
			name:   "other arrays on which the server fails",
			edits:  []string{"severity_id", "[55296]", "status_id", "[1114112]", "activity_id", `["1",true]`, "activity_name", "", "type_uid", "[[{}]]"},
			server: []string{"E attribute_wrong_type activity_id", "E attribute_wrong_type severity_id", "E attribute_wrong_type status_id", "E attribute_wrong_type type_uid"},
		},
		{
			// 49 is the character 1, and 57 is 9.
			name:   "arrays that are the text of a value",
			edits:  []string{"severity_id", `["1"]`, "status_id", "[49]", "activity_id", `[[[]],"",["1"]]`, "activity_name", `"create"`, "type_uid", `["6003",[48,"1"]]`},
			server: []string{"W attribute_enum_sibling_incorrect activity_name", "E attribute_wrong_type activity_id", "E attribute_wrong_type severity_id", "E attribute_wrong_type status_id", "E attribute_wrong_type type_uid"},
			strict: []string{"E attribute_wrong_type activity_id", "E attribute_wrong_type severity_id", "E attribute_wrong_type status_id", "E attribute_wrong_type type_uid"},
		},
		{
			name:   "the array of the text 99 is an ordinary value",
			edits:  []string{"status_id", `[57,"9"]`, "status", `"Odd"`},
			server: []string{"W attribute_enum_sibling_incorrect status", "E attribute_wrong_type status_id"},
			strict: []string{"E attribute_wrong_type status_id"},
		},
		{
			name:   "arrays that are another text",
			edits:  []string{"severity_id", `[]`, "status_id", "[1]", "activity_id", `["Create"]`, "activity_name", ""},
			server: []string{"E attribute_enum_value_unknown activity_id", "E attribute_wrong_type activity_id", "E attribute_enum_value_unknown severity_id", "E attribute_wrong_type severity_id", "E attribute_enum_value_unknown status_id", "E attribute_wrong_type status_id"},
			strict: []string{"E attribute_wrong_type activity_id", "E attribute_wrong_type severity_id", "E attribute_wrong_type status_id"},
		},
		{name: "minus zero", edits: []string{"severity_id", "-0"}},
		{
			name:   "caption",
			edits:  []string{"status", `"success"`, "severity", "null", "activity_name", "5", "type_name", `"API Activity: Create"`, "class_name", `"API activity"`},
			server: []string{"E attribute_wrong_type activity_name", "W attribute_enum_sibling_incorrect activity_name", "W attribute_enum_sibling_incorrect class_name", "W attribute_enum_sibling_incorrect severity", "W attribute_enum_sibling_incorrect status"},
		},
		{name: "caption of another word", edits: []string{"status_id", "99", "status", `"Odd"`}},
		{name: "caption of another word is null", edits: []string{"status_id", "99", "status", `null`}},
		{
			name:   "caption of other",
			edits:  []string{"status_id", "99", "status", `"Other"`},
			server: []string{"W attribute_enum_sibling_suspicious_other status"},
		},
		{
			name:   "the text 99 is an ordinary value",
			edits:  []string{"status_id", `"99"`, "status", `"Odd"`},
			server: []string{"W attribute_enum_sibling_incorrect status", "E attribute_wrong_type status_id"},
		},
		{
			name:   "deprecated",
			edits:  []string{"actor.user.account", `{"type_id":3,"name":"a","type":"AWS IAM User"}`},
			server: []string{"W attribute_enum_value_deprecated actor.user.account.type_id"},
		},
		{
			name:   "arrays",
			edits:  answer(`{"rdata":"r","flag_ids":[1,77,"2",true,99,null,3.0],"flags":["Authoritative Answer"]},{"rdata":"r","flag_ids":[1,2,99,4],"flags":["authoritative answer",null,"x"]}`),
			server: []string{"E attribute_enum_array_value_unknown answers[0].flag_ids[1]", "E attribute_wrong_type answers[0].flag_ids[2]", "E attribute_enum_array_value_unknown answers[0].flag_ids[3]", "E attribute_wrong_type answers[0].flag_ids[3]", "E attribute_enum_array_value_unknown answers[0].flag_ids[5]", "E attribute_wrong_type answers[0].flag_ids[5]", "E attribute_enum_array_value_unknown answers[0].flag_ids[6]", "E attribute_wrong_type answers[0].flag_ids[6]", "E attribute_enum_array_sibling_missing answers[0].flags[2]", "E attribute_enum_array_sibling_incorrect answers[1].flags[0]", "E attribute_enum_array_sibling_missing answers[1].flags[1]", "E attribute_wrong_type answers[1].flags[1]", "E attribute_enum_array_sibling_missing answers[1].flags[3]"},
			strict: []string{"E attribute_enum_array_value_unknown answers[0].flag_ids[1]", "E attribute_wrong_type answers[0].flag_ids[2]", "E attribute_enum_array_value_unknown answers[0].flag_ids[3]", "E attribute_wrong_type answers[0].flag_ids[3]", "E attribute_enum_array_value_unknown answers[0].flag_ids[5]", "E attribute_wrong_type answers[0].flag_ids[5]", "E attribute_enum_array_sibling_missing answers[0].flags[2]", "E attribute_enum_array_sibling_missing answers[0].flags[6]", "E attribute_enum_array_sibling_incorrect answers[1].flags[0]", "E attribute_enum_array_sibling_missing answers[1].flags[1]", "E attribute_wrong_type answers[1].flags[1]", "E attribute_enum_array_sibling_missing answers[1].flags[3]"},
		},
		{
			name:   "elements on which the server fails",
			edits:  answer(`{"rdata":"r","flag_ids":[{},[1.5],1],"flags":[null,null,"Authoritative Answer"]}`),
			server: []string{"E attribute_wrong_type answers[0].flag_ids[0]", "E attribute_wrong_type answers[0].flag_ids[1]", "E attribute_wrong_type answers[0].flags[0]", "E attribute_wrong_type answers[0].flags[1]"},
		},
		{
			name:   "elements that are arrays",
			edits:  answer(`{"rdata":"r","flag_ids":[[49],["99"],[1]],"flags":["Authoritative Answer","Odd"]}`),
			server: []string{"E attribute_enum_array_value_unknown answers[0].flag_ids[2]", "E attribute_wrong_type answers[0].flag_ids[0]", "E attribute_wrong_type answers[0].flag_ids[1]", "E attribute_wrong_type answers[0].flag_ids[2]", "E attribute_enum_array_sibling_incorrect answers[0].flags[1]"},
			strict: []string{"E attribute_wrong_type answers[0].flag_ids[0]", "E attribute_wrong_type answers[0].flag_ids[1]", "E attribute_wrong_type answers[0].flag_ids[2]"},
		},
		{
			name:   "an object of captions has so many elements as names, none of them a caption",
			edits:  answer(`{"rdata":"r","flag_ids":[1,99,2,3],"flags":{"a":"Authoritative Answer","b":null,"a":null,"c":1}}`),
			server: []string{"E attribute_enum_array_sibling_incorrect answers[0].flags[0]", "E attribute_enum_array_sibling_incorrect answers[0].flags[2]", "E attribute_enum_array_sibling_missing answers[0].flags[3]", "E attribute_wrong_type answers[0].flags"},
			strict: []string{"E attribute_wrong_type answers[0].flags"},
		},
		{
			name:   "captions that no value needs",
			edits:  answer(`{"rdata":"r","flag_ids":[99],"flags":null},{"rdata":"r","flag_ids":[77],"flags":null},{"rdata":"r","flag_ids":[],"flags":null}`),
			server: []string{"E attribute_enum_array_value_unknown answers[1].flag_ids[0]"},
		},
		{
			name:   "no arrays, on which the server fails",
			edits:  answer(`{"rdata":"r","flag_ids":1,"flags":["x"]},{"rdata":"r","flag_ids":[1],"flags":"x"},{"rdata":"r","flag_ids":{},"flags":{}}`),
			server: []string{"E attribute_wrong_type answers[0].flag_ids", "E attribute_wrong_type answers[1].flags", "E attribute_wrong_type answers[2].flag_ids", "E attribute_wrong_type answers[2].flags"},
		},
		{
			name:   "null arrays, on which the server fails",
			edits:  answer(`{"rdata":"r","flag_ids":null,"flags":["x"]},{"rdata":"r","flag_ids":[1],"flags":null}`),
			server: []string{"E attribute_wrong_type answers[0].flag_ids", "E attribute_wrong_type answers[1].flags"},
			strict: []string{},
		},
	})
}
