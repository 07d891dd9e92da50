// SPDX-License-Identifier: Apache-2.0

package ocsf

import (
	"fmt"
	"sync"

	"github.com/docket-audit/docket/ocsf/internal/jsontree"
	"github.com/docket-audit/docket/ocsf/internal/rules"
	"github.com/docket-audit/docket/ocsf/schema"
)

// A SyntaxError says why a text is not JSON: where, in bytes, and what was
// expected there.
type SyntaxError = jsontree.SyntaxError

// A Mode says by whose rules events are validated. In both, the first of two
// members of an object with the same name counts, and the second is as if it
// were not there: so the official server reads JSON, unlike most readers, which
// take the last. In both, null stands for an absent attribute, but not to a
// constraint, for which the name is enough, nor as the caption beside a value.
//
// [ModeStrict] differs from [ModeServer] in these cases and no others:
//
//	case                                        server                              strict
//	----                                        ------                              ------
//	long_t beyond 64 bits                       valid up to 128 bits                attribute_wrong_type
//	integer_t or long_t written as 1.0 or 1e3   attribute_wrong_type, and           the integer that it is
//	                                            attribute_enum_value_unknown
//	                                            if there is an enumeration
//	class_uid is null                           attribute_wrong_type                attribute_required_missing
//	attribute with an enumeration is null       attribute_enum_value_unknown        absent
//	array of such values, or of their           attribute_wrong_type                absent
//	captions beside it, is null                 (of captions: if one is needed)
//	array in place of such a value              is the text of its characters and   attribute_wrong_type
//	                                            strings, so that [49] and ["1"] are
//	                                            the value 1, and other arrays
//	                                            attribute_enum_value_unknown; both
//	                                            with attribute_wrong_type
//	object in place of an array of captions     attribute_wrong_type, and none of   attribute_wrong_type
//	                                            its members is the right caption
//	constraint on a dotted path                 fails: no attribute has that name   follows the path
//	longest text                                counts grapheme clusters            counts code points
//	name of an observable is absent             -                                   observable_name_missing (warning)
//	name of an observable starts with "$."      observable_name_invalid_reference   "$." is left out
//	a[0] ends the name, a is no array           -                                   observable_name_invalid_reference
//	index is no number, nothing or a star       -                                   observable_name_invalid_reference
//	the event has nothing of the name           -                                   observable_path_not_found
//	the name leads through no object            -                                   observable_path_not_object
//	the event has another value there           -                                   observable_value_not_found
//
// What neither finds out: whether an observable is of the type that it says,
// whether a profile belongs to the class, whether times are plausible, and
// whether names and ids agree beyond captions.
type Mode string

const (
	// ModeServer finds what the second validator of the official schema server
	// finds, with the same codes, severities and paths. Where that one fails it
	// goes on: with attribute_wrong_type if the value of an enumeration is an
	// object, or an array that is no text, and if there is something else than
	// an array where an array of such values or of their captions is due; and
	// with what a shorter text would get if a name, the value of an enumeration
	// or a step of an observable's name has more than 255 characters.
	ModeServer Mode = "server"
	// ModeStrict corrects the rules of the server where they contradict the
	// schema, and compares observables with the event.
	ModeStrict Mode = "strict"
)

// An IssueSeverity says whether an issue makes an event invalid. It has nothing
// to do with the severity of what an event reports, which is [SeverityHigh] and
// the like.
type IssueSeverity string

// The severities of issues. A valid event may have warnings.
const (
	IssueError   IssueSeverity = "error"
	IssueWarning IssueSeverity = "warning"
)

// An Issue is one thing that validation found.
type Issue struct {
	Severity IssueSeverity
	// Code is one of a fixed vocabulary, such as "attribute_unknown".
	Code string
	// Path leads to the attribute: metadata.loggers[0].uid. It is empty for the
	// event as a whole. Names come from the event, as they are.
	Path string
	// Message is for people. It quotes what it shows of the event, at most 80
	// bytes of it.
	Message string
}

// A Report is what validation found in one event.
type Report struct {
	// ClassUID is 0 when the event's class_uid is absent or no integer, and for
	// the base event.
	ClassUID int64
	UID      string // the event's metadata.uid, empty if it has none
	// Errors and Warnings are sorted by path, then by code. No issue occurs twice.
	Errors, Warnings []Issue
	// Truncated says that the event has more issues than the ten thousand, or
	// the eight megabytes of text, that a report holds; or that its observables
	// were too many to look for all of them.
	Truncated bool
}

// Valid says whether there are no errors.
func (r *Report) Valid() bool { return len(r.Errors) == 0 }

// A BundleReport is what validation found in an event bundle: an object with
// the events and, perhaps, their number and the times between which they are.
type BundleReport struct {
	// Errors concern the object itself.
	Errors []Issue
	// Events has a report for each element of the bundle's events, in order. The
	// paths in it start at the event.
	Events    []*Report
	Truncated bool // as in [Report]
}

// Valid says whether there are no errors in the bundle and in all of its events.
func (r *BundleReport) Valid() bool {
	for _, event := range r.Events {
		if !event.Valid() {
			return false
		}
	}
	return len(r.Errors) == 0
}

// Validate validates one event, which is JSON text, against a version of the
// schema that is built in (see [schema.Versions]). A program that validates many
// events makes a [Validator] once, which is a little faster.
//
// The error is a *[SyntaxError] when the event is not JSON, or is beyond what is
// read (numbers of 64-bit floating point, a thousand levels), a
// *[schema.UnknownVersionError], or says that there is no such mode. JSON that
// is no event at all, such as a number, is invalid, not an error. Arbitrary
// input is safe.
func Validate(event []byte, version string, mode Mode) (*Report, error) {
	v, err := NewValidator(version, mode, ValidateOptions{})
	if err != nil {
		return nil, err
	}
	return v.Validate(event)
}

// ValidateOptions are what else can be chosen. The zero value does as the
// official server does by itself.
type ValidateOptions struct {
	// MissingRecommended warns of recommended attributes that an event lacks,
	// with the code attribute_recommended_missing.
	MissingRecommended bool
}

// A Validator validates events against one version of the schema, by one set of
// rules. It is safe for concurrent use.
type Validator struct {
	tables  *rules.Tables
	options rules.Options
}

// NewValidator returns a validator for a version that is built in. The first
// for a version takes milliseconds, to compile the schema into tables that all
// share. For errors see [Validate].
func NewValidator(version string, mode Mode, opts ValidateOptions) (*Validator, error) {
	options, err := mode.options(opts)
	if err != nil {
		return nil, err
	}
	s, err := schema.Load(version)
	if err != nil {
		return nil, fmt.Errorf("new validator: %w", err)
	}
	once, ok := tables.Load(version)
	if !ok {
		once, _ = tables.LoadOrStore(version, sync.OnceValues(func() (*rules.Tables, error) { return rules.Compile(s) }))
	}
	t, err := once.(func() (*rules.Tables, error))()
	if err != nil {
		return nil, fmt.Errorf("new validator: %w", err)
	}
	return &Validator{tables: t, options: options}, nil
}

// tables holds func() (*rules.Tables, error) by version, of those built in.
var tables sync.Map

// NewSchemaValidator returns a validator for a schema of your own, such as
// [schema.ReadCompiled] reads. It compiles the schema each time.
func NewSchemaValidator(s *schema.Schema, mode Mode, opts ValidateOptions) (*Validator, error) {
	options, err := mode.options(opts)
	if err != nil {
		return nil, err
	}
	t, err := rules.Compile(s)
	if err != nil {
		return nil, fmt.Errorf("new validator: %w", err)
	}
	return &Validator{tables: t, options: options}, nil
}

func (m Mode) options(opts ValidateOptions) (rules.Options, error) {
	switch m {
	case ModeServer, ModeStrict:
		return rules.Options{Strict: m == ModeStrict, MissingRecommended: opts.MissingRecommended}, nil
	default:
		return rules.Options{}, fmt.Errorf("new validator: there is no mode %q; use %s or %s", m, ModeServer, ModeStrict)
	}
}

// Validate validates one event. The error is a *[SyntaxError].
func (v *Validator) Validate(event []byte) (*Report, error) {
	r, err := v.tables.Event(event, v.options)
	if err != nil {
		return nil, err
	}
	return newReport(&r), nil
}

// ValidateBundle validates an event bundle and its events. The error is a
// *[SyntaxError].
func (v *Validator) ValidateBundle(bundle []byte) (*BundleReport, error) {
	r, events, err := v.tables.Bundle(bundle, v.options)
	if err != nil {
		return nil, err
	}
	report := &BundleReport{Errors: issues(IssueError, r.Errors), Truncated: r.Truncated}
	for i := range events {
		report.Events = append(report.Events, newReport(&events[i]))
	}
	return report, nil
}

func newReport(r *rules.Report) *Report {
	return &Report{
		ClassUID:  r.ClassUID,
		UID:       r.UID,
		Errors:    issues(IssueError, r.Errors),
		Warnings:  issues(IssueWarning, r.Warnings),
		Truncated: r.Truncated,
	}
}

func issues(severity IssueSeverity, findings []rules.Finding) []Issue {
	if len(findings) == 0 {
		return nil
	}
	list := make([]Issue, len(findings))
	for i, f := range findings {
		list[i] = Issue{Severity: severity, Code: f.Code, Path: f.Path, Message: f.Message}
	}
	return list
}
