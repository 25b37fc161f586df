package decisionlog

import (
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/neosc/gate/authz"
)

// Pointers of what is masked by default.
const (
	headerPointer = "/input/attributes/request/http/headers"
	pathPointer   = "/input/attributes/request/http/path"
	queryPointer  = "/input/parsed_query"
)

// pointerEscapes are RFC 6901's.
var pointerEscapes = strings.NewReplacer("~", "~0", "/", "~1")

// input writes the document that policy decided on, without secrets. Of requests
// that policy was not asked about it is what would have been.
func (e *encoder) input(parts *shared, r *authz.Request, o *authz.Outcome) {
	e.look(r)
	e.b = append(e.b, `{"version":{"encoding":"protojson","ext_authz":"v3"},"attributes":{"source":{`...)
	e.peer(r.Source, r.Certificate, "/input/attributes/source")
	e.b = append(e.b, `},"destination":{`...)
	e.peer(r.Destination, nil, "/input/attributes/destination")
	e.b = append(e.b, `},"request":{"time":`...)
	e.from = len(e.b)
	e.now(r.Time)
	e.to = len(e.b)
	e.b = append(e.b, `,"http":{"id":`...)
	e.sent(r.ID, maxShort, "/input/attributes/request/http/id")
	e.b = append(e.b, `,"method":`...)
	e.sent(r.Method, maxShort, "/input/attributes/request/http/method")
	e.b = append(e.b, `,"headers":{`...)
	e.headers(r)
	e.b = append(e.b, `},"path":`...)
	if written := e.b[e.pathAt:e.pathEnd]; len(written) == len(r.Path)+2 && string(written[1:len(written)-1]) == r.Path {
		e.b = append(e.b, written...) // as in the header, with nothing to mask or to escape
	} else {
		e.path(r.Path, true)
	}
	e.b = append(e.b, `,"host":`...)
	e.sent(r.Host, maxShort, "/input/attributes/request/http/host")
	e.b = append(e.b, `,"scheme":`...)
	e.text(r.Scheme, maxShort, "/input/attributes/request/http/scheme")
	e.b = append(e.b, `,"protocol":`...)
	e.text(r.Protocol, maxShort, "/input/attributes/request/http/protocol")
	e.b = append(e.b, `}},"contextExtensions":`...)
	e.extensions(r.Extensions)
	e.b = append(e.b, `},"parsed_path":[`...)
	e.parsedPath(r)
	e.b = append(e.b, `],"parsed_query":{`...)
	e.parsedQuery(r)
	e.b = append(e.b, `},"parsed_body":null,`...)
	e.b = append(e.b, parts.route(r.Route)...)
	if o.Session != nil {
		s := parts.session(o.Session)
		e.b = append(append(e.b, ','), s.text...)
		e.masked = join(e.masked, s.masked)
		e.erased = join(e.erased, s.erased)
	}
	e.b = append(e.b, '}')
}

func join(list, more []byte) []byte {
	if len(list) > 0 && len(more) > 0 {
		list = append(list, ',')
	}
	return append(list, more...)
}

func (e *encoder) peer(p authz.Peer, c *authz.Certificate, pointer string) {
	start := len(e.b)
	if p.Addr.IsValid() {
		e.b = append(e.b, `"address":{"socketAddress":{"address":"`...)
		e.b = p.Addr.Addr().Unmap().WithZone("").AppendTo(e.b)
		e.b = append(e.b, `","portValue":`...)
		e.b = strconv.AppendUint(e.b, uint64(p.Addr.Port()), 10)
		e.b = append(e.b, `}}`...)
	}
	if p.Principal != "" {
		e.member(start, `"principal":`)
		e.text(p.Principal, maxValue, pointer)
	}
	if c != nil {
		e.member(start, `"certificate":{"subject":`)
		e.text(c.Subject, maxValue, pointer)
		e.b = append(e.b, `,"issuer":`...)
		e.text(c.Issuer, maxValue, pointer)
		e.b = append(e.b, `,"dns_names":`...)
		e.texts(c.DNSNames, pointer)
		e.b = append(e.b, `,"uri_names":`...)
		e.texts(c.URINames, pointer)
		e.b = append(e.b, `,"fingerprint_sha256":`...)
		e.text(c.Fingerprint, maxShort, pointer)
		e.b = append(e.b, `,"serial":`...)
		e.text(c.Serial, maxShort, pointer)
		e.b = append(e.b, `,"not_before":`...)
		e.instant(c.NotBefore)
		e.b = append(e.b, `,"not_after":`...)
		e.instant(c.NotAfter)
		e.b = append(e.b, '}')
	}
}

// member begins another member of an object that began at start.
func (e *encoder) member(start int, name string) {
	if len(e.b) > start {
		e.b = append(e.b, ',')
	}
	e.b = append(e.b, name...)
}

// path writes a path and its query without secrets, and reports whether there are
// any.
func (e *encoder) path(whole string, named bool) (hidden bool) {
	pointer := ""
	if named {
		pointer = pathPointer
	}
	shown := e.secrets.ShownPath()
	if hidden = shown != whole; hidden && named {
		e.masked = addPointer(e.masked, pathPointer, "")
		pointer = ""
	}
	e.text(shown, maxPath, pointer)
	return hidden
}

func (e *encoder) parsedPath(r *authz.Request) {
	path, _ := r.SplitPath()
	if wary := !e.secrets.None(); wary || strings.Contains(path, "%") {
		segments, _ := r.ParsedPath()                                                     // what cannot be read policy was not asked about
		if whole := strings.Join(segments, "/"); wary && e.secrets.Hide(whole) != whole { // a secret may have been parted
			e.masked = addPointer(e.masked, "/input/parsed_path", "")
			segments = strings.Split(e.secrets.Hide(whole), "/")
		}
		for i, s := range segments {
			e.segment(i, s)
		}
		return
	}
	rest := strings.TrimLeft(path, "/")
	for i := 0; ; i++ {
		at := strings.IndexByte(rest, '/')
		if at < 0 {
			e.segment(i, rest)
			return
		}
		e.segment(i, rest[:at])
		rest = rest[at+1:]
	}
}

func (e *encoder) segment(i int, s string) {
	if i > 0 {
		e.b = append(e.b, ',')
	}
	if e.secrets.InPath() { // what is in it escaped is no longer
		if shown := authz.MaskAddress(s); shown != s {
			e.masked = addPointer(e.masked, "/input/parsed_path", "")
			s = shown
		}
	}
	e.sent(s, maxPath, "/input/parsed_path")
}

// maxSearched is how many parameters are searched one by one for others of their
// name, which is quickest for a few: of the thousands that a path has room for it
// took 0.3 s.
const maxSearched = 16

// maxNamed is how many secret parameters are named one by one.
const maxNamed = 32

// parsedQuery writes each parameter with all its values.
func (e *encoder) parsedQuery(r *authz.Request) {
	_, query := r.SplitPath()
	if query == "" {
		return
	}
	if strings.ContainsAny(query, "%+;") || strings.Count(query, "&") > maxSearched {
		values, err := url.ParseQuery(query)
		if err != nil {
			return // policy was not asked
		}
		for i, name := range slices.Sorted(maps.Keys(values)) {
			if i > 0 {
				e.b = append(e.b, ',')
			}
			e.parameter(name, values[name])
		}
		return
	}
	start, before := len(e.b), 0
	for rest := query; rest != ""; {
		var pair string
		pair, rest, _ = strings.Cut(rest, "&")
		name, _, _ := strings.Cut(pair, "=")
		if at := before; pair != "" && !slices.Contains(e.seen[len(e.seen)-at:], name) {
			e.seen, before = append(e.seen, name), before+1
			if len(e.b) > start {
				e.b = append(e.b, ',')
			}
			e.parameter(name, e.valuesOf(query, name))
		}
	}
}

// valuesOf are the values of a parameter in a query without escapes, until it is
// called again.
func (e *encoder) valuesOf(query, name string) []string {
	e.values = e.values[:0]
	for query != "" {
		var pair string
		pair, query, _ = strings.Cut(query, "&")
		if n, value, _ := strings.Cut(pair, "="); pair != "" && n == name {
			e.values = append(e.values, value)
		}
	}
	return e.values
}

func (e *encoder) parameter(name string, values []string) {
	secret, hidden := authz.SecretParameter(name), e.secrets.InPath()
	shown := name
	if hidden {
		shown = authz.MaskAddress(name)
	}
	if shown = e.secrets.Hide(shown); shown != name {
		e.masked = addPointer(e.masked, queryPointer, "")
	}
	e.text(shown, maxShort, queryPointer)
	e.b = append(e.b, `:[`...)
	if secret && shown == name {
		e.secretParameter(name)
	}
	for i, v := range values {
		if i > 0 {
			e.b = append(e.b, ',')
		}
		if secret {
			v = authz.Masked
		} else if hidden {
			if address := authz.MaskAddress(v); address != v {
				e.masked = addPointer(e.masked, queryPointer, "")
				v = address
			}
		}
		e.sent(v, maxPath, queryPointer)
	}
	e.b = append(e.b, ']')
}

// secretParameter names one among what is masked. Where there are many it names
// all parameters: thousands of names are no help to who reads them.
func (e *encoder) secretParameter(name string) {
	if e.hidden++; e.hidden > maxNamed+1 {
		return
	}
	if e.hidden > maxNamed {
		name = ""
	}
	e.masked = addPointer(e.masked, queryPointer, name)
}
