// SPDX-License-Identifier: Apache-2.0

// Package natsaccess is by what a NATS server is known, and what it knows a
// client by. All of it is in files, so that no secret stands in a URL, in the
// environment or on a command line, where others can read it.
package natsaccess

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"

	"github.com/nats-io/nats.go"
	"github.com/spf13/pflag"

	"github.com/docket-audit/docket/cmd/internal/cli"
	"github.com/docket-audit/docket/internal/regular"
)

// maxPassword is the size of a file that holds a password and nothing else.
const maxPassword = 4 << 10

// An Access is what is needed to connect. What is empty is not used.
type Access struct {
	Creds        string // file with the JWT and the nkey of a user
	CA           string // file with the authorities that the server's certificate is of; with it nothing goes but over TLS
	User         string
	PasswordFile string // of User; read anew for each connection
}

// Flags adds the flags that give an Access.
func (a *Access) Flags(f *pflag.FlagSet) {
	f.StringVar(&a.Creds, "creds", "", "file with credentials for the server")
	f.StringVar(&a.CA, "ca", "", "file with the authorities that its certificate is of")
	f.StringVar(&a.User, "user", "", "user, in place of --creds")
	f.StringVar(&a.PasswordFile, "password-file", "", "file with the password of --user")
}

// Advice is what to do when a server that was named by flags cannot be reached.
const Advice = "name the server with --nats, and credentials with --creds, or --user and --password-file; --ca is for a server of an authority of your own"

// Check says what does not go together.
func (a *Access) Check() error {
	switch {
	case a.User != "" && a.PasswordFile == "":
		return errors.New("a user without a password file")
	case a.PasswordFile != "" && a.User == "":
		return errors.New("a password file without a user")
	case a.Creds != "" && a.User != "":
		return errors.New("credentials and a user: one of them")
	}
	return nil
}

// Options are those of a connection. It fails where a file cannot be read now;
// a password that cannot be read later is the last one that could.
func (a *Access) Options() ([]nats.Option, error) {
	if err := a.Check(); err != nil {
		return nil, err
	}
	var opts []nats.Option
	if a.CA != "" {
		opts = append(opts, nats.RootCAs(a.CA))
	}
	if a.Creds != "" {
		opts = append(opts, nats.UserCredentials(a.Creds))
	}
	if a.User != "" {
		p := &password{file: a.PasswordFile}
		if err := p.read(); err != nil {
			return nil, cli.Hint(err, "it holds the password and nothing else")
		}
		opts = append(opts, nats.UserInfoHandler(func() (string, string) { return a.User, p.now() }))
	}
	return opts, nil
}

// A password may be replaced while the process runs.
type password struct {
	file string

	mu   sync.Mutex
	last string // guarded by mu
}

func (p *password) read() error {
	b, err := regular.ReadAtMost(p.file, maxPassword)
	if err != nil {
		return fmt.Errorf("read the password for NATS: %w", err)
	}
	text := strings.TrimRight(string(b), "\r\n")
	if text == "" {
		return fmt.Errorf("read the password for NATS: %w", &os.PathError{Op: "read", Path: p.file, Err: errors.New("it is empty")})
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.last = text
	return nil
}

func (p *password) now() string {
	_ = p.read() // the last one will be refused, and the connection's log says so
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.last
}
