// SPDX-License-Identifier: Apache-2.0

package ocsf_test

import (
	"bufio"
	"fmt"
	"os"

	"github.com/docket-audit/docket/ocsf"
)

// Somebody created a sandbox through an API, and was allowed to.
func Example() {
	e := &ocsf.APIActivity{
		ActivityID: ocsf.APIActivityCreate,
		StatusID:   ocsf.StatusSuccess,
		Base: ocsf.Base{
			Time:       1793215000100,
			SeverityID: ocsf.SeverityInformational,
			Metadata:   ocsf.Metadata{UID: "0199d0aa-2000-7000-8000-000000000002", Product: &ocsf.Product{Name: "gateway"}},
			Actor:      &ocsf.Actor{User: &ocsf.User{UID: "alice", TypeID: ocsf.UserTypeUser}},
			API:        &ocsf.API{Operation: "CreateSandbox", Service: &ocsf.Service{Name: "demo.v1.Sandboxes"}},
			Duration:   new(int64(3)), // milliseconds
		},
		SrcEndpoint: &ocsf.NetworkEndpoint{IP: "192.0.2.7"},
	}
	b, err := ocsf.Encode(e)
	if err != nil {
		fmt.Println(err)
		return
	}
	report, err := ocsf.Validate(b, ocsf.DefaultVersion, ocsf.ModeServer)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(string(b[:85]))
	fmt.Println("valid:", report.Valid())
	// Output:
	// {"activity_id":1,"activity_name":"Create","actor":{"user":{"type":"User","type_id":1,
	// valid: true
}

// A file of events, one per line, is checked against the schema.
func ExampleValidator() {
	f, err := os.Open("testdata/events.ndjson")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer f.Close()
	validator, err := ocsf.NewValidator("1.8.0", ocsf.ModeServer, ocsf.ValidateOptions{})
	if err != nil {
		fmt.Println(err)
		return
	}
	lines := bufio.NewScanner(f)
	for n := 1; lines.Scan(); n++ {
		report, err := validator.Validate(lines.Bytes())
		if err != nil {
			fmt.Println("line", n, err)
			continue
		}
		fmt.Println("line", n, "valid:", report.Valid())
		for _, issue := range report.Errors {
			fmt.Println(" ", issue.Code, issue.Path)
		}
	}
	if err := lines.Err(); err != nil {
		fmt.Println(err)
	}
	// Output:
	// line 1 valid: true
	// line 2 valid: false
	//   attribute_required_missing src_endpoint
	//   attribute_wrong_type time
	// line 3 invalid JSON at byte 14: colon expected
}

// A profile adds attributes to a class. An event that uses them names it.
func Example_profile() {
	e := &ocsf.APIActivity{
		ActivityID: ocsf.APIActivityDelete,
		Base: ocsf.Base{
			Time: 1793215000100, SeverityID: ocsf.SeverityMedium,
			Metadata: ocsf.Metadata{Product: &ocsf.Product{Name: "gateway"}, Profiles: []string{"security_control"}},
			Actor:    &ocsf.Actor{AppName: "cleanup"},
			API:      &ocsf.API{Operation: "DeleteSandbox"},
			// Of the profile:
			ActionID:      ocsf.ActionDenied,
			DispositionID: ocsf.DispositionBlocked,
			IsAlert:       new(false),
		},
		SrcEndpoint: &ocsf.NetworkEndpoint{Name: "worker-3"},
	}
	for _, profiles := range [][]string{e.Metadata.Profiles, nil} {
		e.Metadata.Profiles = profiles
		b, err := ocsf.Encode(e)
		if err != nil {
			fmt.Println(err)
			return
		}
		report, err := ocsf.Validate(b, "1.8.0", ocsf.ModeServer)
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println("profiles", profiles, "valid:", report.Valid())
		for _, issue := range report.Errors {
			fmt.Println(" ", issue.Code, issue.Path)
		}
	}
	// Output:
	// profiles [security_control] valid: true
	// profiles [] valid: false
	//   attribute_unknown action
	//   attribute_unknown action_id
	//   attribute_unknown disposition
	//   attribute_unknown disposition_id
	//   attribute_unknown is_alert
}
