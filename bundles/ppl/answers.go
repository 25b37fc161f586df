package ppl

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// redirect reads a route that answers with another address.
func (im *importer) redirect(r *routeModel, p pair) error {
	if !isMap(p.value) {
		return im.errorf(p.value, "redirect: want a mapping")
	}
	out := map[string]any{}
	scheme, host, ok := strings.Cut(r.origin, "://")
	if !ok {
		return im.errorf(p.value, "redirect: the route has no host")
	}
	for _, k := range pairs(p.value) {
		s, err := im.text(k.value, "redirect."+k.key)
		if err != nil {
			return err
		}
		switch k.key {
		case "https_redirect":
			if s == "true" {
				scheme = "https"
			}
		case "scheme_redirect":
			scheme = s
		case "host_redirect":
			host = s
		case "path_redirect":
			out["path"] = s
		case "prefix_rewrite":
			out["prefix"] = s
		case "response_code":
			if out["status"], err = strconv.Atoi(s); err != nil {
				return im.errorf(k.value, "redirect.response_code: %q is no number", clip(s))
			}
		case "strip_query":
			out["strip_query"] = s == "true"
		default:
			im.note(k.line, Look, r.key(), "redirect."+k.key, "is not read")
		}
	}
	if origin := scheme + "://" + host; origin != r.origin || len(out) == 0 {
		out["origin"] = origin
	}
	r.target.redirect = out
	return nil
}

// response reads a route that answers by itself.
func (im *importer) response(r *routeModel, p pair) error {
	if !isMap(p.value) {
		return im.errorf(p.value, "response: want a mapping with status and body")
	}
	out := map[string]any{"status": 200}
	for _, k := range pairs(p.value) {
		s, err := im.text(k.value, "response."+k.key)
		if err != nil {
			return err
		}
		switch k.key {
		case "status":
			if out["status"], err = strconv.Atoi(s); err != nil {
				return im.errorf(k.value, "response.status: %q is no number", clip(s))
			}
		case "body":
			out["body"] = s
		default:
			im.note(k.line, Look, r.key(), "response."+k.key, "is not read")
		}
	}
	r.target.respond = out
	return nil
}

var headerName = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,62}[a-z0-9])?$`)

// unsettable are headers that frame or route a message, or that the gate alone makes.
var unsettable = []string{
	"connection", "content-length", "host", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade",
	"cookie", "authorization", "x-pomerium-jwt-assertion",
}

// headers reads names and values; those of requests may hold ${pomerium.…}.
func (im *importer) headers(r *routeModel, p pair, request bool) ([]header, error) {
	if !isMap(p.value) {
		return nil, im.errorf(p.value, "%s: want names and values", p.key)
	}
	var out []header
	for _, k := range pairs(p.value) {
		value, err := im.text(k.value, p.key+"."+k.key)
		if err != nil {
			return nil, err
		}
		h := header{name: strings.ToLower(k.key)}
		if !headerName.MatchString(h.name) || slices.Contains(unsettable, h.name) {
			im.note(k.line, Look, r.key(), p.key+"."+k.key, "policies cannot set this header; it is not set")
			continue
		}
		var unknown string
		h.parts, unknown = parts(value, request)
		if unknown != "" {
			im.note(k.line, Look, r.key(), p.key+"."+k.key, "%s is not known here; the header is not set", clip(unknown))
			continue
		}
		out = append(out, h)
	}
	slices.SortFunc(out, func(a, b header) int { return strings.Compare(a.name, b.name) })
	return out, nil
}

var variable = regexp.MustCompile(`\$\{pomerium\.[^}]*\}|\$pomerium\.[a-z_]+`)

// parts splits a header's value into Rego terms; unknown is what has none.
func parts(value string, request bool) (terms []string, unknown string) {
	if strings.ContainsFunc(value, func(c rune) bool { return c < ' ' || c == 0x7f }) {
		return nil, strconv.Quote(clip(value))
	}
	at := 0
	for _, m := range variable.FindAllStringIndex(value, -1) {
		if m[0] > at {
			terms = append(terms, quote(value[at:m[0]]))
		}
		name := strings.TrimSuffix(strings.TrimLeft(value[m[0]:m[1]], "${"), "}")
		term := known(strings.TrimPrefix(name, "pomerium."))
		if term == "" || !request {
			return nil, value[m[0]:m[1]]
		}
		terms = append(terms, term)
		at = m[1]
	}
	if at < len(value) || len(terms) == 0 {
		terms = append(terms, quote(value[at:]))
	}
	return terms, ""
}

// known is the Rego term of one of Pomerium's variables, "" for what has none.
// What is not verified, or cannot stand in a header, is undefined.
func known(name string) string {
	switch name {
	case "email":
		return "identity.email"
	case "user", "user_id":
		return "identity.user"
	case "groups":
		return "identity.groups"
	case "name":
		return "input.session.user.name"
	}
	if claim, ok := strings.CutPrefix(name, "claims."); ok && claim != "" {
		return "ppl.printable(input.session.claims[" + quote(claim) + "])"
	}
	return ""
}

func (im *importer) removed(r *routeModel, p pair) error {
	names, err := im.texts(p.value, p.key)
	if err != nil {
		return err
	}
	for _, n := range names {
		n = strings.ToLower(n)
		if !headerName.MatchString(n) || slices.Contains(unsettable, n) && n != "cookie" && n != "authorization" {
			im.note(p.line, Look, r.key(), p.key, "%s cannot be removed by policies", clip(n))
			continue
		}
		r.remove = append(r.remove, n)
	}
	slices.Sort(r.remove)
	r.remove = slices.Compact(r.remove)
	return nil
}
