// SPDX-License-Identifier: Apache-2.0

package schema

import (
	"fmt"
	"strings"
	"sync"

	"github.com/docket-audit/docket/schemas/ocsf"
)

// Versions that have a part to play.
const (
	Latest  = "1.9.0" // the newest that is built in
	Default = "1.8.0" // the one to take where nobody asked for another
)

// Versions returns the versions that [Load] knows, the oldest first.
func Versions() []string {
	versions := make([]string, len(catalogs))
	for i := range catalogs {
		versions[i] = catalogs[i].version
	}
	return versions
}

// An UnknownVersionError says that no catalog of a version is built in.
type UnknownVersionError struct {
	Version string
}

func (e *UnknownVersionError) Error() string {
	return fmt.Sprintf("load schema: there is no version %q; use one of %s", e.Version, strings.Join(Versions(), ", "))
}

// catalogs is filled as it is asked for. It is an array and has no initializer
// that runs, so that the linker can leave the catalogs out where nothing calls
// Load.
var catalogs = [...]struct {
	version string
	once    sync.Once
	schema  *Schema // set by once
}{{version: "1.6.0"}, {version: "1.7.0"}, {version: Default}, {version: Latest}}

// Load returns a version from its catalog, which it reads once: the schema is
// shared with all other callers. The error is an *[UnknownVersionError].
func Load(version string) (*Schema, error) {
	for i := range catalogs {
		if c := &catalogs[i]; c.version == version {
			c.once.Do(func() { c.schema = mustLoad(version) })
			return c.schema, nil
		}
	}
	return nil, &UnknownVersionError{Version: version}
}

// mustLoad panics if a catalog is broken: it is a part of the program.
func mustLoad(version string) *Schema {
	text, err := ocsf.Catalogs.ReadFile("catalog/" + version + ".json")
	if err != nil {
		panic(err)
	}
	s, err := readCatalog(text)
	if err != nil {
		panic(err)
	}
	return s
}
