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

func TestClickHouseKnowsThePassword(t *testing.T) {
	files, err := Make(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	var password, users []byte
	for _, f := range files {
		switch f.Name {
		case "clickhouse_docket":
			password = f.Body
		case "clickhouse_users.xml":
			users = f.Body
		}
	}
	var x struct {
		Users struct {
			Docket struct {
				Digest string `xml:"password_sha256_hex"`
			} `xml:"docket"`
		} `xml:"users"`
	}
	if err := xml.Unmarshal(users, &x); err != nil {
		t.Fatal(err)
	}
	if want := sha256.Sum256(password); x.Users.Docket.Digest != hex.EncodeToString(want[:]) {
		t.Errorf("the digest is %s", x.Users.Docket.Digest)
	}
}
