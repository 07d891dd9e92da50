// SPDX-License-Identifier: Apache-2.0

package contexts

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/docket-audit/docket/cmd/internal/cli"
)

// A Store is the directory in which contexts are.
type Store struct{ Dir string }

const currentFile = "current"

// Open returns the store of this user: docket/contexts in $XDG_CONFIG_HOME, or
// where the system keeps configuration. It need not exist.
func Open() (Store, error) {
	base := os.Getenv("XDG_CONFIG_HOME")
	if base == "" || !filepath.IsAbs(base) { // as the specification has it
		var err error
		if base, err = os.UserConfigDir(); err != nil {
			return Store{}, cli.Hint(fmt.Errorf("find the contexts: %w", err), "set XDG_CONFIG_HOME")
		}
	}
	return Store{Dir: filepath.Join(base, "docket", "contexts")}, nil
}

func (s Store) file(name string) string { return filepath.Join(s.Dir, name+".json") }

// Names returns the names of all contexts, sorted.
func (s Store) Names() ([]string, error) {
	entries, err := os.ReadDir(s.Dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list contexts: %w", err)
	}
	var names []string
	for _, e := range entries {
		if n, ok := strings.CutSuffix(e.Name(), ".json"); ok && name.MatchString(n) {
			names = append(names, n)
		}
	}
	slices.Sort(names)
	return names, nil
}

// Load returns a context.
func (s Store) Load(called string) (Context, error) {
	c := Context{Name: called}
	if !name.MatchString(called) {
		return c, s.none(called)
	}
	b, err := os.ReadFile(s.file(called))
	if errors.Is(err, fs.ErrNotExist) {
		return c, s.none(called)
	}
	if err != nil {
		return c, fmt.Errorf("read context %s: %w", called, err)
	}
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.DisallowUnknownFields() // a typo in "token_file" would ask as nobody
	if err := dec.Decode(&c); err != nil {
		return c, cli.Hint(fmt.Errorf("read context %s: %s: %w", called, s.file(called), err), "`docket context add %s --force` writes it anew", called)
	}
	return c, c.Validate()
}

// none says that there is no such context, and which there are.
func (s Store) none(called string) error {
	err := fmt.Errorf("there is no context %q", called)
	names, lerr := s.Names()
	switch {
	case lerr != nil:
		return errors.Join(err, lerr)
	case len(names) == 0:
		return cli.Usage(cli.Hint(err, "make one: docket context add NAME --url https://HOST:PORT"))
	}
	return cli.Usage(cli.Hint(err, "there are: %s", strings.Join(names, ", ")))
}

// Save writes a context; with force over one of the same name.
func (s Store) Save(c Context, force bool) error {
	if err := c.Validate(); err != nil {
		return err
	}
	if _, err := os.Lstat(s.file(c.Name)); err == nil && !force {
		return cli.Usage(cli.Hint(fmt.Errorf("there is a context %s already", c.Name), "--force writes it anew, `docket context show %s` shows it", c.Name))
	}
	b, err := json.MarshalIndent(c, "", "  ")
	if err != nil {
		return fmt.Errorf("write context %s: %w", c.Name, err)
	}
	return s.write(s.file(c.Name), append(b, '\n'))
}

// Remove takes a context away, and with it that it is the current one.
func (s Store) Remove(called string) error {
	if _, err := os.Lstat(s.file(called)); !name.MatchString(called) || errors.Is(err, fs.ErrNotExist) {
		return s.none(called)
	}
	if current, err := s.Current(); err == nil && current == called {
		if err := s.Use(""); err != nil {
			return err
		}
	}
	if err := os.Remove(s.file(called)); err != nil {
		return fmt.Errorf("remove context %s: %w", called, err)
	}
	return nil
}

// Current returns the name of the context that is asked where nothing else is
// said; "" is none.
func (s Store) Current() (string, error) {
	b, err := os.ReadFile(filepath.Join(s.Dir, currentFile))
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("read which context is the current one: %w", err)
	}
	return strings.TrimSpace(string(b)), nil
}

// Use makes a context the current one; "" is none.
func (s Store) Use(called string) error {
	if called == "" {
		if err := os.Remove(filepath.Join(s.Dir, currentFile)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("use no context: %w", err)
		}
		return nil
	}
	if _, err := s.Load(called); err != nil {
		return err
	}
	return s.write(filepath.Join(s.Dir, currentFile), []byte(called+"\n"))
}

// write puts a file in its place as a whole, for nobody else to read: what is
// there already may have a mode of its own.
func (s Store) write(file string, b []byte) error {
	if err := os.MkdirAll(s.Dir, 0o700); err != nil {
		return fmt.Errorf("write %s: %w", file, err)
	}
	f, err := os.CreateTemp(s.Dir, ".new-*") // mode 0600
	if err != nil {
		return fmt.Errorf("write %s: %w", file, err)
	}
	_, err = f.Write(b)
	err = errors.Join(err, f.Close())
	if err == nil {
		err = os.Rename(f.Name(), file)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("write %s: %w", file, err), os.Remove(f.Name()))
	}
	return nil
}
