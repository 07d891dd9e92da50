// SPDX-License-Identifier: Apache-2.0

package activity

import (
	"fmt"

	"github.com/docket-audit/docket/interceptor"
)

// again gives an evaluation what it was shown that an earlier one was shown too,
// and so is written there.
func (op *assembled) again(e *Evaluation) {
	if e.sameAs != "" {
		if from := op.evaluation(e.sameAs); from != nil && from.Payload != nil {
			e.Payload, e.payload = from.Payload, from.payload
		} else {
			e.lacks("payload", e.sameAs)
		}
	}
	if e.stateSameAs != "" {
		if from := op.evaluation(e.stateSameAs); from != nil && from.State != nil {
			e.State, e.state = from.State, from.state
		} else {
			e.lacks("state", e.stateSameAs)
		}
	}
	if e.metadataSameAs != "" {
		if from := op.evaluation(e.metadataSameAs); from != nil && from.Metadata != nil {
			e.Metadata = copied(from.Metadata)
		} else {
			e.lacks("metadata", e.metadataSameAs)
		}
	}
}

// few is up to how many evaluations of an operation are found without a map.
const few = 16

// evaluation returns the one with a uid; nil when there is none.
func (op *assembled) evaluation(uid interceptor.UID) *Evaluation {
	if len(op.Evaluations) > few {
		if i, ok := op.byUID[uid]; ok {
			return &op.Evaluations[i]
		}
		return nil
	}
	for i := range op.Evaluations {
		if op.Evaluations[i].UID == uid {
			return &op.Evaluations[i]
		}
	}
	return nil
}

func (e *Evaluation) lacks(what string, of interceptor.UID) {
	if e.Missing != "" {
		e.Missing += "; "
	}
	e.Missing += fmt.Sprintf("the %s is that of evaluation %s, which is not in the record", what, of)
}

// copied returns namespaces that are the binding's own.
func copied(m map[string]map[string]any) map[string]map[string]any {
	out := make(map[string]map[string]any, len(m))
	for name, namespace := range m {
		out[name], _ = copiedValue(namespace).(map[string]any)
	}
	return out
}

func copiedValue(v any) any {
	switch v := v.(type) {
	case map[string]any:
		out := make(map[string]any, len(v))
		for name, item := range v {
			out[name] = copiedValue(item)
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i, item := range v {
			out[i] = copiedValue(item)
		}
		return out
	default:
		return v
	}
}
