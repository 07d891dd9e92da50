// SPDX-License-Identifier: Apache-2.0

package config

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/docket-audit/docket/cmd/internal/cli"
)

// However the URL of a store is given, and whatever is wrong with it, its password is
// told to nobody.
func TestStorePassword(t *testing.T) {
	for _, url := range []string{
		"clickhouse://u:s3cret@h:9000/d", "clickhouse://u:s3cret@h:9000,i:9000/d?secure=true", "http://h:8123/d?username=u&password=s3cret", "https://u:a%2Fs3cret@h/d",
		"clickhouse://u:a,s3cret@h/d", "clickhouse://u:12/s3cret@h/d", "clickhouse://u:12?s3cret@h/d", "clickhouse://u:12#s3cret@h/d", "clickhouse://u:s3cret@h", "clickhouse:u:s3cret@h/d",
		"mysql://u:s3cret@h/d", "clickhouse://u:s3cret\x7f@h/d", "u:s3cret@h/d", "clickhouse://u:s3cret@h:x/d", "s3cret",
	} {
		for how, load := range map[string]func() (*Config, error){
			"flag":        func() (*Config, error) { return Load("", nil, []string{"store.url=" + url}) },
			"variable":    func() (*Config, error) { return Load("", []string{"DOCKET_STORE_URL=" + url}, nil) },
			"typo":        func() (*Config, error) { return Load("", nil, []string{"store.ulr=" + url}) },
			"with a file": func() (*Config, error) { return Load("", nil, []string{"store.url=" + url, "store.password_file=p"}) },
		} {
			if how == "typo" && !strings.Contains(url, "://") {
				continue // it is not known to be a URL
			}
			c, err := load()
			said := fmt.Sprintf("%v %+v %s", err, err, hintOf(err))
			if c != nil {
				all, err := c.Explain()
				said += fmt.Sprint(all, err) + fmt.Sprintf("%v %+v %#v", c.Store, c.Store, c.Store)
			}
			if strings.Contains(said, "s3cret") {
				t.Errorf("%s %q tells %s", how, url, said)
			}
		}
	}
	if got := DSN("clickhouse://u:s3cret@h:9000,i:9000/d?secure=true").String(); got != "clickhouse://u@h:9000,i:9000/d" {
		t.Errorf("shown as %s", got)
	}
	for from, want := range map[DSN]string{
		"https://u@h:8443/d?x=y":        "https://u:a%2Fb%40c@h:8443/d?x=y",
		"https://h:8443/d?username=u":   "https://u:a%2Fb%40c@h:8443/d",
		"clickhouse://u@h:9000,i:9/d":   "clickhouse://u:a%2Fb%40c@h:9000,i:9/d",
		"clickhouse://u:old@h:9000/d?y": "clickhouse://u:a%2Fb%40c@h:9000/d?y=",
	} {
		if with, err := from.WithPassword("a/b@c"); err != nil || string(with) != want {
			t.Errorf("with a password: %s, %v, want %s", string(with), err, want)
		}
	}
	file := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(file, []byte("s3cret\r\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if with, err := DSN("http://u@h/d").WithPasswordOf(file); err != nil || string(with) != "http://u:s3cret@h/d" {
		t.Errorf("with that of a file: %s, %v", string(with), err)
	}
	if _, err := DSN("http://u@h/d").WithPasswordOf(file + "x"); !errors.Is(err, os.ErrNotExist) || hintOf(err) == "" {
		t.Errorf("with that of a file that is not there: %v", err)
	}
}

func hintOf(err error) string {
	var h interface{ Hint() string }
	if errors.As(err, &h) {
		return h.Hint()
	}
	return ""
}

func TestStoreConfig(t *testing.T) {
	for set, ok := range map[string]bool{
		"store.url=clickhouse://u@h:9000/d": true, "store.url=": true, "store.cluster=c": false, "store.password_file=f": false,
		"store.url=clickhouse://u@h:9000": false, "store.url=postgres://u@h/d": false,
		"store.url=clickhouse://u@h/d store.password_file=f": true, "store.url=clickhouse://h/d store.password_file=f": false, "store.url=clickhouse://u:p@h/d store.password_file=f": false,
	} {
		_, err := Load("", nil, strings.Fields(set))
		var wrong *Error
		if ok != (err == nil) || err != nil && (!errors.As(err, &wrong) || wrong.Hint() == "") {
			t.Errorf("%s: %v", set, err)
		}
		var exit *cli.Exit
		if !ok && (!errors.As(err, &exit) || exit.Code != cli.ExitUsage) {
			t.Errorf("%s: %v is not wrong usage of --set", set, err)
		}
		var environ []string
		for _, kv := range strings.Fields(set) {
			key, value, _ := strings.Cut(kv, "=")
			environ = append(environ, Variable(key)+"="+value)
		}
		exit = nil
		if _, err := Load("", environ, nil); ok != (err == nil) || errors.As(err, &exit) {
			t.Errorf("%s, by the environment: %v", set, err)
		}
	}
	// What would be another database than the one that was meant is refused, by name.
	for url, hint := range map[DSN]string{
		"clickhouse://u:p@h:9000": "clickhouse://u@h:9000/docket", "https://u@h:8443/?secure=true": "https://u@h:8443/docket", "http://h:8123/?database=d": "", "http://h:8123/d": "",
	} {
		err := CheckStore("--store", url, false)
		if (err == nil) != (hint == "") || !strings.Contains(hintOf(err), hint) || err != nil && !strings.Contains(err.Error(), "--store names no database") {
			t.Errorf("%s: %v, hint %q", url, err, hintOf(err))
		}
	}
	file := filepath.Join(t.TempDir(), "docket.toml")
	if err := os.WriteFile(file, []byte("[store]\nurl = \"clickhouse://u@h/d\"\npassword_file = \"p\"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if c, err := Load(file, nil, nil); err != nil || c.Store.PasswordFile != filepath.Join(filepath.Dir(file), "p") {
		t.Errorf("%+v, %v", c, err)
	}
}
