// SPDX-License-Identifier: Apache-2.0

package serve

import (
	"testing"

	"google.golang.org/protobuf/reflect/protoreflect"

	auditv1 "github.com/docket-audit/docket/schemas/proto/docket/audit/v1"
)

// All bytes of the service are JSON, as the OpenAPI document says, and messages
// that hold some have no field that cannot be written beside it.
func TestBytesAreJSON(t *testing.T) {
	messages := auditv1.File_docket_audit_v1_audit_proto.Messages()
	held := 0
	for i := range messages.Len() {
		md := messages.Get(i)
		for n := range md.Fields().Len() {
			fd := md.Fields().Get(n)
			if isJSON(fd) {
				held++
			}
			if isJSON(fd) != (fd.Kind() == protoreflect.BytesKind) {
				t.Errorf("%s is %s; JSON: %t", fd.FullName(), fd.Kind(), isJSON(fd))
			}
			if !holdsJSON(md) {
				continue
			}
			if fd.IsMap() {
				t.Errorf("%s is a map, in a message that holds JSON", fd.FullName())
				continue
			}
			if isJSON(fd) || fd.Kind() == protoreflect.MessageKind {
				continue
			}
			if _, err := appendValue(nil, fd, fd.Default()); err != nil {
				t.Errorf("%s: %v", fd.FullName(), err)
			}
		}
	}
	if held < 5 {
		t.Errorf("%d fields hold JSON", held)
	}
}
