// SPDX-License-Identifier: Apache-2.0

package contexts

import (
	"encoding/base64"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/docket-audit/docket/cmd/internal/cli"
)

func TestStore(t *testing.T) {
	t.Setenv("XDG_CONFIG_HOME", t.TempDir())
	s, err := Open()
	if err != nil {
		t.Fatal(err)
	}
	if names, err := s.Names(); err != nil || names != nil {
		t.Fatalf("before the first: %v, %v", names, err)
	}
	prod := Context{Name: "prod", Description: "eu", URL: "https://audit.example:8443", Token: "secret"}
	dev := Context{Name: "dev", URL: "http://127.0.0.1:8080"}
	for _, c := range []Context{prod, dev} {
		if err := s.Save(c, false); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Save(dev, false); err == nil {
		t.Error("one of the same name was written over")
	}
	if err := s.Save(dev, true); err != nil {
		t.Error(err)
	}
	info, err := os.Stat(filepath.Join(os.Getenv("XDG_CONFIG_HOME"), "docket", "contexts", "prod.json"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if dir, err := os.Stat(s.Dir); err != nil || dir.Mode().Perm() != 0o700 {
		t.Errorf("mode of the directory %v, %v", dir.Mode(), err)
	}
	got, err := s.Load("prod")
	if diff := cmp.Diff(prod, got); err != nil || diff != "" {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
	if names, err := s.Names(); err != nil || cmp.Diff([]string{"dev", "prod"}, names) != "" {
		t.Errorf("%v, %v", names, err)
	}
	if current, err := s.Current(); err != nil || current != "" {
		t.Errorf("current %q, %v", current, err)
	}
	if err := s.Use("nowhere"); err == nil || !strings.Contains(hint(err), "dev, prod") {
		t.Errorf("%v, hint %q", err, hint(err))
	}
	if err := s.Use("prod"); err != nil {
		t.Fatal(err)
	}
	if err := s.Remove("prod"); err != nil {
		t.Fatal(err)
	}
	if current, err := s.Current(); err != nil || current != "" {
		t.Errorf("after its end the current context is %q, %v", current, err)
	}
	for _, called := range []string{"prod", "../dev", "", "dev/../dev"} {
		if err := s.Remove(called); err == nil {
			t.Errorf("removed %q", called)
		}
		if _, err := s.Load(called); err == nil {
			t.Errorf("loaded %q", called)
		}
	}
	if err := os.WriteFile(s.file("typo"), []byte(`{"url":"https://a:1","token_fil":"x"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Load("typo"); err == nil || !strings.Contains(err.Error(), "token_fil") {
		t.Errorf("a typo: %v", err)
	}
}

func TestValidate(t *testing.T) {
	for _, tc := range []struct {
		name string
		c    Context
		want string // "" is fine
	}{
		{"https", Context{URL: "https://audit.example:8443", Token: "t"}, ""},
		{"default port", Context{URL: "https://audit.example"}, ""},
		{"loopback", Context{URL: "http://127.0.0.1:8080", Token: "t"}, ""},
		{"loopback by name", Context{URL: "http://localhost:8080/", Token: "t"}, ""},
		{"loopback of six", Context{URL: "http://[::1]:8080", Token: "t"}, ""},
		{"clear", Context{URL: "http://audit.example:8080"}, "whoever is in between"},
		{"clear and meant", Context{URL: "http://audit.example:8080", Insecure: true}, ""},
		{"clear, meant, with a token", Context{URL: "http://audit.example:8080", Insecure: true, Token: "t"}, "not sent without TLS"},
		{"clear, meant, with a token in a file", Context{URL: "http://audit.example:8080", Insecure: true, TokenFile: "t"}, "not sent without TLS"},
		{"looks like loopback", Context{URL: "http://127.0.0.1.example:8080", Token: "t"}, "not sent without TLS"},
		{"who asks in the address", Context{URL: "https://alice:secret@audit.example"}, "more than a host and a port"},
		{"a path", Context{URL: "https://audit.example/docket"}, "more than a host and a port"},
		{"no scheme", Context{URL: "audit.example:8443"}, "not the address"},
		{"another scheme", Context{URL: "ftp://audit.example:8443"}, "not the address"},
		{"two tokens", Context{URL: "https://a:1", Token: "t", TokenFile: "f"}, "exclude each other"},
		{"a line break in the token", Context{URL: "https://a:1", Token: "t\nx: y"}, "no token has"},
		{"half a pair", Context{URL: "https://a:1", Cert: "c"}, "go together"},
		{"certificates without TLS", Context{URL: "http://127.0.0.1:1", CA: "c"}, "no certificates"},
		{"no name", Context{Name: "../x", URL: "https://a:1"}, "no name"},
	} {
		c := tc.c
		if c.Name == "" {
			c.Name = "x"
		}
		err := c.Validate()
		if (err == nil) != (tc.want == "") || err != nil && !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v, want %q", tc.name, err, tc.want)
		}
		var exit *cli.Exit
		if err != nil && (!errors.As(err, &exit) || exit.Code != cli.ExitUsage) {
			t.Errorf("%s: %v is not one of usage", tc.name, err)
		}
	}
}

func TestBearer(t *testing.T) {
	file := filepath.Join(t.TempDir(), "token")
	c := Context{Name: "x", TokenFile: file}
	if _, err := c.Bearer(); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
	for text, want := range map[string]string{"one\n": "one", "two": "two", " \n": ""} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if got, err := c.Bearer(); got != want || (err == nil) != (want != "") {
			t.Errorf("%q: %q, %v", text, got, err)
		}
	}
}

func TestExpiry(t *testing.T) {
	token := func(claims string) string {
		return "e30." + base64.RawURLEncoding.EncodeToString([]byte(claims)) + ".c2ln"
	}
	if at, err := Expiry(token(`{"exp":1793000000}`)); err != nil || at.Unix() != 1793000000 {
		t.Errorf("%v, %v", at, err)
	}
	for _, text := range []string{"", "opaque", token(`{}`), token(`{"exp":"soon"}`), token(`{"exp":1e300}`), "a.!.c"} {
		if at, err := Expiry(text); err == nil {
			t.Errorf("%q ends %v", text, at)
		}
	}
}

func hint(err error) string {
	var h interface{ Hint() string }
	if errors.As(err, &h) {
		return h.Hint()
	}
	return ""
}
