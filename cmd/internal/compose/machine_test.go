// SPDX-License-Identifier: Apache-2.0

package compose_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/compose-spec/compose-go/v2/types"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/docket-audit/docket/cmd/internal/compose"
	"github.com/docket-audit/docket/cmd/internal/devsecrets"
	"github.com/docket-audit/docket/cmd/internal/natsaccess"
	"github.com/docket-audit/docket/internal/natstest"
	"github.com/docket-audit/docket/internal/stream"
)

// A machine has what an engine would give to the containers of one profile: for
// each service a directory that is its root, with the files that are mounted, the
// secrets that it was granted and no others, and its volumes.
type machine struct {
	*compose.Project
	t       *testing.T
	dir     string
	secrets string
	// addresses are where services listen here, by NAME:PORT.
	addresses map[string]string
}

func newMachine(t *testing.T, profile string) *machine {
	t.Helper()
	p, err := compose.Load(t.Context(), ".", profile)
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "dc") // short enough for sockets
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	m := &machine{Project: p, t: t, dir: dir, secrets: filepath.Join(dir, "secrets"), addresses: map[string]string{}}
	if made, err := devsecrets.Write(m.secrets, time.Now()); err != nil || !made {
		t.Fatalf("made secrets: %v, %v", made, err)
	}
	for _, s := range p.Services {
		m.mount(&s)
	}
	return m
}

// root is the root of a service.
func (m *machine) root(s *types.ServiceConfig) string { return filepath.Join(m.dir, "root", s.Name) }

// mount lays a service's files under its root.
func (m *machine) mount(s *types.ServiceConfig) {
	m.t.Helper()
	for _, secret := range s.Secrets {
		m.lay(filepath.Join(m.secrets, filepath.Base(m.Secrets[secret.Source].File)), m.root(s)+compose.SecretTarget(&secret), nil)
	}
	for _, v := range s.Volumes {
		if v.Type != types.VolumeTypeBind {
			if err := os.MkdirAll(m.path(s, v.Target), 0o700); err != nil {
				m.t.Fatal(err)
			}
			continue
		}
		err := filepath.WalkDir(v.Source, func(name string, d os.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			rel, err := filepath.Rel(v.Source, name)
			m.lay(name, m.path(s, path.Join(v.Target, filepath.ToSlash(rel))), s)
			return err
		})
		if err != nil {
			m.t.Fatal(err)
		}
	}
}

// lay copies a file; with s the paths in it are as they are on this machine.
func (m *machine) lay(from, to string, s *types.ServiceConfig) {
	m.t.Helper()
	text := read(m.t, from)
	if s != nil {
		text = m.here(s, text)
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
		m.t.Fatal(err)
	}
	if err := os.WriteFile(to, []byte(text), 0o600); err != nil {
		m.t.Fatal(err)
	}
}

// path is what a service sees under an absolute name, as it is on this machine.
func (m *machine) path(s *types.ServiceConfig, name string) string {
	for _, v := range s.Volumes {
		if rest, ok := strings.CutPrefix(name+"/", path.Clean(v.Target)+"/"); ok && v.Type == types.VolumeTypeVolume {
			return filepath.Join(m.dir, v.Source, rest)
		}
	}
	return filepath.Join(m.root(s), name)
}

// here rewrites a text of a service: its paths, and the addresses of others.
func (m *machine) here(s *types.ServiceConfig, text string) string {
	places := []string{"/run/secrets"}
	for _, v := range s.Volumes {
		places = append(places, path.Clean(v.Target))
	}
	slices.SortFunc(places, func(a, b string) int { return cmp.Compare(len(b), len(a)) })
	for i, place := range places {
		places[i] = regexp.QuoteMeta(place)
	}
	text = regexp.MustCompile(`(^|["\s=,/])((?:`+strings.Join(places, "|")+`)(?:/[A-Za-z0-9._-]+)*)`).ReplaceAllStringFunc(text, func(found string) string {
		i := strings.Index(found, "/")
		if strings.HasPrefix(found, "//") { // of unix:///PATH
			i = 1
		}
		return found[:i] + m.path(s, found[i:])
	})
	for address, here := range m.addresses {
		for _, before := range []string{"//", "@"} { // a host of a URL, with a user or without
			text = strings.ReplaceAll(text, before+address, before+here)
		}
	}
	return text
}

// startNATS starts the servers of the profile, each as its command line and its
// files say but for the addresses.
func (m *machine) startNATS() (urls string) {
	m.t.Helper()
	services := m.Running("nats:2.15.2-alpine")
	var names []string
	var routes []*url.URL
	var options []*server.Options
	for name, s := range services {
		args := slices.Clone(s.Command)
		for i, arg := range args {
			if strings.HasPrefix(arg, "/") {
				args[i] = m.path(&s, arg)
			}
		}
		o, err := server.ConfigureOptions(flagSet(m.t), args, func() {}, func() {}, func() {})
		if err != nil {
			m.t.Fatalf("%s: %v", name, err)
		}
		if o.TLSConfig == nil || o.Host != "0.0.0.0" || o.HTTPHost != "127.0.0.1" || o.StoreDir != m.path(&s, "/data") {
			m.t.Fatalf("%s: TLS %v, listens at %s, for monitoring at %s, keeps %s", name, o.TLSConfig != nil, o.Host, o.HTTPHost, o.StoreDir)
		}
		o.NoSigs, o.NoLog = true, true
		o.JetStreamMaxStore = 64 << 30 // not what happens to be free where the test runs
		port := o.Port
		o.Host, o.Port, o.HTTPPort = "127.0.0.1", natstest.FreePort(m.t), natstest.FreePort(m.t)
		m.addresses[fmt.Sprintf("%s:%d", name, port)] = fmt.Sprintf("127.0.0.1:%d", o.Port)
		names = append(names, fmt.Sprintf("tls://127.0.0.1:%d", o.Port))
		if len(services) > 1 {
			if o.ServerName != name || o.Cluster.TLSConfig == nil {
				m.t.Fatalf("%s: is called %s, with TLS between servers %v", name, o.ServerName, o.Cluster.TLSConfig != nil)
			}
			o.Cluster.Host, o.Cluster.Port = "127.0.0.1", natstest.FreePort(m.t)
			routes = append(routes, &url.URL{Scheme: "tls", Host: fmt.Sprintf("127.0.0.1:%d", o.Cluster.Port)})
		}
		options = append(options, o)
	}
	for _, o := range options {
		o.Routes = routes
		srv, err := server.NewServer(o)
		if err != nil {
			m.t.Fatal(err)
		}
		go srv.Start()
		m.t.Cleanup(func() {
			srv.Shutdown()
			srv.WaitForShutdown()
		})
		if !srv.ReadyForConnections(time.Minute) {
			m.t.Fatal("a server does not start")
		}
	}
	for i, o := range options {
		m.healthy(fmt.Sprintf("http://127.0.0.1:%d/healthz", o.HTTPPort), names[i])
	}
	return strings.Join(names, ",")
}

// healthy waits for what the health check of a NATS server waits for: with a
// cluster, that it has a leader.
func (m *machine) healthy(url, name string) {
	m.t.Helper()
	deadline := time.Now().Add(time.Minute)
	for {
		resp, err := http.Get(url) //nolint:noctx,gosec // of this process
		if err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return
			}
			err = errors.New(resp.Status)
		}
		if time.Now().After(deadline) {
			m.t.Fatalf("%s is not healthy: %v", name, err)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// as returns what a user connects with: the file that it has in deploy/secrets.
func (m *machine) as(user string) []nats.Option {
	m.t.Helper()
	access := natsaccess.Access{CA: filepath.Join(m.secrets, "nats_ca.pem"), User: user, PasswordFile: filepath.Join(m.secrets, devsecrets.Password(user))}
	opts, err := access.Options()
	if err != nil {
		m.t.Fatal(err)
	}
	// The inbox is the one that the commands take for an emitter with a name.
	return append(opts, nats.CustomInboxPrefix("_INBOX."+user), nats.MaxReconnects(-1))
}

func (m *machine) connect(urls, user string) *nats.Conn {
	m.t.Helper()
	// Who is refused something that it does all the same was not granted its work.
	refused := nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
		if errors.Is(err, nats.ErrPermissionViolation) {
			m.t.Errorf("%s: %v", user, err)
		}
	})
	conn, err := nats.Connect(urls, append(m.as(user), refused)...)
	if err != nil {
		m.t.Fatalf("%s: %v", user, err)
	}
	m.t.Cleanup(conn.Close)
	return conn
}

// apply creates the stream as the operator, as soon as the servers have agreed on
// a leader; before that they leave the question unanswered.
func (m *machine) apply(ctx context.Context, urls string, replicas int) {
	m.t.Helper()
	js, err := jetstream.New(m.connect(urls, "operator"))
	if err != nil {
		m.t.Fatal(err)
	}
	for {
		try, cancel := context.WithTimeout(ctx, 2*time.Second)
		err := stream.Apply(try, js, stream.Replicas(replicas))
		cancel()
		if err == nil {
			return
		}
		select {
		case <-ctx.Done():
			m.t.Fatal(err)
		case <-time.After(100 * time.Millisecond):
		}
	}
}
