// SPDX-License-Identifier: Apache-2.0

package grpcproxy

import (
	"crypto/sha256"
	"fmt"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
)

// linked are descriptors of files by the digest of all that they are made of:
// what the services of an API import is made once. It belongs to who links.
type linked map[[sha256.Size]byte]protoreflect.FileDescriptor

// linking makes descriptors of one set.
type linking struct {
	given map[string]*descriptorpb.FileDescriptorProto // by path
	made  map[string][]byte                            // digests by path; nil while its imports are made
	files *protoregistry.Files
	known linked
}

// link makes descriptors of a set. Imports that the set lacks are taken from
// this program if it has them: the well-known types, and the secret option.
func link(set *descriptorpb.FileDescriptorSet) (*protoregistry.Files, error) {
	return linked{}.link(set)
}

func (known linked) link(set *descriptorpb.FileDescriptorSet) (*protoregistry.Files, error) {
	l := &linking{given: map[string]*descriptorpb.FileDescriptorProto{}, made: map[string][]byte{}, files: new(protoregistry.Files), known: known}
	for _, f := range set.GetFile() {
		if l.given[f.GetName()] == nil {
			l.given[f.GetName()] = f
		}
	}
	for _, f := range set.GetFile() {
		if _, err := l.add(f.GetName(), ""); err != nil {
			return nil, err
		}
	}
	return l.files, nil
}

// add makes the file, after what it imports, and returns its digest.
func (l *linking) add(path, importer string) ([]byte, error) {
	if digest, ok := l.made[path]; ok {
		if digest == nil {
			return nil, fmt.Errorf("%s imports itself by way of %s", path, importer)
		}
		return digest, nil
	}
	f := l.given[path]
	if f == nil {
		own, err := protoregistry.GlobalFiles.FindFileByPath(path)
		if err != nil {
			return nil, fmt.Errorf("%s imports %s, which is missing", importer, path)
		}
		f = protodesc.ToFileDescriptorProto(own)
	}
	l.made[path] = nil
	all := sha256.New()
	for _, imported := range f.GetDependency() {
		digest, err := l.add(imported, path)
		if err != nil {
			return nil, err
		}
		all.Write(digest)
	}
	raw, err := proto.MarshalOptions{Deterministic: true}.Marshal(f)
	if err != nil {
		return nil, fmt.Errorf("encode %s: %w", path, err)
	}
	all.Write(raw)
	digest := [sha256.Size]byte(all.Sum(nil))
	if l.known[digest] == nil {
		if l.known[digest], err = protodesc.NewFile(f, l.files); err != nil {
			delete(l.known, digest)
			return nil, err
		}
	}
	l.made[path] = digest[:]
	return digest[:], l.files.RegisterFile(l.known[digest])
}
