// SPDX-License-Identifier: Apache-2.0

package clickhouse

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"syscall"

	"github.com/ClickHouse/clickhouse-go/v2"

	"github.com/docket-audit/docket/collector/store"
)

var (
	// ErrClosed says that the store was closed.
	ErrClosed = errors.New("the store is closed")
	// ErrNewer says that a newer program made the tables.
	ErrNewer = errors.New("the tables are of a newer version")
	// ErrSettings says that the user has settings with which a commit is not safe, or an
	// answer may not be all of it.
	ErrSettings = errors.New("the settings of the user make commits or answers unsafe")
	// ErrNoStore says that the database has none of the tables.
	ErrNoStore = errors.New("the database has no store")
	// ErrSilent says that the server takes connections, and does not answer.
	ErrSilent = errors.New("the server says nothing")
)

// An Error is one that a human must act on.
type Error struct {
	Op, Addr string // Addr is host, port and database, without who asks
	Err      error
	hint     string
	passes   bool
}

func (e *Error) Error() string { return fmt.Sprintf("%s %s: %v", e.Op, e.Addr, e.Err) }

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Elsewhere says that a server is spoken of whose place is not for everybody.
func (*Error) Elsewhere() {}

// Hint tells what to do about it; "" when there is nothing to say.
func (e *Error) Hint() string { return e.hint }

// Passes reports whether the server cannot answer for now, as far as that can be told:
// what was to be stored can be stored later by who still has it.
func (e *Error) Passes() bool { return e.passes }

// hints are by the code of a server's exception.
var hints = map[int32]string{
	60:  "a table is missing; opening the store for writing makes those that there are to be",
	81:  "there is no such database; CREATE DATABASE makes it",
	115: "the server does not know a setting that is needed; it is too old, or one in the URL is misspelt",
	159: "the server took too long; try again when it has less to do",
	164: "the user in the URL may only read; storing events takes one that may write, reading does not",
	192: "the server does not know the user in the URL",
	193: "the server does not take the user or the password in the URL",
	194: "the server wants a password; put one into a file, or into the URL",
	241: "the server is out of memory; try again when it has less to do, or more of it",
	242: "the server has put the table in read-only mode; it has lost its Keeper",
	243: "make room on the server's disk",
	252: "the server merges slower than events come; let the collector flush less often",
	285: "too few replicas answer; look at those that are away",
	497: "the user in the URL may not do this; docs/clickhouse.md lists the grants",
	516: "the server does not take the user or the password in the URL",
}

// passing are the codes of what ends when the server has time, room or company again.
var passing = map[int32]bool{159: true, 241: true, 243: true, 285: true}

func passes(err error) bool {
	var refused *clickhouse.Exception
	if errors.As(err, &refused) {
		return passing[refused.Code]
	}
	return errors.Is(err, ErrClock) || errors.Is(err, ErrSilent) || away(err) || late(err)
}

// late says of an error that nobody answered in time. So it is with a server of HTTP,
// which waits for more; the driver has two clocks for that.
func late(err error) bool {
	return errors.Is(err, clickhouse.ErrAcquireConnTimeout) || errors.Is(err, os.ErrDeadlineExceeded)
}

// away says of an error that there is nobody, or nobody any more: a connection that was
// kept, or an answer that was begun, just ends then.
func away(err error) bool {
	var opErr *net.OpError
	var dnsErr *net.DNSError
	return !errors.As(err, &dnsErr) && (errors.As(err, &opErr) || errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, syscall.ECONNRESET) ||
		errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF))
}

func hintFor(err error) string {
	var refused *clickhouse.Exception
	var dnsErr *net.DNSError
	switch {
	case errors.Is(err, ErrNewer):
		return "use a newer docket, or another database"
	case errors.Is(err, ErrSettings):
		return "take them out of the profile of the user, or of the URL"
	case errors.Is(err, ErrNoStore):
		return "name the database that a collector fills, or let one fill this"
	case errors.Is(err, ErrCorrupt):
		return "the tables were changed by somebody else; put them back from a copy"
	case errors.Is(err, ErrClock):
		return "set the clock of this machine, or of the server"
	case errors.Is(err, ErrSilent):
		return "the server takes connections: is it stopped, or has it too much to do?"
	case errors.Is(err, store.ErrFenced):
		return "another collector fills this store; this one must not write any more"
	case errors.As(err, &refused):
		return hints[refused.Code]
	case errors.Is(err, http.ErrSchemeMismatch):
		return "the server speaks no TLS there; look at the scheme and the port of the URL"
	case errors.As(err, &dnsErr):
		return "no such host; look at the URL"
	case late(err):
		return "no server answers there in time: is the port that of the scheme? clickhouse:// is for the native protocol, http:// and https:// for HTTP"
	case away(err):
		return "no server answers there; is it up, and is the URL the right one?"
	default:
		return ""
	}
}

// failed makes an [Error] of err with the hint that fits the cause, and without what
// is secret.
func (s *server) failed(op string, err error) error {
	if err == nil {
		return nil
	}
	return &Error{Op: op, Addr: s.addr, Err: s.redact(err), hint: hintFor(err), passes: passes(err)}
}

// redact returns err, or where its text has a password, an error without. What it is
// can be asked as before, but it cannot be unwrapped.
func (s *server) redact(err error) error {
	text := err.Error()
	for _, secret := range s.secrets {
		text = strings.ReplaceAll(text, secret, "***")
	}
	if text == err.Error() {
		return brief(err)
	}
	return &redacted{brief(errors.New(text)).Error(), err}
}

type redacted struct {
	text string
	err  error
}

func (r *redacted) Error() string { return r.text }

// known are what callers may ask an error for.
var known = []error{
	store.ErrFenced, store.ErrUnfit, ErrClosed, ErrCorrupt, ErrNewer, ErrNoStore, ErrSettings, ErrClock, ErrSilent, context.Canceled, context.DeadlineExceeded,
}

// Is reports whether it is one of those that callers decide by.
func (r *redacted) Is(target error) bool {
	for _, k := range known {
		if k == target {
			return errors.Is(r.err, target)
		}
	}
	return false
}

// secretsOf returns what must not be told, as it is and as URLs have it.
func secretsOf(o *clickhouse.Options) []string {
	passwords := []string{o.Auth.Password}
	if o.HTTPProxyURL != nil {
		p, _ := o.HTTPProxyURL.User.Password()
		passwords = append(passwords, p)
	}
	var out []string
	for _, p := range passwords {
		if p != "" {
			_, escaped, _ := strings.Cut(url.UserPassword("", p).String(), ":")
			out = append(out, p, escaped, url.QueryEscape(p), url.PathEscape(p), fmt.Sprintf("%q", p))
		}
	}
	return out
}
