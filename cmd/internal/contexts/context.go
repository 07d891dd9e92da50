// SPDX-License-Identifier: Apache-2.0

package contexts

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"regexp"
	"strings"
	"time"

	"github.com/docket-audit/docket/cmd/internal/cli"
)

// A Context is one server.
type Context struct {
	Name string `json:"-"`

	Description string `json:"description,omitempty"`
	URL         string `json:"url"`                  // https://host:port
	Token       string `json:"token,omitempty"`      // sent as bearer
	TokenFile   string `json:"token_file,omitempty"` // where the token is, read at each request
	CA          string `json:"ca,omitempty"`         // PEM of who signs the server's certificate; default what the system trusts
	Cert        string `json:"cert,omitempty"`       // PEM of the client's certificate, and of its key
	Key         string `json:"key,omitempty"`
	Insecure    bool   `json:"insecure,omitempty"` // http:// beyond this machine, without a token
}

var name = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)

// Validate says what cannot be meant.
func (c *Context) Validate() error {
	if !name.MatchString(c.Name) {
		return cli.Usage(cli.Hint(fmt.Errorf("%q is no name for a context", c.Name), "letters, digits, dots, dashes and underscores, such as prod-eu"))
	}
	u, err := url.Parse(c.URL)
	if err != nil || u.Host == "" || u.Hostname() == "" || u.Scheme != "https" && u.Scheme != "http" {
		return cli.Usage(cli.Hint(fmt.Errorf("context %s: %q is not the address of a server", c.Name, c.URL), "give --url https://HOST:PORT"))
	}
	if u.User != nil || u.RawQuery != "" || u.Fragment != "" || strings.Trim(u.Path, "/") != "" {
		return cli.Usage(cli.Hint(fmt.Errorf("context %s: the address has more than a host and a port", c.Name), "give --url https://HOST:PORT, and who asks with --token-file or --cert"))
	}
	switch {
	case c.Token != "" && c.TokenFile != "":
		return cli.Usage(fmt.Errorf("context %s: token and token_file exclude each other", c.Name))
	case strings.ContainsFunc(c.Token, func(r rune) bool { return r <= ' ' || r > '~' }):
		return cli.Usage(fmt.Errorf("context %s: the token has a space or another character that no token has", c.Name))
	case (c.Cert == "") != (c.Key == ""):
		return cli.Usage(fmt.Errorf("context %s: a certificate and its key go together: give --cert and --key", c.Name))
	case c.TLS():
		return nil
	case c.CA != "" || c.Cert != "":
		return cli.Usage(cli.Hint(fmt.Errorf("context %s: http:// has no certificates", c.Name), "write the address with https://"))
	case c.Loopback():
		return nil
	case c.Token != "" || c.TokenFile != "":
		return cli.Usage(cli.Hint(fmt.Errorf("context %s: a token is not sent without TLS beyond this machine", c.Name), "write the address with https://, or go through a tunnel to 127.0.0.1"))
	case !c.Insecure:
		return cli.Usage(cli.Hint(fmt.Errorf("context %s: http:// beyond this machine shows everything to whoever is in between", c.Name), "write the address with https://, or say that you mean it with --insecure"))
	}
	return nil
}

// TLS reports whether the server is asked over TLS.
func (c *Context) TLS() bool { return strings.HasPrefix(strings.ToLower(c.URL), "https://") }

// Target returns the host and port of the server.
func (c *Context) Target() string {
	u, err := url.Parse(c.URL)
	if err != nil {
		return c.URL // refused by Validate
	}
	port := u.Port()
	if port == "" {
		port = "80"
		if c.TLS() {
			port = "443"
		}
	}
	return net.JoinHostPort(u.Hostname(), port)
}

// Loopback reports whether the address names this machine.
func (c *Context) Loopback() bool {
	host, _, err := net.SplitHostPort(c.Target())
	if err != nil {
		return false
	}
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// Bearer returns the token, "" where there is none.
func (c *Context) Bearer() (string, error) {
	if c.TokenFile == "" {
		return c.Token, nil
	}
	b, err := os.ReadFile(c.TokenFile)
	if err != nil {
		return "", cli.Hint(fmt.Errorf("read the token of context %s: %w", c.Name, err), "`docket context add %s --token-file FILE --force` names another", c.Name)
	}
	token := strings.TrimSpace(string(b))
	if token == "" {
		return "", cli.Hint(fmt.Errorf("read the token of context %s: %s is empty", c.Name, c.TokenFile), "write the token into it")
	}
	return token, nil
}

var errNoTime = errors.New("the token says no time")

// Expiry returns when a token says that it ends. It believes the token: only the
// server can tell whether it is a true one.
func Expiry(token string) (time.Time, error) {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return time.Time{}, errNoTime
	}
	b, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return time.Time{}, errNoTime
	}
	var claims struct {
		Exp float64 `json:"exp"`
	}
	if err := json.Unmarshal(b, &claims); err != nil || claims.Exp <= 0 || claims.Exp > 1e12 {
		return time.Time{}, errNoTime
	}
	return time.Unix(int64(claims.Exp), 0), nil
}
