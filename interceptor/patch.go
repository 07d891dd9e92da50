// SPDX-License-Identifier: Apache-2.0

package interceptor

import (
	"errors"
	"fmt"
	"slices"

	"github.com/docket-audit/docket/internal/secretwalk"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// maxCandidateBytes bounds what patches may grow a payload to, as sizeOf counts:
// with `copy` alone a few dozen of them could double it a few dozen times.
const maxCandidateBytes = 16 << 20

// maxBoxes bounds how deep an Any may be within others: each is decoded by itself,
// so that what is n deep is read n times.
const maxBoxes = 16

// errCandidateSize says that a candidate grew over maxCandidateBytes.
var errCandidateSize = errors.New("patched payload is too large")

var errNoJSON = errors.New("no JSON form")

// patched returns a copy of m with the patches applied, all or none. They work
// on the whole message, secrets included, but see none of the secrets; what
// comes out is a valid message of m's type, with what JSON cannot hold of m,
// its unknown fields, put back.
func patched(m proto.Message, patches []Patch, w secretwalk.Walk) (proto.Message, error) {
	md := m.ProtoReflect().Descriptor()
	raw, err := messageJSON(m, w)
	if err != nil { // which may tell of secrets
		return nil, fmt.Errorf("write %s: %w", md.FullName(), inWords(w.Redact(m), w, errNoJSON))
	}
	root, err := parseTree(raw)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", md.FullName(), err)
	}
	keep := needsGraft(m.ProtoReflect())
	if keep {
		root = remember(root, m.ProtoReflect())
	}
	doc := &document{root: root, room: maxCandidateBytes - len(raw), schema: schema{md: md, msg: m.ProtoReflect(), walk: w}}
	for i, p := range patches {
		if err := doc.apply(p); err != nil {
			return nil, fmt.Errorf("patch %d (%s %s): %w", i, p.Op, p.Path, err)
		}
	}
	candidate := m.ProtoReflect().New()
	if err := (protojson.UnmarshalOptions{Resolver: w.Resolver()}).Unmarshal(appendTree(nil, doc.root), candidate.Interface()); err != nil {
		return nil, fmt.Errorf("patched payload is not a valid %s: %w", md.FullName(), unquoted(err))
	}
	if keep {
		graft(doc.root, candidate)
	}
	if smuggles(m.ProtoReflect(), candidate, w) {
		return nil, errors.New("a value sets an omitted secret field inside a google.protobuf.Any")
	}
	return candidate.Interface(), nil
}

// smuggles reports whether a candidate has a secret inside an Any that the
// message did not have: no path tells, for the schema does not say what an Any
// holds.
func smuggles(m, candidate protoreflect.Message, w secretwalk.Walk) bool {
	boxes := w.SecretBoxes(candidate)
	if len(boxes) == 0 {
		return false
	}
	before := w.SecretBoxes(m)
	for box := range boxes {
		if !before[box] {
			return true
		}
	}
	return false
}

// A document is a tree under patching.
type document struct {
	root tree
	room int // bytes that patches may still add

	schema schema
}

// pointer reads the path of a patch, or where it takes a value from.
func (d *document) pointer(what, pointer string) ([]string, place, error) {
	tokens, err := splitPointer(pointer)
	if err != nil {
		return nil, place{}, fmt.Errorf("%s: %w", what, err)
	}
	if d.schema.hides(tokens) {
		return nil, place{}, errors.New(what + " reaches an omitted secret field")
	}
	at, err := d.schema.at(tokens)
	if err != nil {
		return nil, place{}, fmt.Errorf("%s: %w", what, err)
	}
	return tokens, at, nil
}

// apply applies one patch of RFC 6902. It leaves the document anyhow when it
// fails: the caller drops it.
func (d *document) apply(p Patch) error {
	path, at, err := d.pointer("path", p.Path)
	if err != nil {
		return err
	}
	switch p.Op {
	case "remove":
		_, err := d.remove(path)
		return err
	case "add", "replace", "test":
		if p.Value == nil {
			return errors.New("value is absent")
		}
		value, err := parseTree(p.Value)
		if err != nil {
			return fmt.Errorf("value: %w", err)
		}
		if boxes(value) > maxBoxes {
			return fmt.Errorf("value: more than %d of google.protobuf.Any within one another", maxBoxes)
		}
		switch p.Op {
		case "add":
			return d.add(path, value)
		case "replace":
			return d.replace(path, value)
		}
		return d.test(path, value, at)
	case "move", "copy":
		if p.From == "" {
			// The whole into a part of itself. On the wire an empty from is an
			// absent one.
			return errors.New("from is absent")
		}
		from, _, err := d.pointer("from", p.From)
		if err != nil {
			return err
		}
		if p.Op == "copy" {
			value, err := d.get(from)
			if err != nil {
				return fmt.Errorf("from: %w", err)
			}
			if sizeOf(value) > d.room {
				return errCandidateSize
			}
			return d.add(path, cloneTree(value))
		}
		return d.move(from, path)
	}
	return fmt.Errorf("unknown op %q", p.Op)
}

func (d *document) move(from, path []string) error {
	if len(path) > len(from) && slices.Equal(path[:len(from)], from) {
		return errors.New("a value cannot be moved into itself")
	}
	value, err := d.remove(from)
	if err != nil {
		return fmt.Errorf("from: %w", err)
	}
	d.room += sizeOf(value)
	return d.add(path, value)
}

func (d *document) get(path []string) (tree, error) {
	at := d.root
	for i, token := range path {
		next, err := child(at, token)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", joinPointer(path[:i+1]), err)
		}
		at = next
	}
	return at, nil
}

func (d *document) test(path []string, value tree, at place) error {
	is, err := d.get(path)
	if err != nil {
		return err
	}
	if !d.schema.equal(at, is, value) {
		return errors.New("test failed: the value is another")
	}
	return nil
}

func (d *document) replace(path []string, value tree) error {
	if _, err := d.get(path); err != nil {
		return err
	}
	if arr, i := d.slot(path); arr != nil {
		if err := d.grow(value); err != nil {
			return err
		}
		arr.items[i] = value
		return nil
	}
	return d.add(path, value)
}

// slot returns the array that holds an existing value, and where; nil when none
// does.
func (d *document) slot(path []string) (*array, int) {
	if len(path) == 0 {
		return nil, 0
	}
	parent, _ := d.get(path[:len(path)-1])
	arr, ok := unkept(parent).(*array)
	if !ok {
		return nil, 0
	}
	i, _ := index(path[len(path)-1], len(arr.items))
	return arr, i
}

// add puts a value where it may or may not be one already.
func (d *document) add(path []string, value tree) error {
	if err := d.grow(value); err != nil {
		return err
	}
	if len(path) == 0 {
		d.root = value
		return nil
	}
	parent, err := d.get(path[:len(path)-1])
	if err != nil {
		return err
	}
	last := path[len(path)-1]
	switch in := unkept(parent).(type) {
	case *object:
		in.members[last] = value
		return nil
	case *array:
		if last == "-" {
			in.items = append(in.items, value)
			return nil
		}
		i, err := index(last, len(in.items)+1)
		if err != nil {
			return fmt.Errorf("%s: %w", joinPointer(path), err)
		}
		in.items = slices.Insert(in.items, i, value)
		return nil
	}
	return fmt.Errorf("%s: nothing can be added to a plain value", joinPointer(path))
}

func (d *document) grow(value tree) error {
	if d.room -= sizeOf(value); d.room < 0 {
		return errCandidateSize
	}
	return nil
}

func (d *document) remove(path []string) (tree, error) {
	old, err := d.get(path)
	if err != nil {
		return nil, err
	}
	if len(path) == 0 {
		d.root = nil
		return old, nil
	}
	if arr, i := d.slot(path); arr != nil {
		arr.items = slices.Delete(arr.items, i, i+1)
		return old, nil
	}
	parent, err := d.get(path[:len(path)-1])
	if err != nil {
		return nil, err
	}
	delete(unkept(parent).(*object).members, path[len(path)-1])
	return old, nil
}

func child(t tree, token string) (tree, error) {
	switch t := unkept(t).(type) {
	case *object:
		member, ok := t.members[token]
		if !ok {
			return nil, errors.New("nothing is there")
		}
		return member, nil
	case *array:
		i, err := index(token, len(t.items))
		if err != nil {
			return nil, err
		}
		return t.items[i], nil
	}
	return nil, errors.New("a plain value has no members")
}
