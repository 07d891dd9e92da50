// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/docket-audit/docket/cmd/internal/cli"
	"github.com/docket-audit/docket/ocsf"
	"github.com/docket-audit/docket/ocsf/schema"
)

// An eventJudge validates events, each by the schema version that applies to it. Many
// may ask one at once.
type eventJudge struct {
	version    string
	validators map[string]func() (*ocsf.Validator, error) // by version, made when first asked for
}

func newJudge(o *validateOptions) (*eventJudge, error) {
	j := &eventJudge{version: o.schema, validators: map[string]func() (*ocsf.Validator, error){}}
	for _, v := range schema.Versions() {
		j.validators[v] = sync.OnceValues(func() (*ocsf.Validator, error) {
			return ocsf.NewValidator(v, ocsf.Mode(o.mode), o.ocsf)
		})
	}
	if o.schema == schemaAuto {
		return j, nil
	}
	_, err := j.validators[o.schema]()
	return j, err
}

// A judgement is what came of one event: a report by one version of the schema,
// or an error when there can be none.
type judgement struct {
	file    string
	index   int64 // -1 when it is about no event
	line    int64 // where it begins, or where its JSON is wrong; 0 when it is about the whole file
	bundle  bool  // about what is around the events of a bundle
	object  bool  // what stands in the place of an event is one
	version string
	report  *ocsf.Report
	err     error
}

// class returns the event's class_uid, nil if it has none that is an integer.
func (v *judgement) class() *int64 {
	none := func(i ocsf.Issue) bool {
		return i.Path == "class_uid" && (i.Code == "attribute_required_missing" || i.Code == "attribute_wrong_type")
	}
	if !v.object || v.report.ClassUID == 0 && slices.ContainsFunc(v.report.Errors, none) {
		return nil
	}
	return &v.report.ClassUID
}

// event judges what data holds, which is not empty.
func (j *eventJudge) event(v *judgement, data []byte) {
	v.object = data[0] == '{'
	v.version = j.version
	if j.version == schemaAuto {
		if v.version, v.err = j.versionFor(v.bundle, data); v.err != nil {
			return
		}
	}
	validator, err := j.validators[v.version]()
	switch {
	case err != nil:
		v.err = err
	case v.bundle:
		var r *ocsf.BundleReport
		if r, v.err = validator.ValidateBundle(data); v.err == nil {
			v.report = &ocsf.Report{Errors: r.Errors, Truncated: r.Truncated} // of its events there are none here
		}
	default:
		v.report, v.err = validator.Validate(data)
	}
	var syntax *ocsf.SyntaxError
	if errors.As(v.err, &syntax) {
		v.line += int64(bytes.Count(data[:min(int(syntax.Offset), len(data))], []byte{'\n'}))
		v.err = fmt.Errorf("invalid JSON at byte %d of the event: %s", syntax.Offset, syntax.Reason)
	}
}

// versionFor returns the version that applies to an event when it may choose.
// Bundles name none, nor does what is no JSON, of which the validator says where.
func (j *eventJudge) versionFor(bundle bool, data []byte) (string, error) {
	if bundle {
		return schema.Default, nil
	}
	version, err := versionOf(data)
	switch {
	case err != nil:
		return schema.Default, nil
	case version == "":
		return "", cli.Hint(errors.New("the event names no version of the schema: metadata.version is missing, or is no text"),
			"name the version to judge it by, as in --schema %s", schema.Default)
	case j.validators[version] == nil:
		return "", cli.Hint(fmt.Errorf("the event names schema version %q, which is not known here", version),
			"known are %s; name the one to judge it by, as in --schema %s", strings.Join(schema.Versions(), ", "), schema.Default)
	}
	return version, nil
}

// versionOf returns metadata.version, or "" where that is missing or no text.
func versionOf(event []byte) (string, error) {
	d := jsontext.NewDecoder(bytes.NewReader(event), jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
	for _, name := range []string{"metadata", "version"} {
		if found, err := enter(d, name); err != nil || !found {
			return "", err
		}
	}
	t, err := d.ReadToken()
	if err != nil || t.Kind() != '"' {
		return "", err
	}
	return t.String(), nil
}

// enter reads an object up to the value of a member. It reports false when there
// is no object, or no such member.
func enter(d *jsontext.Decoder, name string) (bool, error) {
	if t, err := d.ReadToken(); err != nil || t.Kind() != '{' {
		return false, err
	}
	for {
		t, err := d.ReadToken()
		if err != nil || t.Kind() != '"' {
			return false, err
		}
		if t.String() == name {
			return true, nil
		}
		if err := d.SkipValue(); err != nil {
			return false, err
		}
	}
}
