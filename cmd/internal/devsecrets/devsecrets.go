// SPDX-License-Identifier: Apache-2.0

// Package devsecrets makes the secrets that docker-compose.yml mounts: a
// certificate for the NATS servers, a password for each user, and what the
// servers know the passwords by. Each service gets the files that it needs and
// no other; a server never has a password, only a digest of it.
//
// All are made at once and never again: who wants others removes the old ones.
package devsecrets

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/crypto/bcrypt"

	"github.com/docket-audit/docket/cmd/internal/devcert"
)

// Users are those of NATS, as deploy/nats/accounts.conf has them.
var Users = []string{"operator", "collector", "gateway", "acme", "globex"}

// Hosts are the names by which services reach the NATS servers.
var Hosts = []string{"nats", "nats-1", "nats-2", "nats-3"}

// Lifetime is that of the certificate.
const Lifetime = 365 * 24 * time.Hour

// A File is one of those that are made.
type File struct {
	Name string
	Body []byte
}

// Password is the name of the file with the password of a user of NATS.
func Password(user string) string { return "nats_" + user }

// Make makes all of them.
func Make(now time.Time) ([]File, error) {
	certs, err := devcert.Make(devcert.Order{Hosts: Hosts, Lifetime: Lifetime, Peers: true}, now)
	if err != nil {
		return nil, err
	}
	var files []File
	for _, f := range certs {
		files = append(files, File{"nats_" + f.Name, f.PEM})
	}
	var known strings.Builder
	fmt.Fprintln(&known, "# What NATS knows the passwords of its users by; deploy/nats/accounts.conf says what each may do.")
	for _, user := range Users {
		password := password()
		// The password is 256 bits at random: no number of rounds makes it harder to guess.
		digest, err := bcrypt.GenerateFromPassword(password, bcrypt.MinCost)
		if err != nil {
			return nil, fmt.Errorf("make secrets: %w", err)
		}
		fmt.Fprintf(&known, "%s_PASSWORD: %q\n", strings.ToUpper(user), digest)
		files = append(files, File{Password(user), password})
	}
	files = append(files, File{"nats_users.conf", []byte(known.String())})
	docket, grafana := password(), password()
	return append(files,
		File{"clickhouse_docket", docket},
		File{"clickhouse_grafana", grafana},
		File{"clickhouse_users.xml", fmt.Appendf(nil, clickhouseUsers, sha256.Sum256(docket), sha256.Sum256(grafana))},
		File{"grafana_admin", password()},
	), nil
}

// clickhouseUsers adds to users.xml of the image: docket may do what docs/clickhouse.md
// says and no more; grafana may read the database docket, in queries that are limited;
// and the user that the image comes with is for the container alone. The plugin of Grafana sets max_execution_time for
// each query and nothing else, which the one who only reads may do with that alone.
const clickhouseUsers = `<clickhouse>
  <profiles>
    <grafana>
      <readonly>1</readonly>
      <max_execution_time>60</max_execution_time>
      <max_memory_usage>1000000000</max_memory_usage>
      <max_concurrent_queries_for_user>8</max_concurrent_queries_for_user>
      <constraints>
        <max_execution_time><changeable_in_readonly/></max_execution_time>
      </constraints>
    </grafana>
  </profiles>
  <users>
    <default>
      <networks replace="replace"><ip>127.0.0.1</ip><ip>::1</ip></networks>
    </default>
    <docket>
      <password_sha256_hex>%x</password_sha256_hex>
      <networks><ip>::/0</ip></networks>
      <profile>default</profile>
      <quota>default</quota>
      <grants>
        <query>GRANT SELECT, INSERT, ALTER DELETE, ALTER TTL, ALTER SETTINGS, ALTER INDEX, ALTER PROJECTION, CREATE TABLE, DROP TABLE, CREATE VIEW, DROP VIEW ON docket.*</query>
        <query>GRANT SELECT ON system.tables</query>
        <query>GRANT CREATE TEMPORARY TABLE ON *.*</query>
      </grants>
    </docket>
    <grafana>
      <password_sha256_hex>%x</password_sha256_hex>
      <networks><ip>::/0</ip></networks>
      <profile>grafana</profile>
      <quota>default</quota>
      <grants>
        <query>GRANT SELECT ON docket.*</query>
      </grants>
    </grafana>
  </users>
</clickhouse>
`

func password() []byte {
	b := make([]byte, 32)
	_, _ = rand.Read(b) // never fails
	return base64.RawURLEncoding.AppendEncode(nil, b)
}

// Write makes all of them in dir and reports whether it did: where all are there
// it leaves them. Others of this machine do not get into dir; in it every user
// may read, since each container has another one.
func Write(dir string, now time.Time) (made bool, err error) {
	files, err := Make(now)
	if err != nil {
		return false, err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return false, fmt.Errorf("make secrets: %w", err)
	}
	if err := os.Chmod(dir, 0o700); err != nil { //nolint:gosec // a directory needs its x
		return false, fmt.Errorf("make secrets: %w", err)
	}
	var there []string
	for _, f := range files {
		if _, err := os.Lstat(filepath.Join(dir, f.Name)); !errors.Is(err, fs.ErrNotExist) {
			there = append(there, f.Name)
		}
	}
	switch {
	case len(there) == len(files):
		return false, nil
	case len(there) > 0:
		return false, &SomeThereError{Dir: dir, There: there}
	}
	for _, f := range files {
		name := filepath.Join(dir, f.Name)
		if err := os.WriteFile(name, f.Body, 0o600); err != nil {
			return false, fmt.Errorf("make secrets: %w", err)
		}
		// Whatever the umask says: the directory keeps others out.
		if err := os.Chmod(name, 0o644); err != nil { //nolint:gosec // see above
			return false, fmt.Errorf("make secrets: %w", err)
		}
	}
	return true, nil
}

// A SomeThereError is a directory with some of the files, which would not go
// together with new ones.
type SomeThereError struct {
	Dir   string
	There []string
}

func (e *SomeThereError) Error() string {
	return fmt.Sprintf("make secrets: %s has %s, and lacks others", e.Dir, strings.Join(e.There, ", "))
}

// Hint says what to do.
func (e *SomeThereError) Hint() string {
	return "they belong together: remove these files, and all are made anew"
}
