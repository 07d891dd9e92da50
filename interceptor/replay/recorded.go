// SPDX-License-Identifier: Apache-2.0

package replay

import (
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/docket-audit/docket/interceptor"
	"github.com/docket-audit/docket/interceptor/activity"
)

// labelsOf finds the labels of a recorded request where the proxy finds those of
// a message: its member "labels", else that of the one object in it. They are
// not nil, so that none is told from not known.
func labelsOf(request proto.Message) map[string]string {
	if request == nil {
		return map[string]string{}
	}
	root, ok := request.ProtoReflect().Interface().(*structpb.Struct)
	if !ok {
		return map[string]string{}
	}
	if labels := texts(root.GetFields()["labels"]); labels != nil {
		return labels
	}
	var inner *structpb.Struct
	for _, v := range root.GetFields() {
		if s := v.GetStructValue(); s != nil {
			if inner != nil {
				return map[string]string{}
			}
			inner = s
		}
	}
	if labels := texts(inner.GetFields()["labels"]); labels != nil {
		return labels
	}
	return map[string]string{}
}

// knowsLabels says whether the record tells the labels of an operation, though
// perhaps that it has none: somebody was skipped for them.
func knowsLabels(op *activity.Operation) bool {
	return op.Labels != nil || slices.ContainsFunc(op.Outcome.Parts, func(p interceptor.Part) bool {
		return strings.HasPrefix(p.Skipped, "selector: label ")
	})
}

// initialMetadata returns the metadata that an operation came with, as far as a
// binding was shown it: what none had set before.
func initialMetadata(op *activity.Operation) map[string]map[string]any {
	var initial map[string]map[string]any
	set := map[string]bool{}
	for _, e := range op.Evaluations {
		for name, values := range e.Metadata {
			if !set[name] {
				if initial == nil {
					initial = map[string]map[string]any{}
				}
				initial[name], set[name] = values, true
			}
		}
		if e.Result != nil && !e.Shadow {
			for name := range e.Result.Metadata {
				set[name] = true
			}
		}
	}
	return initial
}

// texts returns the members of an object of texts; nil when v is something else.
func texts(v *structpb.Value) map[string]string {
	s := v.GetStructValue()
	if s == nil {
		return nil
	}
	labels := make(map[string]string, len(s.GetFields()))
	for name, member := range s.GetFields() {
		text, ok := member.GetKind().(*structpb.Value_StringValue)
		if !ok {
			return nil
		}
		labels[name] = text.StringValue
	}
	return labels
}
