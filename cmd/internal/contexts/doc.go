// SPDX-License-Identifier: Apache-2.0

// Package contexts keeps the servers that a person asks by name.
//
// A context is one server and how to prove to it who asks. Each is a file of its
// own, readable by its owner alone, NAME.json in docket/contexts below the
// directory of the user's configuration; the file "current" beside them holds
// the name of the one that is asked where nothing else is said:
//
//	s, err := contexts.Open()
//	err = s.Save(contexts.Context{Name: "prod", URL: "https://audit.example:8443", TokenFile: "/run/secrets/docket"}, false)
//	err = s.Use("prod")
//
// A token is never sent where others could read it: [Context.Validate] refuses a
// token together with http:// to anywhere but this machine, and whoever connects
// (package reading) refuses it again, by the address that the name led to.
package contexts
