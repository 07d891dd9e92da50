// SPDX-License-Identifier: Apache-2.0

package config

import (
	"errors"
	"net/url"
	"slices"
	"strings"
)

// A DSN is the URL of a database, which may have a password in it. It is written for
// people without.
type DSN string

// storeSchemes are those of the DSNs of stores.
var storeSchemes = []string{"clickhouse", "http", "https"}

// String returns the scheme, the user, the hosts and the database, and of what else
// there is nothing.
func (d DSN) String() string {
	if d == "" {
		return ""
	}
	u, err := url.Parse(string(d))
	if err != nil || u.Host == "" || strings.Contains(u.Path+u.RawQuery+u.Fragment, "@") { // a password that is not escaped
		return "(not shown: a URL that cannot be read)"
	}
	shown := url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path}
	if u.User != nil {
		shown.User = url.User(u.User.Username())
	}
	return shown.String()
}

// GoString is for those who print it with %#v.
func (d DSN) GoString() string { return d.String() }

// WithPassword returns the DSN with a password, which belongs to its user.
func (d DSN) WithPassword(password string) (DSN, error) {
	u, err := url.Parse(string(d))
	if err != nil { // whose text has the DSN in it
		return "", errors.New("the DSN cannot be read")
	}
	u.User = url.UserPassword(u.User.Username(), password)
	return DSN(u.String()), nil
}

// checkStore says what of [store] does not go together, wherever it was given.
func (c *Config) checkStore() error {
	file := c.File
	if file == "" {
		file = "configuration"
	}
	wrong := func(what, advice string) error {
		return &Error{File: file, Err: errors.New(what), Advice: advice}
	}
	const example = "such as url = \"clickhouse://docket@127.0.0.1:9000/docket\", or http:// and https:// with the port of that"
	s := &c.Store
	switch {
	case s.URL == "" && (s.PasswordFile != "" || s.Cluster != ""):
		return wrong("[store] has password_file or cluster, and no url", "without a url events are kept in the data directory; docs/clickhouse.md")
	case s.URL == "":
		return nil
	}
	u, err := url.Parse(string(s.URL))
	switch {
	case err != nil, u.Host == "", !slices.Contains(storeSchemes, u.Scheme):
		return wrong("[store] url is no URL of a ClickHouse", example)
	case strings.Trim(u.Path, "/") == "":
		return wrong("[store] url names no database", example)
	case s.PasswordFile != "" && (u.User == nil || u.User.Username() == ""):
		return wrong("[store] has a password_file, and the url no user", example)
	case s.PasswordFile != "" && hasPassword(u):
		return wrong("[store] has a password in the url, and a password_file", "leave the one in the url out")
	}
	return nil
}

func hasPassword(u *url.URL) bool {
	_, has := u.User.Password()
	return has || u.Query().Has("password")
}
