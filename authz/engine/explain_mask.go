package engine

import (
	"encoding/json"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/neosc/gate/authz"
	"github.com/open-policy-agent/opa/v1/ast"
)

// Bounds of a value as it is shown.
const (
	maxShownText     = 96
	maxShownElements = 8
	maxShownDepth    = 4
	maxShown         = 400
)

// minSecret is how long a secret must be to be looked for in other values: a
// shorter one would mask half of what is shown, and is none.
const minSecret = 6

// hider knows the secrets of one request by their values, so that one that a
// policy put into a variable of another name is masked there too.
type hider struct{ secrets []string }

func newHider(r *authz.Request) *hider {
	h := &hider{}
	for _, x := range r.Headers {
		if authz.SecretName(x.Name) {
			h.add(x.Value)
		}
	}
	_, query := r.SplitPath()
	values, _ := url.ParseQuery(query) // what is no query has no parameters that policy sees
	for name, vs := range values {
		if authz.SecretParameter(name) {
			for _, v := range vs {
				h.add(v)
				h.add(url.QueryEscape(v))
			}
		}
	}
	for pair := range strings.SplitSeq(query, "&") {
		if name, v, _ := strings.Cut(pair, "="); authz.SecretParameter(name) {
			h.add(v)
		}
	}
	if r.Session != nil {
		h.claims(r.Session.Identity.Claims, false, 0)
	}
	// Longest first, or a part would be masked out of the whole.
	slices.SortFunc(h.secrets, func(a, b string) int { return len(b) - len(a) })
	h.secrets = slices.Compact(h.secrets)
	return h
}

// claims collects what lies under secret names, at any depth.
func (h *hider) claims(v any, secret bool, depth int) {
	if depth > 32 {
		return
	}
	switch v := v.(type) {
	case map[string]any:
		for k, x := range v {
			h.claims(x, secret || authz.SecretName(k), depth+1)
		}
	case []any:
		for _, x := range v {
			h.claims(x, secret, depth+1)
		}
	case string:
		if secret {
			h.add(v)
		}
	case json.Number:
		if secret {
			h.add(v.String())
		}
	}
}

// add takes a secret, and the parts that a policy may have cut it into.
func (h *hider) add(s string) {
	if len(s) >= minSecret {
		h.secrets = append(h.secrets, s)
	}
	for _, part := range strings.FieldsFunc(s, func(c rune) bool { return strings.ContainsRune(" ;,=&.", c) }) {
		if len(part) >= minSecret && !strings.EqualFold(part, "bearer") && part != s {
			h.secrets = append(h.secrets, part)
		}
	}
}

func (h *hider) hide(s string) string {
	s, _ = authz.MaskTokens(s)
	for _, secret := range h.secrets {
		if strings.Contains(s, secret) {
			s = strings.ReplaceAll(s, secret, authz.Masked)
		}
	}
	return s
}

// show writes a value as Rego does, shortened and without secrets. name is the
// reference or field that it lies under.
func (h *hider) show(name string, v ast.Value) string {
	if authz.SecretName(lastName(name)) {
		return authz.Masked
	}
	var b strings.Builder
	h.write(&b, v, 0)
	s := b.String()
	if len(s) > maxShown {
		s = clipText(s, maxShown)
	}
	return s
}

// lastName is what a reference ends in: only the field itself makes a secret,
// not an object that it lies in.
func lastName(name string) string {
	name = strings.TrimRight(name, `"]`)
	if i := strings.LastIndexAny(name, `."[`); i >= 0 {
		name = name[i+1:]
	}
	return name
}

func (h *hider) write(b *strings.Builder, v ast.Value, depth int) {
	switch v := v.(type) {
	case ast.String:
		b.WriteString(strconv.Quote(printable(h.hide(string(v)))))
	case ast.Number:
		b.WriteString(h.hide(v.String()))
	case *ast.Array:
		h.list(b, "[", "]", v.Len(), depth, v.Iter)
	case ast.Set:
		if v.Len() == 0 {
			b.WriteString("set()")
			return
		}
		h.list(b, "{", "}", v.Len(), depth, v.Iter)
	case ast.Object:
		h.object(b, v, depth)
	default:
		b.WriteString(v.String())
	}
}

func (h *hider) list(b *strings.Builder, open, end string, n, depth int, iter func(func(*ast.Term) error) error) {
	if depth >= maxShownDepth && n > 0 {
		b.WriteString(open + "…" + end)
		return
	}
	b.WriteString(open)
	i := 0
	_ = iter(func(t *ast.Term) error { // the function returns no error
		if i > 0 && i <= maxShownElements {
			b.WriteString(", ")
		}
		switch {
		case i < maxShownElements:
			h.write(b, t.Value, depth+1)
		case i == maxShownElements:
			b.WriteString("… " + strconv.Itoa(n-i) + " more")
		}
		i++
		return nil
	})
	b.WriteString(end)
}

func (h *hider) object(b *strings.Builder, o ast.Object, depth int) {
	if depth >= maxShownDepth && o.Len() > 0 {
		b.WriteString("{…}")
		return
	}
	b.WriteByte('{')
	keys := o.Keys()
	slices.SortFunc(keys, func(a, b *ast.Term) int { return a.Value.Compare(b.Value) })
	for i, k := range keys {
		if i > 0 {
			b.WriteString(", ")
		}
		if i == maxShownElements {
			b.WriteString("… " + strconv.Itoa(len(keys)-i) + " more")
			break
		}
		h.write(b, k.Value, depth+1)
		b.WriteString(": ")
		if s, ok := k.Value.(ast.String); ok && authz.SecretName(string(s)) {
			b.WriteString(authz.Masked)
			continue
		}
		h.write(b, o.Get(k).Value, depth+1)
	}
	b.WriteByte('}')
}

// printable shortens a text and frees it of what would move a terminal.
func printable(s string) string {
	s = clipText(s, maxShownText)
	return strings.Map(func(c rune) rune {
		if !unicode.IsPrint(c) {
			return utf8.RuneError
		}
		return c
	}, s)
}

// clipText cuts at a character.
func clipText(s string, most int) string {
	if len(s) <= most {
		return s
	}
	for most > 0 && !utf8.RuneStart(s[most]) {
		most--
	}
	return s[:most] + "…"
}
