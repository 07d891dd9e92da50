// SPDX-License-Identifier: Apache-2.0

package config

import (
	"cmp"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/docket-audit/docket/cmd/internal/cli"
	"github.com/docket-audit/docket/internal/regular"
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
		return "", errors.New("the URL of the store cannot be read")
	}
	q := u.Query()
	user := cmp.Or(u.User.Username(), q.Get("username"))
	q.Del("username")
	if u.User = url.UserPassword(user, password); u.RawQuery != "" {
		u.RawQuery = q.Encode()
	}
	return DSN(u.String()), nil
}

// WithPasswordOf returns the DSN with the password that a file has in a line; of ""
// as it is.
func (d DSN) WithPasswordOf(file string) (DSN, error) {
	if file == "" {
		return d, nil
	}
	b, err := regular.ReadAtMost(file, 64<<10)
	if err != nil {
		return "", cli.Hint(fmt.Errorf("read the password of the store: %w", err), "the file has the password, in a line, and nothing else")
	}
	return d.WithPassword(strings.TrimRight(string(b), "\r\n"))
}

// checkStore says what of [store] does not go together, wherever it was given.
func (c *Config) checkStore() error {
	if c.Store.URL == "" && (c.Store.PasswordFile != "" || c.Store.Cluster != "") {
		return c.wrongStore("[store] has password_file or cluster, and no url", "without a url events are kept in the data directory; docs/clickhouse.md")
	}
	if fault, advice := faultOf("[store] url", c.Store.URL, c.Store.PasswordFile != ""); fault != "" {
		return c.wrongStore(fault, advice)
	}
	return nil
}

func (c *Config) wrongStore(fault, advice string) error {
	err := error(&Error{File: cmp.Or(c.File, "configuration"), Err: errors.New(fault), Advice: advice})
	if slices.ContainsFunc(c.set, func(kv string) bool { return strings.HasPrefix(strings.TrimSpace(kv), "store.") }) {
		err = cli.Usage(err)
	}
	return err
}

// CheckStore says what is wrong with the URL of a store that was given in another place
// than [store], such as "--store", with a file for its password or without.
func CheckStore(place string, d DSN, passwordFile bool) error {
	fault, advice := faultOf(place, d, passwordFile)
	if fault == "" {
		return nil
	}
	return cli.Hint(errors.New(fault), "%s", advice)
}

// faultOf returns what is wrong with a URL; "" where nothing is. What would be taken by
// default is refused: events in the database "default" are not what was meant.
func faultOf(place string, d DSN, passwordFile bool) (fault, advice string) {
	const example = "such as clickhouse://docket@127.0.0.1:9000/docket, or http:// and https:// with the port of that"
	if d == "" {
		return "", ""
	}
	u, err := url.Parse(string(d))
	if err != nil || u.Host == "" || !slices.Contains(storeSchemes, u.Scheme) {
		return place + " is no URL of a ClickHouse", example
	}
	q := u.Query()
	switch {
	case strings.Trim(u.Path, "/") == "" && q.Get("database") == "":
		u.Path = "/docket"
		shown := DSN(u.String()).String()
		if !strings.Contains(shown, "://") {
			return place + " names no database", example
		}
		return place + " names no database", "say which, as in " + shown
	case passwordFile && cmp.Or(u.User.Username(), q.Get("username")) == "":
		return place + " names no user, and there is a password file", example
	case passwordFile && hasPassword(u):
		return place + " has a password in it, and there is a password file", "leave the one in the URL out"
	}
	return "", ""
}

func hasPassword(u *url.URL) bool {
	_, has := u.User.Password()
	return has || u.Query().Has("password")
}
