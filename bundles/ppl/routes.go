package ppl

import (
	"cmp"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// defaultTimeout is Pomerium's.
const defaultTimeout = 30 * time.Second

// route reads one; nil when it is of a kind that there is none of here, which is
// in the notes.
func (im *importer) route(n *yaml.Node) (*routeModel, error) {
	r := &routeModel{line: n.Line, timeout: -1, rewrite: map[string]string{}, data: map[string]any{}, names: map[string]int{}}
	keys := map[string]pair{}
	for _, p := range pairs(n) {
		keys[p.key] = p
	}
	from, ok := keys["from"]
	if !ok {
		return nil, im.errorf(n, "from: the route has none; give its scheme and host")
	}
	if known, err := im.from(r, from); err != nil || !known {
		return nil, err
	}
	for _, p := range pairs(n) {
		if err := im.routeKey(r, p); err != nil {
			return nil, err
		}
	}
	if err := im.target(r, n, keys); err != nil {
		return nil, err
	}
	switch {
	case r.match.regex != "":
		r.match = matchModel{regex: r.match.regex}
	case r.match.path != "":
		r.match = matchModel{path: r.match.path}
	default:
		r.match.prefix = cmp.Or(r.match.prefix, "/")
	}
	if r.timeout < 0 {
		if r.timeout = defaultTimeout; len(r.upgrades) > 0 {
			r.timeout = 0
		}
	}
	return r, nil
}

var hostName = regexp.MustCompile(`^(\*\.)?[a-z0-9]([a-z0-9.-]*[a-z0-9])?(:[0-9]{1,5})?$`)

func (im *importer) from(r *routeModel, p pair) (known bool, err error) {
	s, err := im.text(p.value, "from")
	if err != nil {
		return false, err
	}
	u, err := url.Parse(s)
	switch {
	case err != nil || u.Host == "":
		return false, im.errorf(p.value, "from: %q is no scheme and host", clip(s))
	case u.Scheme != "https" && u.Scheme != "http":
		im.note(r.line, Denies, "", "from", "%s is no web route; it is left out", clip(s))
		return false, nil
	case u.Path != "" && u.Path != "/" || u.RawQuery != "" || u.User != nil || u.Fragment != "":
		return false, im.errorf(p.value, "from: %q has more than scheme and host; paths go into prefix, path or regex", clip(s))
	case !hostName.MatchString(strings.ToLower(u.Host)):
		return false, im.errorf(p.value, "from: %q is no host that can be matched; of wildcards only *. at its beginning can", clip(u.Host))
	}
	r.origin = u.Scheme + "://" + strings.ToLower(u.Host)
	return true, nil
}

// routeKey reads one key of a route but its target.
func (im *importer) routeKey(r *routeModel, p pair) (err error) {
	if read := routeKeys[p.key]; read != nil {
		return read(im, r, p)
	}
	switch p.key {
	case "from", "to", "redirect", "response", "tls_custom_ca_file", "tls_server_name", "tls_upstream_server_name", "tls_client_cert_file", "tls_client_key_file":
		return nil // target and from read them
	case "name", "description", "logo_url", "id":
		return nil // words for people
	case "path":
		r.match.path, err = im.text(p.value, p.key)
	case "prefix":
		r.match.prefix, err = im.text(p.value, p.key)
	case "regex":
		s, err := im.text(p.value, p.key)
		r.match.regex = unanchored(s)
		return err
	case "timeout":
		r.timeout, err = im.duration(p.value, p.key)
	case "idle_timeout":
		var d time.Duration
		d, err = im.duration(p.value, p.key)
		r.idle = &d
	case "allow_websockets":
		err = im.upgrade(r, p, "websocket")
	case "allow_spdy":
		err = im.upgrade(r, p, "spdy/3.1")
	case "pass_identity_headers":
		var on bool
		on, err = im.boolean(p.value, p.key)
		r.passIdentity = &on
	case "prefix_rewrite":
		var s string
		if s, err = im.text(p.value, p.key); s != "/" {
			s = strings.TrimRight(s, "/") // what follows is joined with one
		}
		r.rewrite["prefix"] = s
	case "host_rewrite":
		r.rewrite["host"], err = im.text(p.value, p.key)
	case "preserve_host_header":
		_, err = im.boolean(p.value, p.key)
	case "set_request_headers":
		r.set, err = im.headers(r, p, true)
	case "set_response_headers":
		r.respond, err = im.headers(r, p, false)
	case "remove_request_headers":
		err = im.removed(r, p)
	default:
		im.note(p.line, Look, r.key(), p.key, "%s", notTaken(p.key))
	}
	return err
}

// unanchored takes ^ and $ away, between which every expression stands. A $ behind
// a backslash is a dollar.
func unanchored(s string) string {
	s = strings.TrimPrefix(s, "^")
	if head, ok := strings.CutSuffix(s, "$"); ok && (len(head)-len(strings.TrimRight(head, `\`)))%2 == 0 {
		return head
	}
	return s
}

// notTaken says of a key what becomes of what it asked for.
func notTaken(key string) string {
	switch {
	case strings.HasPrefix(key, "tls_skip_verify"):
		return "upstreams always prove who they are here: give tls.ca of the upstream its authority"
	case strings.HasPrefix(key, "tls_"):
		return "is not taken over; see tls in docs/tls.md"
	case strings.HasPrefix(key, "regex_rewrite"), strings.HasPrefix(key, "host_path_regex"):
		return "paths and hosts are not rewritten by expressions; use rewrite with path, prefix or host"
	case strings.HasPrefix(key, "rewrite_response"):
		return "answers' headers are not rewritten"
	case strings.HasPrefix(key, "kubernetes_"), key == "mcp", key == "depends_on", key == "upstream_tunnel":
		return "has no equivalent"
	}
	return "is not read"
}

func (im *importer) upgrade(r *routeModel, p pair, protocol string) error {
	on, err := im.boolean(p.value, p.key)
	if on {
		r.upgrades = append(r.upgrades, protocol)
	}
	return err
}

func (im *importer) target(r *routeModel, n *yaml.Node, keys map[string]pair) error {
	given := 0
	for _, key := range []string{"to", "redirect", "response"} {
		if _, ok := keys[key]; ok {
			given++
		}
	}
	if given != 1 {
		return im.errorf(n, "want one of to, redirect and response, there are %d", given)
	}
	if p, ok := keys["redirect"]; ok {
		return im.redirect(r, p)
	}
	if p, ok := keys["response"]; ok {
		return im.response(r, p)
	}
	p := keys["to"]
	list, err := im.texts(p.value, "to")
	if err != nil {
		return err
	}
	if len(list) > 64 {
		return im.errorf(p.value, "to: %d upstreams, at most 64", len(list))
	}
	secure := false
	for i, s := range list {
		u, weight, err := im.upstream(p, s)
		if err != nil {
			return err
		}
		if i > 0 && (u.Path != r.target.path || (u.Scheme == "https") != secure) {
			return im.errorf(p.value, "to: the upstreams of one route have one scheme and one path here")
		}
		secure, r.target.path = u.Scheme == "https", u.Path
		r.target.endpoints = append(r.target.endpoints, endpoint{address(u), weight})
	}
	if !secure {
		return nil
	}
	return im.upstreamTLS(r, keys)
}

func (im *importer) upstream(p pair, s string) (*url.URL, int, error) {
	weight := -1
	if i := strings.LastIndexByte(s, ','); i >= 0 {
		w, err := strconv.Atoi(strings.TrimSpace(s[i+1:]))
		if err != nil || w < 0 || w > 10_000 {
			return nil, 0, im.errorf(p.value, "to: %q has no weight of 0 to 10000 after the comma", clip(s))
		}
		s, weight = s[:i], w
	}
	u, err := url.Parse(s)
	if err != nil || u.Hostname() == "" || u.Scheme != "http" && u.Scheme != "https" && u.Scheme != "h2c" {
		return nil, 0, im.errorf(p.value, "to: %q is no http or https URL", clip(s))
	}
	if u.Path == "/" {
		u.Path = ""
	}
	return u, weight, nil
}

func address(u *url.URL) string {
	port := u.Port()
	if port == "" {
		if port = "80"; u.Scheme == "https" {
			port = "443"
		}
	}
	if h := u.Hostname(); strings.Contains(h, ":") {
		return "[" + h + "]:" + port
	}
	return u.Hostname() + ":" + port
}

// systemRoots is where most systems keep the authorities that they trust.
const systemRoots = "/etc/ssl/certs/ca-certificates.crt"

func (im *importer) upstreamTLS(r *routeModel, keys map[string]pair) error {
	t := &tlsModel{ca: systemRoots}
	for key, into := range map[string]*string{
		"tls_custom_ca_file": &t.ca, "tls_server_name": &t.serverName, "tls_upstream_server_name": &t.serverName,
		"tls_client_cert_file": &t.cert, "tls_client_key_file": &t.key,
	} {
		p, ok := keys[key]
		if !ok {
			continue
		}
		s, err := im.text(p.value, key)
		if err != nil {
			return err
		}
		*into = s
	}
	if len(r.target.endpoints) > 0 && t.serverName == "" {
		host := r.target.endpoints[0].address
		t.serverName = strings.Trim(host[:strings.LastIndexByte(host, ':')], "[]")
	}
	im.note(r.line, Look, r.key(), "to", "the upstream's certificate must be of %s, by the authorities in %s as Envoy sees that file", t.serverName, t.ca)
	r.target.tls = t
	return nil
}
