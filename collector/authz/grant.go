// SPDX-License-Identifier: Apache-2.0

package authz

import (
	"context"
	"slices"
	"strings"
	"time"
)

// A Capability is a kind of question that may be asked.
type Capability string

// The capabilities of design and documentation, from the least to the most that
// may be learned or done.
const (
	List   Capability = "list"   // what there is: operations, counts, plans, the ledger
	Read   Capability = "read"   // events, whole
	Tail   Capability = "tail"   // events as they come
	Replay Capability = "replay" // recorded operations through another plan
	SQL    Capability = "sql"    // SELECT over the views
	Admin  Capability = "admin"  // erasure, holds, reload, requeue
)

// Capabilities returns all of them.
func Capabilities() []Capability { return []Capability{List, Read, Tail, Replay, SQL, Admin} }

// Everywhere is the prefix that covers all tenants.
const Everywhere = "/"

// How a caller was known.
const (
	ByToken       = "jwt"
	ByCertificate = "mtls"
	BySecret      = "secret"   // the token in the data directory
	BySocket      = "socket"   // whoever can open DIR/docket.sock
	ByLoopback    = "loopback" // a program on this machine, in the demo
	ByDirectory   = "directory"
)

// A Grant is who asks, and what they may do and see. The zero Grant may nothing.
// It is immutable once it is given to others.
type Grant struct {
	Subject string // the claim sub, the certificate's name, or what stands for it
	Issuer  string // the claim iss, or the certificate's issuer; "" where there is none
	By      string // how the caller was known: ByToken, ...

	Capabilities []Capability
	Prefixes     []string
	Expires      time.Time // streams end then; zero is never
}

// Trusted is the grant of those who need no authorization, such as whoever can
// open the socket in the data directory.
func Trusted(subject, by string) *Grant {
	return &Grant{Subject: subject, By: by, Capabilities: Capabilities(), Prefixes: []string{Everywhere}}
}

// May returns an error that is [ErrDenied] when the grant lacks the capability;
// of a caller without a token it is [ErrUnauthenticated].
func (g *Grant) May(c Capability) error {
	if slices.Contains(g.Capabilities, c) {
		return nil
	}
	if g.By == ByLoopback { // who shows no token is nobody yet
		return &Error{Err: ErrUnauthenticated, Reason: "without a token there is no capability " + string(c), Advice: "send `Authorization: Bearer TOKEN` with the token in keys/api.token of the data directory"}
	}
	return &Error{Err: ErrDenied, Reason: "the capability " + string(c) + " is missing", Advice: "ask for a token with cap " + string(c) + " (`docket token --cap`)"}
}

// Covers reports whether events of the tenant may be seen; of [Everywhere], whether
// those of all may.
func (g *Grant) Covers(tenant string) bool {
	return slices.ContainsFunc(g.Prefixes, func(p string) bool { return covers(p, tenant) })
}

// covers is the rule of prefixes; see the package comment.
func covers(prefix, tenant string) bool {
	if prefix == Everywhere {
		return true
	}
	prefix = strings.TrimSuffix(prefix, "/")
	if prefix == "" || tenant == "" || tenant == Everywhere {
		return false
	}
	rest, ok := strings.CutPrefix(tenant, prefix)
	return ok && (rest == "" || rest[0] == '/')
}

// A View is whose events a request sees. The zero View sees nothing.
type View struct {
	grant   *Grant
	include []string // tenants that were named; empty: all that the grant covers
	exclude []string
}

// View returns what a request sees that names tenants to include and to exclude.
// A tenant that is named covers what lies below it at a "/" too. The error is
// [ErrDenied] and names the tenant that the grant does not cover, or that is none.
func (g *Grant) View(include, exclude []string) (View, error) {
	for _, tenant := range include {
		switch {
		case tenant == Everywhere: // it is a prefix, and selecting by it would show nothing
			return View{}, &Error{Err: ErrDenied, Reason: quoted(tenant) + " is no tenant", Advice: "name none, and all are shown that the token's prefixes cover"}
		case !g.Covers(tenant):
			return View{}, &Error{Err: ErrDenied, Reason: "the tenant " + quoted(tenant) + " is not covered", Advice: "the token's prefixes say which tenants are"}
		}
	}
	if len(include) == 0 && len(exclude) > 0 && !slices.Contains(g.Prefixes, Everywhere) {
		return View{}, &Error{Err: ErrDenied, Reason: "what is excluded grants nothing", Advice: "name the tenants that are to be seen"}
	}
	return View{grant: g, include: slices.Clone(include), exclude: slices.Clone(exclude)}, nil
}

// Sees reports whether an event of the tenant may be in the answer.
func (v View) Sees(tenant string) bool {
	if v.grant == nil || !v.grant.Covers(tenant) {
		return false
	}
	named := func(list []string) bool {
		return slices.ContainsFunc(list, func(p string) bool { return p != Everywhere && covers(p, tenant) })
	}
	return (len(v.include) == 0 || named(v.include)) && !named(v.exclude)
}

// All reports whether every event is seen.
func (v View) All() bool {
	return v.grant != nil && slices.Contains(v.grant.Prefixes, Everywhere) && len(v.include) == 0 && len(v.exclude) == 0
}

type grantKey struct{}

// NewContext returns a context that carries who asks.
func NewContext(ctx context.Context, g *Grant) context.Context {
	return context.WithValue(ctx, grantKey{}, g)
}

// FromContext returns who asks. Where nobody was put in, it is the zero Grant,
// which may nothing.
func FromContext(ctx context.Context) *Grant {
	if g, ok := ctx.Value(grantKey{}).(*Grant); ok {
		return g
	}
	return new(Grant)
}
