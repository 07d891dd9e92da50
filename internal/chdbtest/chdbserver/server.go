// SPDX-License-Identifier: Apache-2.0

//go:build linux && amd64

package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"unicode"
)

// A server answers requests, each on a connection of its own: so settings, the
// current database and temporary tables end with the request. Opening one takes
// less than a millisecond.
type server struct {
	lib     *chdb
	path    string
	config  string         // "" is that of the library
	hello   []byte         // the answer to handshake
	number  atomic.Uint64  // of the last request
	running sync.WaitGroup // requests

	mu    sync.Mutex // guards first
	first *conn      // holds the engine open, and kills queries
}

func newServer(lib *chdb, path, config string) (*server, error) {
	s := &server{lib: lib, path: path, config: config}
	first, err := s.open()
	if err != nil {
		return nil, err
	}
	s.first = first
	out, err := first.query("SELECT displayName(), version(), timezone()", "TSVRaw", new(params))
	if err != nil {
		first.close()
		return nil, fmt.Errorf("ask for the version: %w", err)
	}
	about := strings.Split(strings.TrimSuffix(string(out), "\n"), "\t")
	if len(about) != 3 {
		first.close()
		return nil, fmt.Errorf("ask for the version: %q", out)
	}
	s.hello = hello(about[0], about[1], about[2])
	return s, nil
}

// open opens a connection. Its settings are those of a server, where the library
// has others by default.
func (s *server) open() (*conn, error) {
	args := []string{"--path=" + s.path, "--implicit_select=0", "--allow_introspection_functions=0"}
	if s.config != "" {
		args = append(args, "--config-file="+s.config)
	}
	return s.lib.open(args...)
}

// handshake is what clickhouse-go asks of a server when it connects.
const handshake = "SELECT displayName(), version(), revision(), timezone()"

// hello is the answer to handshake. The driver reads it at the protocol's revision
// that it wants, before it knows that of the server: with a header before the block
// and a byte after the type of each column. The library writes neither; so this one
// block is written here. It says that the revision is 0, which holds for all that
// follows.
func hello(name, version, zone string) []byte {
	str := func(b []byte, s string) []byte { return append(append(b, byte(len(s))), s...) } // lengths are below 128
	b := []byte{1, 0, 2, 0xff, 0xff, 0xff, 0xff, 0, 4, 1}                                   // not overflown, no bucket; columns, rows
	for _, c := range []struct{ name, typ, value string }{
		{"displayName()", "String", name},
		{"version()", "String", version},
		{"revision()", "UInt32", ""},
		{"timezone()", "String", zone},
	} {
		b = append(str(str(b, c.name), c.typ), 0)
		if c.typ == "UInt32" {
			b = append(b, 0, 0, 0, 0)
		} else {
			b = str(b, c.value)
		}
	}
	return b
}

// notSettings are parameters of a request that are no settings of its query.
var notSettings = map[string]bool{
	"query": true, "query_id": true, "quota_key": true, "database": true, "default_format": true,
	"client_protocol_version": true, "user": true, "password": true, "role": true,
	"buffer_size": true, "wait_end_of_query": true, "stacktrace": true, "close_session": true,
}

// unsupported are those that would change what bytes mean or what is kept.
var unsupported = []string{"compress", "decompress", "session_id"}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.running.Add(1)
	defer s.running.Done()
	if r.URL.Path == "/ping" {
		_, _ = io.WriteString(w, "Ok.\n")
		return
	}
	q := r.URL.Query()
	id := s.number.Add(1)
	w.Header().Set("X-Clickhouse-Query-Id", q.Get("query_id"))
	answer := &answer{w: w}
	if err := s.serve(answer, r, q, id); err != nil {
		answer.fail(err)
	}
}

func (s *server) serve(w *answer, r *http.Request, q url.Values, id uint64) error {
	for _, name := range unsupported {
		if v := q.Get(name); v != "" && v != "0" && v != "false" {
			return &exception{code: codeUnsupported, text: fmt.Sprintf("Code: %d. DB::Exception: chdbserver: %s is not supported. (SUPPORT_IS_DISABLED)", codeUnsupported, name)}
		}
	}
	if enc := r.Header.Get("Content-Encoding"); enc != "" {
		return &exception{code: codeUnsupported, text: fmt.Sprintf("Code: %d. DB::Exception: chdbserver: Content-Encoding %s is not supported. (SUPPORT_IS_DISABLED)", codeUnsupported, enc)}
	}
	sql := q.Get("query")
	target, format, isInsert := insertTarget(sql)
	if !isInsert {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return fmt.Errorf("read request: %w", err)
		}
		if sql != "" {
			sql += "\n"
		}
		sql += string(body)
		if sql == handshake {
			return w.write(s.hello)
		}
	}

	c, err := s.open()
	if err != nil {
		return err
	}
	defer c.close()
	if err := session(c, r, q); err != nil {
		return err
	}
	tag := fmt.Sprintf("/* request %d */", id)
	defer watch(r.Context(), func() { s.kill(tag) })()
	p := new(params)
	for _, name := range slices.Sorted(maps.Keys(q)) {
		if x, ok := strings.CutPrefix(name, "param_"); ok {
			p.add(x, q.Get(name))
		}
	}
	if isInsert {
		return insert(c, tag+target, format, p, r.Body)
	}
	return query(c, w, sql, tag, q.Get("default_format"), p)
}

// session gives c the request's database and settings.
func session(c *conn, r *http.Request, q url.Values) error {
	if db := q.Get("database"); db != "" {
		if _, err := c.query("USE "+identifier(db), "TSV", new(params)); err != nil {
			return err
		}
	}
	var set []string
	if _, ok := q["readonly"]; r.Method == http.MethodGet && !ok {
		set = append(set, "readonly = 2")
	}
	for _, name := range slices.Sorted(maps.Keys(q)) {
		if !notSettings[name] && !slices.Contains(unsupported, name) && !strings.HasPrefix(name, "param_") {
			set = append(set, identifier(name)+" = "+literal(q.Get(name)))
		}
	}
	if len(set) == 0 {
		return nil
	}
	// In one statement: all of them are checked before readonly is one of them.
	_, err := c.query("SET "+strings.Join(set, ", "), "TSV", new(params))
	return err
}

var quoting = strings.NewReplacer(`\`, `\\`, "'", `\'`, "`", "\\`")

func identifier(s string) string { return "`" + quoting.Replace(s) + "`" }

func literal(s string) string { return "'" + quoting.Replace(s) + "'" }

// inserts is an INSERT that names the format of data that come after it. FORMAT
// is the last of it: the data are the body.
var inserts = regexp.MustCompile(`(?is)^\s*(INSERT\s+INTO\s.*?)\s+FORMAT\s+(\w+)\s*;?\s*$`)

// insertTarget splits such a statement into what the library wants of it.
func insertTarget(sql string) (target, format string, ok bool) {
	m := inserts.FindStringSubmatch(sql)
	if m == nil {
		return "", "", false
	}
	return m[1], m[2], true
}

// insert hands the body over as it comes. If it does not come to its end, nothing
// more of it is inserted.
func insert(c *conn, sql, format string, p *params, body io.Reader) error {
	in, err := c.insert(sql, format, p)
	if err != nil {
		return err
	}
	defer in.close()
	if _, err := io.CopyBuffer(in, body, make([]byte, 1<<20)); err != nil {
		in.cancel()
		return fmt.Errorf("insert: %w", err)
	}
	return in.commit()
}

const comments = `\s*(/\*.*?\*/\s*|--[^\n]*\n\s*)*`

var (
	namesFormat = regexp.MustCompile(`(?i)\bFORMAT\s+\w+`)
	insertFirst = regexp.MustCompile(`(?is)^` + comments + `INSERT\b`)
	selectFirst = regexp.MustCompile(`(?is)^` + comments + `\(*\s*(SELECT|WITH)\b`)
)

// query runs anything but an INSERT whose data come after it.
func query(c *conn, w *answer, sql, tag, format string, p *params) error {
	n, reads := c.statements(sql)
	if n > 1 {
		return &exception{code: codeSyntax, text: fmt.Sprintf("Code: %d. DB::Exception: Syntax error: Multi-statements are not allowed. (SYNTAX_ERROR)", codeSyntax)}
	}
	if format == "" {
		format = "TabSeparated"
	}
	// The tag comes last, so that positions in messages are those of the request,
	// but for data that go on to the end of the text.
	if insertFirst.MatchString(sql) {
		sql = tag + sql
	} else {
		sql = strings.TrimRightFunc(sql, func(r rune) bool { return r == ';' || unicode.IsSpace(r) }) + "\n" + tag
	}
	// Blocks of Native can be read one after the other; pieces of another format
	// may each be a document. The library streams no SHOW and no DESCRIBE.
	if reads && selectFirst.MatchString(sql) && format == "Native" && !namesFormat.MatchString(sql) {
		return c.stream(sql, format, p, w.write)
	}
	out, err := c.query(sql, format, p)
	if err != nil {
		return err
	}
	return w.write(out)
}

// kill ends the query that has the tag, whatever it is at.
func (s *server) kill(tag string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, _ = s.first.query("KILL QUERY WHERE startsWith(query, "+literal(tag)+") OR endsWith(query, "+literal(tag)+") ASYNC", "TSV", new(params))
}

// An answer is the response to a request. It has begun when a first piece was
// written: then an error can only follow what was written.
type answer struct {
	w     http.ResponseWriter
	begun bool
}

func (a *answer) write(piece []byte) error {
	if len(piece) == 0 {
		return nil
	}
	a.begun = true
	if _, err := a.w.Write(piece); err != nil {
		return fmt.Errorf("write response: %w", err)
	}
	return http.NewResponseController(a.w).Flush()
}

// exceptionTag stands around an error within a response, where a server has a
// random one.
const exceptionTag = "chdbserver-error"

func (a *answer) fail(err error) {
	e := new(exception)
	if !errors.As(err, &e) {
		e = &exception{text: err.Error()}
	}
	if a.begun {
		var b bytes.Buffer
		fmt.Fprintf(&b, "\r\n__exception__\r\n%s\r\n%s\n%d %s\r\n__exception__\r\n", exceptionTag, e.text, len(e.text), exceptionTag)
		_, _ = a.w.Write(b.Bytes()) // the client may be what is gone
		return
	}
	if e.code != 0 {
		a.w.Header().Set("X-Clickhouse-Exception-Code", strconv.Itoa(e.code))
	}
	a.w.Header().Set("Content-Type", "text/plain; charset=UTF-8")
	a.w.WriteHeader(e.status())
	_, _ = io.WriteString(a.w, e.text+"\n")
}
