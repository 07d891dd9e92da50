// SPDX-License-Identifier: Apache-2.0

package lake

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"

	catalog "github.com/docket-audit/docket/ocsf/schema"
)

// DefaultRegion is the region of public files where none is configured.
const DefaultRegion = "local"

// A Partition is what all events of a public file have in common.
type Partition struct {
	ClassUID int32
	Tenant   string
	Day      string // of the event time, UTC, YYYYMMDD
}

// Dir returns the directory of the files of a partition, relative to the lake's,
// in the layout of Amazon Security Lake:
//
//	api_activity/region=local/accountId=acme/eventDay=20261030
func (p Partition) Dir(region string) string {
	return className(p.ClassUID) + "/region=" + escape(region) + "/accountId=" + escape(p.Tenant) + "/eventDay=" + p.Day
}

// Holds reports whether path, relative to the lake's directory, is one that a
// file of the partition can have, whatever the region.
func (p Partition) Holds(path string) bool {
	got, want := strings.Split(path, "/"), strings.Split(p.Dir(""), "/")
	if len(got) != len(want)+1 || !strings.HasPrefix(got[1], want[1]) {
		return false
	}
	// A class that had no name when the file was written may have got one.
	named := got[0] == want[0] || got[0] == classNumber(p.ClassUID)
	return named && slices.Equal(got[2:len(want)], want[2:])
}

// Public reports whether path is that of a file in the public layout.
func Public(path string) bool {
	return !strings.HasPrefix(path, "_") && strings.Contains(path, "/")
}

// MayHold reports whether a file with this path may have rows of a class, as far
// as the path says.
func MayHold(path string, class int32) bool {
	dir, _, _ := strings.Cut(path, "/")
	return !Public(path) || dir == className(class) || dir == classNumber(class)
}

// classNames are those of the newest version of OCSF that has the class.
var classNames = sync.OnceValue(func() map[int32]string {
	names := make(map[int32]string)
	for _, version := range catalog.Versions() {
		s, err := catalog.Load(version)
		if err != nil {
			continue // one of the versions that Versions names
		}
		for name, c := range s.Classes {
			// An extension's class has the extension before its name.
			_, bare, found := strings.Cut(name, "/")
			if !found {
				bare = name
			}
			names[int32(c.UID)] = bare
		}
	}
	return names
})

// className returns the name of a class; of one that nobody knows, its number.
func className(uid int32) string {
	if name := classNames()[uid]; name != "" {
		return name
	}
	return classNumber(uid)
}

func classNumber(uid int32) string { return "class_" + strconv.Itoa(int(uid)) }

// maxComponent is how long an escaped name may get; file systems take 255 bytes.
const maxComponent = 160

// escape makes any text a part of the name of a directory, no two texts the
// same: everything but letters, digits, '-', '.' and '_' is percent-encoded, as
// those who read partitions decode it. Of a long text the end is replaced by
// the digest of the whole, after a '~', which no other result has.
func escape(s string) string {
	var b strings.Builder
	for i := range len(s) {
		switch c := s[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '-', c == '.', c == '_':
			b.WriteByte(c)
		default:
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	if b.Len() <= maxComponent {
		return b.String()
	}
	sum := sha256.Sum256([]byte(s))
	return b.String()[:maxComponent-1-hex.EncodedLen(len(sum))] + "~" + hex.EncodeToString(sum[:])
}
