// SPDX-License-Identifier: Apache-2.0

package clickhouse

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/docket-audit/docket/collector/evidence"
	"github.com/docket-audit/docket/collector/retention"
)

// A definition is what of a table or view decides what readers see of it.
type definition struct {
	name    string
	engine  string   // without what makes it a replicated one; "View"
	columns []string // each with its type and whatever it is computed from
	rules   []string // what else stands between columns: constraints
	ttl     []string
	moves   []string // what else a TTL does: where old rows lie, and how
	query   string   // of a view
	anyTTL  bool     // nobody knows which it should have

	anyColumns bool // nor these, of a view over something that is gone
}

// parseDefinition reads a CREATE as the server words it, in one line. What has no
// say in what is read is left out: indexes and projections, codecs and comments,
// keys and settings, and where old rows lie.
func parseDefinition(name, engine, text string) definition {
	d := definition{name: name, engine: engine}
	head, query, _ := cutTop(text, " AS ")
	if strings.HasPrefix(text, "CREATE TABLE ") {
		head, query = text, ""
	}
	d.query = query
	if bare := without(query, " COMMENT "); strings.HasPrefix(query, bare) { // it is at the end
		d.query = bare
	}
	inner := ""
	if open := indexTop(head, "("); open >= 0 {
		end := open + closing(head[open:])
		inner, head = head[open+1:end], head[min(end+1, len(head)):]
	}
	for _, e := range splitTop(inner) {
		switch {
		case strings.HasPrefix(e, "INDEX "), strings.HasPrefix(e, "PROJECTION "):
		case strings.HasPrefix(e, "`"):
			d.columns = append(d.columns, without(e, " COMMENT ", " CODEC(", " STATISTICS(", " SETTINGS ("))
		default:
			d.rules = append(d.rules, e)
		}
	}
	if _, e, ok := cutTop(head, "ENGINE = "); ok {
		e, _, _ = strings.Cut(e, " ")
		e, _, _ = strings.Cut(e, "(")
		d.engine = e
	}
	d.engine = strings.TrimPrefix(strings.TrimPrefix(d.engine, "Replicated"), "Shared")
	if _, ttl, ok := cutTop(head, " TTL "); ok {
		for _, end := range []string{" SETTINGS ", " COMMENT "} {
			ttl, _, _ = cutTop(ttl, end)
		}
		for _, t := range splitTop(ttl) {
			if slices.ContainsFunc([]string{" TO DISK ", " TO VOLUME ", " RECOMPRESS "}, func(w string) bool { return indexTop(t, w) >= 0 }) {
				d.moves = append(d.moves, t)
			} else {
				d.ttl = append(d.ttl, t)
			}
		}
	}
	return d
}

// differs says in what d is another than want; "" where it shows the same.
func (d *definition) differs(want *definition) string {
	other := func(what, have, want string) string {
		at := 0
		for at < min(len(have), len(want)) && have[at] == want[at] {
			at++
		}
		at = max(0, at-20)
		return fmt.Sprintf("%s is %.120q from character %d on, docket makes it %.120q", what, have[at:], at+1, want[at:])
	}
	if d.engine != want.engine {
		return fmt.Sprintf("it is a %.40s, docket makes it a %s", d.engine, want.engine)
	}
	for i, c := range want.columns {
		name, _, _ := strings.Cut(c, " ")
		at := slices.IndexFunc(d.columns, func(h string) bool { return strings.HasPrefix(h, name+" ") })
		switch {
		case at < 0:
			return fmt.Sprintf("it has no column %s", name)
		case d.columns[at] != c:
			return other("column "+name, d.columns[at], c)
		case d.engine == engineView && at != i:
			return fmt.Sprintf("column %s is in another place", name)
		}
	}
	switch {
	case d.engine == engineView && !want.anyColumns && len(d.columns) != len(want.columns):
		return fmt.Sprintf("it has %d columns, docket makes it with %d", len(d.columns), len(want.columns))
	case !slices.Equal(d.rules, want.rules):
		return other("what it asks of rows", strings.Join(d.rules, ", "), strings.Join(want.rules, ", "))
	case !want.anyTTL && !slices.Equal(d.ttl, want.ttl):
		return other("its TTL", strings.Join(d.ttl, ", "), strings.Join(want.ttl, ", "))
	case d.query != want.query:
		return other("its query", d.query, want.query)
	}
	return ""
}

// What the engine of a table is called that has no rows of its own.
const (
	engineView        = "View"
	engineDistributed = "Distributed"
)

var (
	createdName = regexp.MustCompile(`^CREATE (?:OR REPLACE VIEW|TABLE IF NOT EXISTS) (\w+)[ \n]`)
	sideways    = regexp.MustCompile(`^ALTER TABLE \w+\s+(?:ADD|MATERIALIZE|DROP) (?:INDEX|PROJECTION) `)
	readsFrom   = regexp.MustCompile(`\b(FROM|JOIN) (\w+)`)
)

// A created is what a file makes.
type created struct {
	name  string
	query string // of a view, as it is in the file
	text  string // all of it
}

// creations returns what the files make, in their order, for a server of which knows
// tells whether it has a setting. What they alter is not among it: indexes and
// projections are the server's own, and say nothing else than the rows do.
func creations(knows func(setting string) (bool, error)) ([]created, error) {
	var out []created
	for _, m := range migrations() {
		statements, err := render(m.name, "", knows)
		if err != nil {
			return nil, err
		}
		for _, s := range statements {
			if sideways.MatchString(s) {
				continue
			}
			name := createdName.FindStringSubmatch(s)
			if name == nil {
				return nil, fmt.Errorf("%s: not understood: %.80s", m.name, s)
			}
			c := created{name: name[1], text: s}
			if strings.HasPrefix(s, "CREATE OR REPLACE VIEW ") {
				_, c.query, _ = strings.Cut(s, " AS")
				c.query = strings.TrimSpace(c.query)
			}
			out = slices.DeleteFunc(out, func(o created) bool { return o.name == c.name })
			out = append(out, c)
		}
	}
	return out, nil
}

// mostLooks is how often a TTL and what it should be are compared, as it may be set
// between the one and the other.
const mostLooks = 3

// Altered implements [evidence.Tables].
func (r *Reader) Altered(ctx context.Context) ([]evidence.Altered, error) {
	var out []evidence.Altered
	var err error
	for range mostLooks {
		if out, err = r.s.alterations(ctx); err != nil || len(out) == 0 {
			break
		}
	}
	return out, r.s.failed("read definitions of ClickHouse", err)
}

func (s *server) alterations(ctx context.Context) ([]evidence.Altered, error) {
	want, err := s.wanted(ctx, func(created) bool { return true })
	if err != nil {
		return nil, err
	}
	have, shares, err := s.defined(ctx, want)
	if err != nil {
		return nil, err
	}
	var out []evidence.Altered
	for _, w := range want {
		h, ok := have[w.name]
		if ok && h.engine == engineDistributed && strings.HasPrefix(w.engine, "MergeTree") {
			// In a cluster the rows lie in a table on each node, and this one is only the way
			// there.
			under := local("cluster", w.name)
			way := w
			way.engine, way.ttl = engineDistributed, nil
			if what := h.differs(&way); what != "" {
				out = append(out, evidence.Altered{Name: w.name, What: what})
			}
			if shares[w.name] != under {
				out = append(out, evidence.Altered{Name: w.name, What: fmt.Sprintf("it leads to %.80q, docket makes it lead to %s of the same database", shares[w.name], under)})
			}
			w.name = under
			h, ok = have[under]
		}
		if !ok {
			if err := s.isThere(ctx, w.name); err != nil {
				return nil, err
			}
			out = append(out, evidence.Altered{Name: w.name, Missing: true, What: "it is missing"})
			continue
		}
		if what := h.differs(&w); what != "" {
			out = append(out, evidence.Altered{Name: w.name, What: what})
		}
	}
	return out, nil
}

// An expiry is the TTL that a table has, and should have.
type expiry struct{ have, want definition }

// strays tells whether these are two.
func (e *expiry) strays() bool { return !e.want.anyTTL && !slices.Equal(e.have.ttl, e.want.ttl) }

// expiries returns those of all tables in which there are rows. Of one that the server
// does not list nobody knows: [Reader.Altered] tells.
func (s *server) expiries(ctx context.Context) ([]expiry, error) {
	want, err := s.wanted(ctx, func(c created) bool { return c.query == "" })
	if err != nil {
		return nil, err
	}
	have, _, err := s.defined(ctx, want)
	if err != nil {
		return nil, err
	}
	out := make([]expiry, 0, len(want))
	for _, w := range want {
		h, ok := have[w.name]
		if ok && h.engine == engineDistributed {
			h, ok = have[local("cluster", w.name)]
		}
		w.anyTTL = w.anyTTL || !ok
		out = append(out, expiry{h, w})
	}
	return out, nil
}

// policyOf returns the policy of a TTL as the server words it, if it is that of one.
// From when on all times are one, which is decades away, it may say otherwise.
func (s *server) policyOf(ctx context.Context, has []string) (p retention.Policy, ok bool, err error) {
	if len(has) > 1 {
		return p, false, nil
	}
	have := strings.Join(has, "")
	if p, ok = readTTL(have); !ok || have == "" {
		return p, ok, nil
	}
	again, err := ttl(p)
	if err != nil {
		return p, false, nil //nolint:nilerr // no policy of ours
	}
	last := lastPattern.FindStringSubmatch(have)
	if n, err := strconv.ParseInt(last[2], 10, 64); err != nil || n < lastSecond-longest*86400 || n > lastSecond {
		return p, false, nil //nolint:nilerr // it is too long
	}
	again = lastPattern.ReplaceAllString(again, "${1}"+last[2])
	var line string
	create := "CREATE TABLE t (a String) ENGINE = MergeTree ORDER BY a TTL " + again
	if err := s.query(ctx, "SELECT ifNull(formatQuerySingleLineOrNull("+text(create)+"), '')", func(scan func(...any) error) error { return scan(&line) }); err != nil {
		return p, false, err
	}
	return p, slices.Equal(parseDefinition("", "", line).ttl, has), nil
}

// isThere fails unless a table that the server does not list is really not there: what
// its user may not read is not listed.
func (s *server) isThere(ctx context.Context, name string) error {
	err := s.query(ctx, "SELECT 1 FROM "+name+" WHERE false", func(scan func(...any) error) error { return scan(new(uint8)) })
	if err == nil {
		return fmt.Errorf("the server does not say how %s is defined", name)
	}
	if (rules{}).Lacks(err) {
		return nil
	}
	return err
}

// wanted returns the definitions that this program makes, of those that which tells,
// as this server words them: which version of them was made, docket_schema says, and
// nobody signs for that.
func (s *server) wanted(ctx context.Context, which func(created) bool) ([]definition, error) {
	made, err := creations(func(setting string) (bool, error) { return s.knows(ctx, setting) })
	if err != nil {
		return nil, err
	}
	database, ttl, unknown, err := s.about(ctx)
	if err != nil {
		return nil, err
	}
	known := map[string]bool{}
	for _, c := range made {
		known[c.name] = true
	}
	made = slices.DeleteFunc(made, func(c created) bool { return !which(c) })
	var asked []string
	for i := range made {
		t := made[i].text
		switch {
		case made[i].query != "":
			t = readsFrom.ReplaceAllStringFunc(t, func(m string) string {
				word, table, _ := strings.Cut(m, " ")
				if !known[table] {
					return m
				}
				return word + " " + identifier(database) + "." + table
			})
		case made[i].name == evidence.TableEvents && ttl != "" && !unknown:
			t = strings.Replace(t, "\nSETTINGS ", "\nTTL "+ttl+"\nSETTINGS ", 1)
		}
		asked = append(asked, "("+fmt.Sprint(i)+", "+text(t)+")")
	}
	worded := make([]string, len(made))
	err = s.query(ctx, "SELECT toInt64(c.1), ifNull(formatQuerySingleLineOrNull(c.2), '') FROM (SELECT arrayJoin(["+strings.Join(asked, ", ")+"]) AS c)", func(scan func(...any) error) error {
		var i int64
		var line string
		if err := scan(&i, &line); err != nil {
			return err
		}
		worded[i] = line
		return nil
	})
	if err != nil {
		return nil, err
	}
	out := make([]definition, len(made))
	columns := map[string][]string{} // of views, by what they select
	for i, c := range made {
		if worded[i] == "" {
			return nil, fmt.Errorf("the server does not read the definition of %s", c.name)
		}
		out[i] = parseDefinition(c.name, engineView, strings.Replace(worded[i], "CREATE TABLE IF NOT EXISTS ", "CREATE TABLE ", 1))
		out[i].anyTTL = c.name == evidence.TableEvents && unknown
		if c.query == "" {
			continue
		}
		of := c.query
		if strings.HasPrefix(of, "SELECT * FROM events WHERE class_uid = ") {
			of = "SELECT * FROM events"
		}
		if _, ok := columns[of]; !ok {
			if columns[of], err = s.describe(ctx, of); err != nil && !(rules{}).Lacks(err) {
				return nil, err
			}
		}
		out[i].columns, out[i].anyColumns = columns[of], columns[of] == nil
	}
	return out, nil
}

// about returns the name of the database and the TTL that events should have, unless
// nobody knows that: of what no collector has put there, [Reader.Kept] tells.
func (s *server) about(ctx context.Context) (database, ttl string, unknown bool, err error) {
	if err := s.query(ctx, "SELECT currentDatabase()", func(scan func(...any) error) error { return scan(&database) }); err != nil {
		return "", "", false, err
	}
	err = s.query(ctx, "SELECT argMax(ttl, set) FROM "+evidence.TableRetention, func(scan func(...any) error) error { return scan(&ttl) })
	if err != nil && !(rules{}).Lacks(err) {
		return "", "", false, err
	}
	_, wrong := parseTTL(ttl)
	return database, ttl, err != nil || wrong != nil, nil
}

// describe returns the columns of a query, as a view has them.
func (s *server) describe(ctx context.Context, query string) (columns []string, err error) {
	rows, err := s.conn.Query(s.settings(ctx, nil), "DESCRIBE ("+query+")")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		to := make([]any, len(rows.Columns())) // how many, depends on the server
		for i := range to {
			to[i] = new(string)
		}
		if err := rows.Scan(to...); err != nil {
			return nil, err
		}
		columns = append(columns, fmt.Sprintf("`%s` %s", *to[0].(*string), *to[1].(*string))) //nolint:forcetypeassert // of above
	}
	return columns, rows.Err()
}

// defined returns the definitions that the server has, by name, and of those tables
// that lead to others, to which of this database.
func (s *server) defined(ctx context.Context, want []definition) (have map[string]definition, leads map[string]string, err error) {
	var names []string
	for _, w := range want {
		names = append(names, w.name, local("cluster", w.name))
	}
	have, leads = map[string]definition{}, map[string]string{}
	err = s.query(ctx, "SELECT name, engine, engine_full, currentDatabase(), ifNull(formatQuerySingleLineOrNull(create_table_query), '') FROM system.tables WHERE database = currentDatabase() AND name IN ("+texts(names)+")",
		func(scan func(...any) error) error {
			var name, engine, full, database, create string
			if err := scan(&name, &engine, &full, &database, &create); err != nil {
				return err
			}
			have[name] = parseDefinition(name, engine, create)
			if engine == engineDistributed {
				leads[name] = leadsTo(full, database)
			}
			return nil
		})
	return have, leads, err
}

// leadsTo returns to which table of a database a Distributed one leads; with its
// database if that is another.
func leadsTo(full, database string) string {
	inner := strings.TrimPrefix(full, engineDistributed+"(")
	if n := closing("(" + inner); n > 0 {
		inner = inner[:n-1]
	}
	parts := splitTop(inner)
	if len(parts) < 3 {
		return full
	}
	bare := func(s string) string { return strings.Trim(s, "'`\"") }
	if of := bare(parts[1]); of != database {
		return of + "." + bare(parts[2])
	}
	return bare(parts[2])
}

// scanTop calls at with each place of a text that is in no quotes, and between no
// parentheses but such as open there, until that returns false.
func scanTop(s string, at func(i int) bool) {
	depth := 0
	for i := 0; i < len(s); i++ {
		if depth == 0 && !at(i) {
			return
		}
		switch c := s[i]; c {
		case '\'', '`', '"':
			for i++; i < len(s) && s[i] != c; i++ {
				if s[i] == '\\' {
					i++
				}
			}
		case '(', '[':
			depth++
		case ')', ']':
			depth--
		}
	}
}

// indexTop is [strings.Index] at those places; -1 if there is none.
func indexTop(s, what string) int {
	found := -1
	scanTop(s, func(i int) bool {
		if strings.HasPrefix(s[i:], what) {
			found = i
		}
		return found < 0
	})
	return found
}

func cutTop(s, sep string) (before, after string, found bool) {
	if i := indexTop(s, sep); i >= 0 {
		return s[:i], s[i+len(sep):], true
	}
	return s, "", false
}

// splitTop cuts at commas.
func splitTop(s string) (out []string) {
	for s != "" {
		part, rest, found := cutTop(s, ",")
		out = append(out, strings.TrimSpace(part))
		if !found {
			break
		}
		s = rest
	}
	return out
}

// closing returns where the parenthesis is closed that a text begins with; its end if
// it is not.
func closing(s string) int {
	depth := 0
	end := len(s)
	for i := 0; i < len(s); i++ {
		switch c := s[i]; c {
		case '\'', '`', '"':
			for i++; i < len(s) && s[i] != c; i++ {
				if s[i] == '\\' {
					i++
				}
			}
		case '(':
			depth++
		case ')':
			if depth--; depth == 0 {
				return i
			}
		}
	}
	return end
}

// without returns a text without clauses: each begins with a word, and has one pair
// of parentheses or one text behind it.
func without(s string, words ...string) string {
	for _, w := range words {
		i := indexTop(s, w)
		if i < 0 {
			continue
		}
		rest := s[i+len(w):]
		if strings.HasSuffix(w, "(") {
			rest = rest[min(len(rest), closing("("+rest)):]
		} else {
			end := len(rest)
			scanTop(rest, func(j int) bool {
				if j > 0 {
					end = j
				}
				return j == 0
			})
			rest = rest[end:]
		}
		s = s[:i] + rest
	}
	return s
}
