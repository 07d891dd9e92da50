// SPDX-License-Identifier: Apache-2.0

package demo

import (
	"context"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/docket-audit/docket/interceptor"
	sandboxv1 "github.com/docket-audit/docket/schemas/proto/demo/sandbox/v1"
)

// Names of the interceptors, in the order in which the demo's plan calls them.
const (
	Naming = "naming"
	Images = "images"
	Quota  = "quota"
)

// Interceptors are the names of all.
var Interceptors = []string{Naming, Images, Quota}

// DefaultImages is the allow-list of an images interceptor without settings.
var DefaultImages = []string{"registry.example/base/", "registry.example/team/"}

// New returns the interceptor called name. Settings are those of its table in
// chain.toml. It is never slow; see [Slow].
func New(name string, settings map[string]any) (interceptor.Interceptor, error) {
	known := []string{"demo"}
	if name == Images {
		known = append(known, "allow")
	}
	for _, key := range slices.Sorted(maps.Keys(settings)) {
		if slices.Contains(Interceptors, name) && !slices.Contains(known, key) {
			return nil, fmt.Errorf("settings of %s: there is no %q, only %s", name, key, strings.Join(known, ", "))
		}
	}
	switch name {
	case Naming:
		return naming{}, nil
	case Images:
		allow, err := stringList(settings["allow"], DefaultImages)
		if err != nil {
			return nil, fmt.Errorf("settings of %s: allow: %w", name, err)
		}
		return &images{allow: allow}, nil
	case Quota:
		return &quota{}, nil
	default:
		return nil, fmt.Errorf("no demo interceptor is called %q", name)
	}
}

func stringList(v any, otherwise []string) ([]string, error) {
	list, ok := v.([]any)
	if v == nil {
		return otherwise, nil
	}
	if !ok {
		return nil, fmt.Errorf("%v is not a list", v)
	}
	out := make([]string, 0, len(list))
	for _, item := range list {
		s, ok := item.(string)
		if !ok {
			return nil, fmt.Errorf("%v is not a text", item)
		}
		out = append(out, s)
	}
	return out, nil
}

func rpc(method string) string {
	return sandboxv1.Sandboxes_ServiceDesc.ServiceName + "/" + method
}

// operation is what the interceptors read of a proposed operation; the messages
// of all methods fit into it.
type operation struct {
	Name    string `json:"name"` // of delete and get
	Sandbox struct {
		Name   string            `json:"name"`
		Labels map[string]string `json:"labels"`
		Spec   struct {
			Image    string `json:"image"`
			Replicas int    `json:"replicas"`
		} `json:"spec"`
	} `json:"sandbox"`
}

func read(e *interceptor.Evaluation) (operation, error) {
	var op operation
	b, err := e.Payload.JSON()
	if err == nil {
		err = json.Unmarshal(b, &op)
	}
	if err != nil {
		return op, fmt.Errorf("read operation: %w", err)
	}
	if op.Name == "" {
		op.Name = op.Sandbox.Name
	}
	return op, nil
}

func allowed() *interceptor.Result { return &interceptor.Result{Decision: interceptor.Allow} }

func denied(code, format string, args ...any) *interceptor.Result {
	return &interceptor.Result{Decision: interceptor.Deny, StatusCode: code, Reason: fmt.Sprintf(format, args...)}
}

// naming gives sandboxes the names and labels that the house wants.
type naming struct{}

func (naming) Describe(context.Context) (*interceptor.Manifest, error) {
	return &interceptor.Manifest{Name: Naming, Bindings: []interceptor.Binding{
		{ID: "names", RPCs: []string{rpc("CreateSandbox")}, Phases: []interceptor.Phase{interceptor.ModifyOperation}},
		{ID: "labels", RPCs: []string{rpc("UpdateSandbox")}, Phases: []interceptor.Phase{interceptor.ModifyOperation}},
		{ID: "keep", RPCs: []string{rpc("DeleteSandbox"), rpc("GetSandbox")}, Phases: []interceptor.Phase{interceptor.Validate}},
	}}, nil
}

func (naming) Evaluate(_ context.Context, e *interceptor.Evaluation) (*interceptor.Result, error) {
	op, err := read(e)
	if err != nil {
		return nil, err
	}
	if e.Phase == interceptor.Validate {
		if e.Method == "DeleteSandbox" && strings.HasPrefix(op.Name, "keep-") {
			return denied("FAILED_PRECONDITION", "sandbox %s is kept", op.Name), nil
		}
		return allowed(), nil
	}
	var patches []interceptor.Patch
	if lower := strings.ToLower(op.Name); lower != op.Name {
		patches = append(patches, replace("/sandbox/name", lower))
	}
	if op.Sandbox.Labels["managed-by"] == "" {
		if len(op.Sandbox.Labels) == 0 {
			patches = append(patches, add("/sandbox/labels", map[string]string{"managed-by": "docket-demo"}))
		} else {
			patches = append(patches, add("/sandbox/labels/managed-by", "docket-demo"))
		}
	}
	if len(patches) == 0 {
		return allowed(), nil
	}
	return &interceptor.Result{
		Decision: interceptor.Modify, Patches: patches,
		Annotations: map[string]string{"naming.rule": "lower-case, labelled"},
	}, nil
}

func add(path string, v any) interceptor.Patch     { return patch("add", path, v) }
func replace(path string, v any) interceptor.Patch { return patch("replace", path, v) }

func patch(op, path string, v any) interceptor.Patch {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // texts and maps of texts always have a JSON form
	}
	return interceptor.Patch{Op: op, Path: path, Value: b}
}

// images lets only images pass whose name begins with an entry of its list.
type images struct{ allow []string }

func (*images) Describe(context.Context) (*interceptor.Manifest, error) {
	return &interceptor.Manifest{Name: Images, Bindings: []interceptor.Binding{{
		ID: "allow-list", RPCs: []string{rpc("CreateSandbox"), rpc("UpdateSandbox")}, Phases: []interceptor.Phase{interceptor.Validate},
	}}}, nil
}

func (i *images) Evaluate(_ context.Context, e *interceptor.Evaluation) (*interceptor.Result, error) {
	op, err := read(e)
	if err != nil {
		return nil, err
	}
	image := op.Sandbox.Spec.Image
	if slices.ContainsFunc(i.allow, func(prefix string) bool { return strings.HasPrefix(image, prefix) }) {
		return allowed(), nil
	}
	return denied("PERMISSION_DENIED", "image %s is not on the allow-list", image), nil
}

// quota bounds the size of sandboxes and, after the fact, counts their use.
type quota struct{ slow time.Duration }

// Slow returns the quota interceptor as it is served: for some operations,
// chosen by their content, it takes pause before it answers.
func Slow(pause time.Duration) interceptor.Interceptor { return &quota{slow: pause} }

// MaxReplicas is the largest sandbox that the quota allows.
const MaxReplicas = 8

func (*quota) Describe(context.Context) (*interceptor.Manifest, error) {
	every := []string{rpc("CreateSandbox"), rpc("UpdateSandbox"), rpc("DeleteSandbox"), rpc("GetSandbox")}
	return &interceptor.Manifest{Name: Quota, Bindings: []interceptor.Binding{
		{ID: "create", RPCs: every[:1], Phases: []interceptor.Phase{interceptor.Validate}},
		{ID: "update", RPCs: every[1:2], Phases: []interceptor.Phase{interceptor.Validate}},
		{ID: "usage", RPCs: every, Phases: []interceptor.Phase{interceptor.PostCommit}},
	}}, nil
}

func (q *quota) Evaluate(ctx context.Context, e *interceptor.Evaluation) (*interceptor.Result, error) {
	b, err := e.Payload.JSON()
	if err != nil {
		return nil, err
	}
	if q.slow > 0 && busy(e.Binding, b) {
		select {
		case <-time.After(q.slow):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	if e.Phase == interceptor.PostCommit {
		return allowed(), nil
	}
	op, err := read(e)
	if err != nil {
		return nil, err
	}
	if n := op.Sandbox.Spec.Replicas; n > MaxReplicas {
		return denied("RESOURCE_EXHAUSTED", "%d replicas are over the quota of %d", n, MaxReplicas), nil
	}
	return allowed(), nil
}

// busy picks, by content, one update in three and one in eight of the others:
// there are fewer updates, and they are what shows a failure that lets pass.
func busy(binding string, payload []byte) bool {
	h := fnv.New32a()
	h.Write([]byte(binding))
	h.Write(payload)
	share := uint32(8)
	if binding == "update" {
		share = 3
	}
	return h.Sum32()>>3%share == 0
}
