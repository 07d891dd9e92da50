// SPDX-License-Identifier: Apache-2.0

package config

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
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
			said := fmt.Sprintf("%v %+v", err, err)
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
	with, err := DSN("https://u@h:8443/d?x=y").WithPassword("a/b@c")
	if err != nil || string(with) != "https://u:a%2Fb%40c@h:8443/d?x=y" {
		t.Errorf("with a password: %s, %v", string(with), err)
	}
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
	}
	file := filepath.Join(t.TempDir(), "docket.toml")
	if err := os.WriteFile(file, []byte("[store]\nurl = \"clickhouse://u@h/d\"\npassword_file = \"p\"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if c, err := Load(file, nil, nil); err != nil || c.Store.PasswordFile != filepath.Join(filepath.Dir(file), "p") {
		t.Errorf("%+v, %v", c, err)
	}
}
