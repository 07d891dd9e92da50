// SPDX-License-Identifier: Apache-2.0

package config

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/docket-audit/docket/internal/strictoml"
)

// A List is an array of texts in the file, and one text with commas between them in
// the environment and in flags.
type List []string

// A Certificate is one [[auth.certificates]]: who is known by a client's certificate.
type Certificate struct {
	strictoml.Pos `koanf:"-"`

	Name         string   `koanf:"name"         toml:"name"`
	Subject      string   `koanf:"subject"      toml:"subject"` // default: the name
	Capabilities []string `koanf:"capabilities" toml:"capabilities"`
	Prefixes     []string `koanf:"prefixes"     toml:"prefixes"`
}

// Capabilities are the words of package authz, which a gateway does not have.
var Capabilities = []string{"list", "read", "tail", "replay", "sql", "admin"}

// check says what is wrong with the table, while it is known where it stands.
func (c *Certificate) check() error {
	if strings.TrimSpace(c.Name) == "" {
		return c.Errorf("name", "the URI, the mail address or the DNS name that the certificate has", "name is missing in a certificate of auth")
	}
	if len(c.Capabilities) == 0 {
		return c.Errorf("capabilities", "some of "+strings.Join(Capabilities, ", "), "capabilities is missing or empty: %q could do nothing", c.Name)
	}
	for _, name := range c.Capabilities {
		if slices.Contains(Capabilities, name) {
			continue
		}
		hint := "one of " + strings.Join(Capabilities, ", ")
		if near := strictoml.Suggest(name, Capabilities); near != "" {
			hint = fmt.Sprintf("did you mean %q?", near)
		}
		return c.Errorf("capabilities", hint, "there is no capability %q", name)
	}
	if len(c.Prefixes) == 0 || slices.Contains(c.Prefixes, "") {
		return c.Errorf("prefixes", `name tenants; "acme" covers acme and what is below it at a /, and "/" all`, "prefixes is missing, or one is empty: %q would see nothing by it", c.Name)
	}
	return nil
}

func isURL(text string) bool { return strings.Contains(text, "://") }

// checkDoors says what of [api] and [auth] does not go together, wherever it was
// given.
func (c *Config) checkDoors() error {
	file := c.File
	if file == "" {
		file = "configuration"
	}
	wrong := func(advice, format string, args ...any) error {
		return &Error{File: file, Err: fmt.Errorf(format, args...), Advice: advice}
	}
	api, auth := &c.API, &c.Auth
	switch {
	case api.TLSCert != "" && api.TLSKey == "":
		return wrong("give the file with the certificate's private key; `docket cert` makes both for this machine", "[api] has tls_cert and no tls_key")
	case api.TLSCert == "" && api.TLSKey != "":
		return wrong("give the file with the key's certificate; `docket cert` makes both for this machine", "[api] has tls_key and no tls_cert")
	case api.TLSCert == "" && api.ClientCA != "":
		return wrong("certificates of clients are shown in TLS: give tls_cert and tls_key too", "[api] has client_ca and no tls_cert")
	case api.TLSCert == "" && api.Hostname != "":
		return wrong("it is what the certificate must be for: give tls_cert and tls_key too", "[api] has hostname and no tls_cert")
	case api.TLSCert != "" && api.Insecure:
		return wrong("insecure is for a listener without TLS: leave it out", "[api] has both tls_cert and insecure")
	case len(auth.Certificates) > 0 && api.ClientCA == "":
		return wrong("client_ca in [api] says which authorities they must be of", "[[auth.certificates]] are listed, and [api] has no client_ca")
	case slices.Contains(auth.HS256Keys, ""):
		return wrong("name files, as in hs256_keys = [\"tokens.hs256\"]", "[auth] hs256_keys has an empty name")
	}
	if isURL(auth.JWKS) {
		if u, err := url.Parse(auth.JWKS); err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil {
			return wrong("what is fetched otherwise could be anybody's keys", "[auth] jwks is neither a file nor an https URL without a password")
		}
	}
	for _, o := range api.CORSOrigins {
		if err := checkOrigin(o); err != nil {
			return wrong("an origin is written as browsers do: https://HOST or https://HOST:PORT, in lower case, and nothing behind it", "[api] cors_origins: %q: %w", o, err)
		}
	}
	return nil
}

// checkOrigin finds what is most often wrong; package authz has the last word.
func checkOrigin(o string) error {
	u, err := url.Parse(o)
	switch {
	case strings.Contains(o, "*"):
		return errors.New("there are no patterns")
	case err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" || o != u.Scheme+"://"+u.Host:
		return errors.New("it is no origin")
	}
	return nil
}
