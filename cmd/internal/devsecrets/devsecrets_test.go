// SPDX-License-Identifier: Apache-2.0

package devsecrets

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/xml"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/crypto/bcrypt"
)

func TestWrite(t *testing.T) {
	defer syscall.Umask(syscall.Umask(0o077)) // as some have it: the users of containers read all the same
	dir := filepath.Join(t.TempDir(), "secrets")
	made, err := Write(dir, time.Now())
	if err != nil || !made {
		t.Fatalf("made %v, %v", made, err)
	}
	info, err := os.Stat(dir)
	if err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("the directory is %v, %v", info.Mode(), err)
	}
	read := func(name string) string {
		t.Helper()
		if info, err := os.Stat(filepath.Join(dir, name)); err != nil || info.Mode().Perm() != 0o644 {
			t.Errorf("%s is %v, %v", name, info.Mode(), err)
		}
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	known := map[string]string{}
	for _, m := range regexp.MustCompile(`(?m)^([A-Z]+)_PASSWORD: "(.+)"$`).FindAllStringSubmatch(read("nats_users.conf"), -1) {
		known[strings.ToLower(m[1])] = m[2]
	}
	seen := map[string]bool{}
	for _, user := range Users {
		password := read(Password(user))
		if seen[password] || len(password) < 40 {
			t.Errorf("%s: the password is of %d characters, or another's", user, len(password))
		}
		seen[password] = true
		if err := bcrypt.CompareHashAndPassword([]byte(known[user]), []byte(password)); err != nil {
			t.Errorf("%s: %v", user, err)
		}
	}
	if len(known) != len(Users) {
		t.Errorf("NATS is told %d users of %d", len(known), len(Users))
	}

	before := read(Password("gateway"))
	if made, err := Write(dir, time.Now()); made || err != nil || read(Password("gateway")) != before {
		t.Errorf("again: made %v, %v", made, err)
	}
	if err := os.Remove(filepath.Join(dir, "nats_ca.pem")); err != nil {
		t.Fatal(err)
	}
	var some *SomeThereError
	if _, err := Write(dir, time.Now()); !errors.As(err, &some) || read(Password("gateway")) != before {
		t.Errorf("with one lost: %v", err)
	}
}

// clickhouse is what a server of ClickHouse is told, and the files beside it.
func clickhouse(t *testing.T) (users map[string]clickhouseUser, profiles map[string]map[string]string, secrets map[string][]byte) {
	t.Helper()
	files, err := Make(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	secrets = map[string][]byte{}
	for _, f := range files {
		secrets[f.Name] = f.Body
	}
	type element struct {
		XMLName xml.Name
		Inner   []struct {
			XMLName xml.Name
			Text    string `xml:",chardata"`
		} `xml:",any"`
	}
	var x struct {
		Profiles struct {
			All []element `xml:",any"`
		} `xml:"profiles"`
		Users struct {
			All []clickhouseUser `xml:",any"`
		} `xml:"users"`
	}
	if err := xml.Unmarshal(secrets["clickhouse_users.xml"], &x); err != nil {
		t.Fatal(err)
	}
	users, profiles = map[string]clickhouseUser{}, map[string]map[string]string{}
	for _, u := range x.Users.All {
		users[u.XMLName.Local] = u
	}
	for _, p := range x.Profiles.All {
		profiles[p.XMLName.Local] = map[string]string{}
		for _, s := range p.Inner {
			profiles[p.XMLName.Local][s.XMLName.Local] = s.Text
		}
	}
	return users, profiles, secrets
}

type clickhouseUser struct {
	XMLName xml.Name
	Digest  string   `xml:"password_sha256_hex"`
	Profile string   `xml:"profile"`
	Grants  []string `xml:"grants>query"`
}

func TestClickHouseKnowsThePasswords(t *testing.T) {
	users, _, secrets := clickhouse(t)
	for _, user := range []string{"docket", "grafana"} {
		password := secrets["clickhouse_"+user]
		if want := sha256.Sum256(password); len(password) < 40 || users[user].Digest != hex.EncodeToString(want[:]) {
			t.Errorf("%s: the digest is %s, of a password of %d characters", user, users[user].Digest, len(password))
		}
	}
	if users["docket"].Digest == users["grafana"].Digest {
		t.Error("both users have one password")
	}
}

// Docket may do what docs/clickhouse.md says that it must be able to and no more, with the profile
// that it needs; Grafana may read, and no profile of its own lets it do more.
func TestClickHouseGrants(t *testing.T) {
	users, profiles, _ := clickhouse(t)
	doc, err := os.ReadFile("../../../docs/clickhouse.md")
	if err != nil {
		t.Fatal(err)
	}
	docket := users["docket"].Grants
	told := regexp.MustCompile(`(?m)^(GRANT .+ ON \S+) TO docket;`).FindAllStringSubmatch(string(doc), -1)
	if len(told) < 3 || len(told) != len(docket) {
		t.Errorf("docs/clickhouse.md has the grants %q", told)
	}
	for _, grant := range told {
		if !slices.Contains(docket, grant[1]) {
			t.Errorf("docket has %q, and not %s", docket, grant[1])
		}
	}
	if users["docket"].Profile != "default" { // its queries have settings of their own
		t.Errorf("docket has the profile %q", users["docket"].Profile)
	}
	if got := users["grafana"].Grants; !slices.Equal(got, []string{"GRANT SELECT ON docket.*"}) {
		t.Errorf("grafana has %q", got)
	}
	if p := profiles[users["grafana"].Profile]; p["readonly"] != "1" || p["max_memory_usage"] == "" || p["max_execution_time"] == "" {
		t.Errorf("grafana has the profile %q: %v", users["grafana"].Profile, p)
	}
}
