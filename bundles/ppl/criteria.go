package ppl

import (
	"net/netip"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// criterion reads one. opens says that its holding works towards letting somebody
// in; what cannot be expressed is then taken not to hold, else to hold.
func (im *importer) criterion(r *routeModel, p pair, opens bool, zone string) (*criterion, error) {
	c := &criterion{line: p.line, text: p.key}
	switch {
	case p.key == "accept", p.key == "reject":
		c.body = boolean(p.key == "accept")
		return c, nil
	case p.key == "authenticated_user", selfOf(p):
		c.body, c.personal = "true", true
		return c, nil
	case strings.HasPrefix(p.key, "claim/"):
		return c, im.claim(r, c, p, opens)
	case isTime(p.key):
		w, err := im.window([]pair{p, {key: "time", value: zoneOnly(zone)}})
		if err != nil {
			return nil, err
		}
		r.call(c, "hours")
		r.data[c.name], c.body = w.data(), "opening.open(time.now_ns(), "+dataMark+c.name+")"
		return c, nil
	}
	if subject, ok := subjects[p.key]; ok {
		return c, im.matcher(r, c, p, subject, opens)
	}
	switch p.key {
	case "date":
		return c, im.date(r, c, p)
	case "cors_preflight":
		r.call(c, "preflight")
		c.body = "methods.preflight"
		return c, nil
	case "source_ip":
		return c, im.sourceIP(r, c, p, opens)
	case "client_certificate":
		return c, im.certificate(r, c, p, opens)
	}
	im.unknown(r, c, p, opens, missing(p.key))
	return c, nil
}

// zoneOnly is a time criterion that names a zone and nothing else.
func zoneOnly(zone string) *yaml.Node {
	key, value := &yaml.Node{Kind: yaml.ScalarNode, Value: "timezone"}, &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: zone}
	return &yaml.Node{Kind: yaml.MappingNode, Content: []*yaml.Node{key, value}}
}

func boolean(b bool) string {
	if b {
		return "true"
	}
	return "false"
}

// unknown is what cannot be expressed.
func (im *importer) unknown(r *routeModel, c *criterion, p pair, opens bool, why string) {
	c.body, c.personal, c.text = boolean(!opens), false, p.key+", which has no equivalent"
	im.note(p.line, Denies, r.key(), p.key, "%s: it is taken to refuse", why)
}

// missing says of a criterion why there is none of it here.
func missing(key string) string {
	switch {
	case key == "groups":
		return "groups of a directory are not known here; name them by a claim (claim/groups) or by roles"
	case key == "device":
		return "devices are not known here; ask for a second factor by the route's setting second_factor"
	case key == "invalid_client_certificate":
		return "what becomes of certificates that are not valid is a setting of the host, client_certificates"
	case key == "record":
		return "is of Pomerium's enterprise edition"
	case key == "pomerium_routes":
		return "Pomerium's own pages are not there; the gate's own are always reached"
	case slices.Contains([]string{"and", "or", "not", "nor"}, key):
		return "operators do not stand in one another, in Pomerium either; write a rule for each"
	case strings.HasPrefix(key, "ssh_"), key == "mcp_tool":
		return "is of a protocol that the gate does not speak"
	}
	return "is not known here"
}

// subject is what a matcher of texts looks at. In what closes an address counts
// though it be unverified, so that nobody evades by that.
type subject struct {
	opens, closes string
	personal      bool
}

var subjects = map[string]subject{
	"user":        {"input.session.user.id", "input.session.user.id", true},
	"email":       {"ppl.email", "ppl.email_said", true},
	"domain":      {"ppl.domain(ppl.email)", "ppl.domain_said", true},
	"http_method": {"input.attributes.request.http.method", "input.attributes.request.http.method", false},
	"http_path":   {"ppl.path", "ppl.path", false},
}

var (
	textOperators = []string{"is", "not", "contains", "starts_with", "ends_with", "in", "not_in"}
	listOperators = []string{"has", "is", "exclude"}
)

// matcher reads what a text is held against.
func (im *importer) matcher(r *routeModel, c *criterion, p pair, s subject, opens bool) error {
	m, bad, err := im.operators(p, "is", textOperators)
	if err != nil {
		return err
	}
	if bad != "" {
		im.unknown(r, c, p, opens, bad)
		return nil
	}
	term := s.opens
	if !opens {
		term = s.closes
	}
	r.call(c, strings.TrimPrefix(p.key, "http_"))
	r.data[c.name], c.body, c.personal = m, "ppl.matches("+term+", "+dataMark+c.name+")", s.personal
	return nil
}

// operators reads a value, which is that of the operator first, or a mapping of
// operators, which all have to hold. bad says what is not understood.
func (im *importer) operators(p pair, first string, known []string) (m map[string]any, bad string, err error) {
	if p.value.Kind == yaml.ScalarNode && !isNull(p.value) {
		return map[string]any{first: p.value.Value}, "", nil
	}
	if !isMap(p.value) || len(p.value.Content) == 0 {
		return nil, "want text, or operators", nil
	}
	m = map[string]any{}
	for _, k := range pairs(p.value) {
		if !slices.Contains(known, k.key) {
			return nil, "there is no operator " + clip(k.key) + "; there are " + strings.Join(known, ", "), nil
		}
		if k.key == "in" || k.key == "not_in" {
			values, err := im.texts(k.value, p.key+"."+k.key)
			if err != nil {
				return nil, "", err
			}
			m[k.key] = list(values)
			continue
		}
		s, err := im.text(k.value, p.key+"."+k.key)
		if err != nil {
			return nil, "", err
		}
		if strings.Contains(s, "{{") {
			return nil, "templates are not read", nil
		}
		m[k.key] = s
	}
	return m, "", nil
}

func (im *importer) claim(r *routeModel, c *criterion, p pair, opens bool) error {
	path := strings.TrimPrefix(p.key, "claim/")
	if claim, ok := endOf(p); ok {
		if !opens { // an end that cannot be read has passed
			im.unknown(r, c, p, opens, "after_now can open, not close")
			return nil
		}
		r.call(c, "claim")
		c.body, c.personal = "ppl.running("+quote(claim)+")", true
		return nil
	}
	m, bad, err := im.operators(p, "has", listOperators)
	if err != nil {
		return err
	}
	if path == "" {
		bad = "want a claim's name after claim/"
	}
	if bad != "" {
		im.unknown(r, c, p, opens, bad)
		return nil
	}
	values := "ppl.claim(" + quote(path) + ")"
	kind := "claim"
	if zitadelRoles.MatchString(path) {
		kind, values = "roles", "roles.held"
		im.noteRoles(r, p)
	}
	r.call(c, kind)
	c.claim = path
	r.data[c.name], c.body, c.personal = m, "ppl.lists("+values+", "+dataMark+c.name+")", true
	return nil
}

func (im *importer) sourceIP(r *routeModel, c *criterion, p pair, opens bool) error {
	n := p.value
	if isMap(n) && len(n.Content) == 2 && (n.Content[0].Value == "is" || n.Content[0].Value == "in") {
		n = n.Content[1]
	}
	if isMap(n) {
		im.unknown(r, c, p, opens, "want addresses or ranges")
		return nil
	}
	ranges, err := im.texts(n, p.key)
	if err != nil {
		return err
	}
	for _, s := range ranges {
		_, errA := netip.ParseAddr(s)
		if _, errP := netip.ParsePrefix(s); errA != nil && errP != nil {
			return im.errorf(n, "source_ip: %q is neither an address nor a range", clip(s))
		}
	}
	r.call(c, "addresses")
	r.data[c.name], c.body = list(ranges), "address.client_within("+dataMark+c.name+")"
	if !opens { // without an address nobody can tell that it is not among them
		c.body = "ppl.perhaps_within(" + dataMark + c.name + ")"
	}
	return nil
}

var fingerprint = regexp.MustCompile(`^[0-9a-f]{64}$`)

// certificate reads fingerprints; other properties are not forwarded.
func (im *importer) certificate(r *routeModel, c *criterion, p pair, opens bool) error {
	n := p.value
	if !isMap(n) || len(n.Content) != 2 || n.Content[0].Value != "fingerprint" {
		im.unknown(r, c, p, opens, "of client certificates only the fingerprint is compared")
		return nil
	}
	list_, err := im.texts(n.Content[1], p.key+".fingerprint")
	if err != nil {
		return err
	}
	for i, s := range list_ {
		list_[i] = strings.ToLower(strings.ReplaceAll(s, ":", ""))
		if !fingerprint.MatchString(list_[i]) {
			return im.errorf(n.Content[1], "client_certificate.fingerprint: %q is no SHA-256 in hex", clip(s))
		}
	}
	im.note(p.line, Look, r.key(), p.key, "the host has to ask for client certificates: client_certificates in docs/tls.md")
	r.call(c, "certificates")
	r.data[c.name], c.body = list(list_), "input.attributes.source.certificate.fingerprint_sha256 in "+dataMark+c.name
	return nil
}
