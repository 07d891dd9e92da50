// SPDX-License-Identifier: Apache-2.0

package shorthand

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"time"
)

// Line returns an event as a line of OpenShell's log has it: its time, OCSF, and
// [Shorthand].
func Line(raw []byte) (string, error) {
	e, err := parse(raw)
	if err != nil {
		return "", err
	}
	at, _ := e.id("time")
	return time.UnixMilli(at).UTC().Format("2006-01-02T15:04:05.000Z") + " OCSF " + e.shorthand(), nil
}

// Shorthand returns an event in one line.
func Shorthand(raw []byte) (string, error) {
	e, err := parse(raw)
	if err != nil {
		return "", err
	}
	return e.shorthand(), nil
}

func (o object) shorthand() string {
	class, _ := o.id("class_uid")
	switch class {
	case 4001:
		return o.network()
	case 4002:
		return o.http()
	case 6003:
		if o.in("ai_model") != nil {
			return o.inference()
		}
		return o.call()
	case 4007:
		return o.ssh()
	case 1007:
		return o.launched()
	case 2004:
		return o.finding()
	case 6002:
		return o.lifecycle()
	case 5019:
		return o.config()
	}
	return o.event()
}

// joined puts a space before each part that there is.
func joined(parts ...string) string {
	var b strings.Builder
	for _, p := range parts {
		if p != "" {
			b.WriteString(" " + p)
		}
	}
	return b.String()
}

func (o object) network() string {
	actor, dst := process(o.in("actor", "process")), endpoint(o.in("dst_endpoint"))
	if c := o.in("connection_info"); c != nil && dst != "" {
		dst += "/" + word(c.or("protocol_name", ""))
	}
	if actor != "" && dst != "" {
		actor += " -> "
	}
	detail := joined(o.action(), actor+dst)
	rule, reason := o.rule(), ""
	if o.denied() {
		reason = o.reasonTag()
	}
	message := ""
	if o.or("status_detail", "") == "transparent_tcp_allowed" || detail+rule+reason == "" {
		message = o.messageTag()
	}
	return "NET:" + o.activity() + " " + o.severity() + detail + rule + reason + message
}

func (o object) http() string {
	method := word(o.in("http_request").or("http_method", "UNKNOWN"))
	to := method + " " + location(o.in("http_request", "url"))
	if actor := process(o.in("actor", "process")); actor != "" {
		to = actor + " -> " + to
	}
	fields := o.unmapped()
	message := ""
	if o.denied() {
		if r := o.reason(); r != "" {
			fields = append(fields, "reason:"+r)
		}
	} else if o.in("firewall_rule").or("type", "") == "l7-mcp" {
		message = o.messageTag()
	}
	return "HTTP:" + method + " " + o.severity() + joined(o.action(), to) + o.rule() + context(fields) + message
}

// location is a URL without a port that its scheme implies.
func location(u object) string {
	if u == nil {
		return ""
	}
	if whole, ok := u.text("url_string"); ok && u["hostname"] == nil {
		return address(whole)
	}
	scheme := u.or("scheme", "https")
	port, ok := u.number("port")
	if ok && (scheme != "https" || port != "443") && (scheme != "http" || port != "80") {
		port = ":" + port
	} else {
		port = ""
	}
	return address(scheme) + "://" + address(u.or("hostname", "unknown")) + port + address(u.or("path", "/"))
}

func (o object) inference() string {
	m := o.in("ai_model")
	latency := ""
	if ms, ok := o.in("unmapped").id("latency_ms"); ok && ms >= 0 {
		n, _ := o.in("unmapped").number("latency_ms")
		latency = n + "ms"
	}
	short := func(s string) string { return word(cut(s, maxReason)) }
	return "API:INFERENCE " + o.severity() + joined(prose(o.label("status", statuses)), short(m.or("name", "")), "via "+short(m.or("ai_provider", "")), latency) +
		" [" + short(o.in("api").or("operation", "")) + "]"
}

// call is what was decided of a call: Docket's own line.
func (o object) call() string {
	who := o.in("actor", "user").or("uid", o.in("actor").or("app_uid", o.in("actor").or("app_name", "")))
	to := word(cut(o.in("api").or("operation", ""), maxReason))
	if who != "" {
		to = word(cut(who, maxReason)) + " -> " + to
	}
	rule := ""
	if p := o.in("policy"); p != nil {
		rule = " [policy:" + word(p.or("name", "")) + " engine:" + word(o.in("metadata").or("event_code", "")) + "]"
	}
	reason := ""
	if o.denied() {
		reason = o.reasonTag()
	}
	return "API:" + o.activity() + " " + o.severity() + joined(o.action(), to) + rule + reason
}

func (o object) ssh() string {
	auth := ""
	if a := o.or("auth_type", ""); a != "" {
		auth = " [auth:" + prose(a) + "]"
	}
	return "SSH:" + o.activity() + " " + o.severity() + joined(o.action(), endpoint(o.in("src_endpoint"))) + auth
}

func (o object) launched() string {
	p := o.in("process")
	line := "PROC:" + o.activity() + " " + o.severity() + " " + process(p)
	if n, ok := o.number("exit_code"); ok {
		line += " [exit:" + n + "]"
	}
	if c, ok := p.text("cmd_line"); ok {
		line += " [cmd:" + prose(c) + "]"
	}
	return line
}

func (o object) finding() string {
	became := prose(strings.ToUpper(o.label("disposition", outcomes)))
	if became == "" {
		became = o.activity()
	}
	info := o.in("finding_info")
	fields := append([]string{"type:" + word(info.or("uid", ""))}, o.unmapped()...)
	if c := o.label("confidence", confidence); c != "" {
		fields = append(fields, "confidence:"+word(strings.ToLower(c)))
	}
	return "FINDING:" + became + " " + o.severity() + ` "` + quoted(cut(info.or("title", ""), maxMessage)) + `"` + context(fields)
}

func (o object) lifecycle() string {
	app := o.in("app").or("name", o.in("metadata", "product").or("name", ""))
	return "LIFECYCLE:" + o.activity() + " " + o.severity() + " " + prose(app) + " " + prose(strings.ToLower(o.label("status", statuses)))
}

func (o object) config() string {
	state, ok := o.text("state")
	if !ok {
		if state = o.label("state", states); state == "" {
			state = "UNKNOWN"
		}
	}
	var fields []string
	u := o.in("unmapped")
	for _, f := range [][2]string{{"auto", "auto"}, {"source", "source"}, {"prover_delta", "prover_delta"}, {"resolved_from", "resolved_from"}, {"policy_version", "version"}, {"policy_hash", "hash"}} {
		if v, ok := u.text(f[0]); ok {
			fields = append(fields, f[1]+":"+word(v))
		}
	}
	return "CONFIG:" + prose(strings.ToUpper(state)) + " " + o.severity() + " " + prose(oneLine(o.or("message", "config"))) + context(fields)
}

// event is the line of whatever has none of its own.
func (o object) event() string {
	var fields []string
	u := o.in("unmapped")
	for _, key := range slices.Sorted(maps.Keys(u)) {
		if len(fields) == 3 {
			break
		}
		value, ok := u.text(key)
		if !ok {
			b, err := json.Marshal(u[key])
			if err != nil {
				continue // of what was parsed none
			}
			value = cut(string(b), maxReason)
		}
		fields = append(fields, word(key)+":"+word(value))
	}
	return "EVENT " + o.severity() + " " + prose(oneLine(o.or("message", ""))) + context(fields)
}
