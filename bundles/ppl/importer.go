package ppl

import (
	"cmp"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Options make an import.
type Options struct {
	// Name is the file's, for messages and comments.
	Name string
	// Gate is the gate's own origin; "" means authenticate_service_url's, else the
	// host gate of the domain that all hosts share.
	Gate string
	// Also are roles by host of which whoever is let in must hold one besides: role
	// tables often stand beside Pomerium's file, not in it.
	Also map[string][]string
	// Base are the files that every policy set needs (policies.Base). Required.
	Base map[string][]byte
}

// Result is what an import makes.
type Result struct {
	// Files by slash-separated name: routes.yaml, policies/… and REPORT.txt.
	Files map[string][]byte
	// Notes are sorted by line.
	Notes []Note
	// Routes are the names of the routes, in the order of the file, and Lines where
	// each of them begins there.
	Routes []string
	Lines  map[string]int
}

// importer is one import as it goes.
type importer struct {
	options Options
	name    string
	gate    string
	notes   []Note
	routes  []*routeModel
	left    []*routeModel // out, though they would take requests
	expiry  []string      // claims that end a session
	respond []header      // for all routes
	pass    bool          // identity, on all routes that do not say
}

// maxRoutes bounds what is written.
const maxRoutes = 1000

// Import turns Pomerium's configuration into a routes file and a policy set. The
// error is for what cannot be read, with its line; what can be read and not be
// expressed is in the notes.
func Import(text []byte, o Options) (*Result, error) {
	im := &importer{options: o, name: cmp.Or(o.Name, "pomerium.yaml"), gate: o.Gate}
	if len(o.Base[dataFile]) == 0 {
		return nil, errors.New("ppl: Options.Base is missing")
	}
	root, err := im.read(text)
	if err != nil {
		return nil, err
	}
	if err := im.top(root); err != nil {
		return nil, err
	}
	if err := im.finish(root); err != nil {
		return nil, err
	}
	return im.write()
}

func (im *importer) note(n int, k Kind, route, key, format string, args ...any) {
	im.notes = append(im.notes, Note{Line: n, Kind: k, Route: route, Key: clip(key), What: fmt.Sprintf(format, args...)})
}

// top reads the file's own keys; a bare list is one of routes.
func (im *importer) top(root *yaml.Node) error {
	if isList(root) {
		return im.list(root)
	}
	if !isMap(root) {
		return im.errorf(root, "want routes: a list, or policy: as older files call it")
	}
	var lists []pair
	for _, p := range pairs(root) {
		var err error
		switch p.key {
		case "routes":
			lists = append(lists, p)
		case "policy": // those go first
			lists = append([]pair{p}, lists...)
		case "authenticate_service_url":
			err = im.own(p)
		case "pass_identity_headers":
			im.pass, err = im.boolean(p.value, p.key)
		case "set_response_headers":
			im.respond, err = im.headers(&routeModel{}, p, false)
		default:
			im.note(p.line, Look, "", p.key, "a setting of Pomerium itself, which is not read: see docs/operations.md for what the gate has")
		}
		if err != nil {
			return err
		}
	}
	if len(lists) == 0 {
		return im.errorf(root, "neither routes nor policy: there is nothing to import")
	}
	for _, p := range lists {
		if !isList(p.value) {
			return im.errorf(p.value, "%s: want a list of routes", p.key)
		}
		if err := im.list(p.value); err != nil {
			return err
		}
	}
	return nil
}

func (im *importer) own(p pair) error {
	s, err := im.text(p.value, p.key)
	if err != nil {
		return err
	}
	u, err := url.Parse(s)
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
		return im.errorf(p.value, "%s: %q is no URL", p.key, clip(s))
	}
	im.gate = cmp.Or(im.gate, u.Scheme+"://"+u.Host)
	return nil
}

func (im *importer) list(n *yaml.Node) error {
	for _, c := range n.Content {
		if !isMap(c) {
			return im.errorf(c, "want a route: a mapping with from and to")
		}
		if len(im.routes) == maxRoutes {
			return im.errorf(c, "more than %d routes", maxRoutes)
		}
		r, err := im.route(c)
		if err != nil {
			return err
		}
		if r != nil {
			im.add(r)
		}
	}
	return nil
}

// add keeps a route, or what is left of one that Pomerium would never reach: what
// it would open it never did, and of one with the same match the conditions can
// only make the first stricter.
func (im *importer) add(r *routeModel) {
	r.at = len(im.routes) + len(im.left)
	for _, old := range slices.Concat(im.routes, im.left) {
		if old.origin != r.origin {
			continue
		}
		switch {
		case old.match == r.match && old.name != "":
			im.merge(old, r)
			return
		case old.match.covers(r.match):
			im.rename(r.key(), "")
			im.note(r.line, Look, "", "from", "the route in line %d comes first and takes every request of %s %s; Pomerium never reaches this one, and it is left out: write it before that one if it is meant", old.line, r.origin, r.match)
			return
		case old.match.prefix != "" && old.match.trimmed() == r.match.trimmed():
			im.rename(r.key(), "")
			im.note(r.line, Denies, "", "prefix", "with a slash at the end and without is the same here, and the route in line %d has it; this one is left out", old.line)
			im.left = append(im.left, r)
			return
		}
	}
	r.name = im.routeName(r.origin)
	im.rename(r.key(), r.name)
	im.routes = append(im.routes, r)
}

// merge adds a route's conditions to the one with the same host and match.
func (im *importer) merge(old, r *routeModel) {
	what := "has the same host and path as the one in line %d, so that Pomerium never reaches it; it opens nothing"
	if len(r.hours)+len(r.limits) > 0 {
		what += ", and its hours and limits hold for the other"
	}
	im.note(r.line, Stricter, old.name, "from", what, old.line)
	old.hours, old.limits = append(old.hours, r.hours...), append(old.limits, r.limits...)
	old.deny = append(old.deny, r.deny...)
	im.adopt(old, r)
}

// adopt gives the criteria of a route's denials to another, under names of its own.
func (im *importer) adopt(into, from *routeModel) {
	for _, d := range from.deny {
		for _, c := range d.criteria {
			old := c.name
			if old == "" { // a constant
				continue
			}
			into.call(c, kindOf(old))
			if v, ok := from.data[old]; ok {
				into.data[c.name] = v
				c.body = strings.ReplaceAll(c.body, dataMark+old, dataMark+c.name)
			}
		}
	}
	im.rename(from.key(), into.name)
}

// rename gives the notes of a route its name.
func (im *importer) rename(key, name string) {
	for i := range im.notes {
		if im.notes[i].Route == key {
			im.notes[i].Route = name
		}
	}
}

// key stands for a route in notes until it has a name.
func (r *routeModel) key() string { return fmt.Sprintf("\x00%d", r.line) }

var notName = regexp.MustCompile(`[^a-z0-9]+`)

// routeName is the first label of the host, with a number where others have it.
func (im *importer) routeName(origin string) string {
	_, host, _ := strings.Cut(origin, "://")
	label, _, _ := strings.Cut(strings.TrimPrefix(host, "*."), ".")
	base := strings.Trim(notName.ReplaceAllString(strings.ToLower(label), "-"), "-")
	if base == "" || base[0] >= '0' && base[0] <= '9' {
		base = strings.TrimSuffix("route-"+base, "-")
	}
	base = base[:min(len(base), 40)]
	taken := func(name string) bool {
		return name == "gate" || name == "gate-api" || slices.ContainsFunc(im.routes, func(r *routeModel) bool { return r.name == name })
	}
	name := base
	for i := 2; taken(name); i++ {
		name = fmt.Sprintf("%s-%d", base, i)
	}
	return name
}

// finish sees to what concerns the whole file.
func (im *importer) finish(root *yaml.Node) error {
	switch {
	case len(im.routes) == 0 && len(im.notes) == 0:
		return im.errorf(root, "the list of routes is empty")
	case len(im.routes) == 0:
		return im.errorf(root, "there is no route that can be imported:\n%s", report(im.name, im.notes))
	}
	for host, roles := range im.options.Also {
		found := false
		for _, r := range im.routes {
			if r.host() == host {
				r.alsoRoles, found = roles, true
			}
		}
		if !found {
			return fmt.Errorf("%s: no route is of the host %q, of which roles are asked besides", im.name, host)
		}
	}
	im.note(0, Look, "", "tls", "Envoy is to listen on 0.0.0.0:443; name its certificate by tls in the routes file, or put it behind what has one")
	if im.gate == "" {
		im.gate = im.guess()
		im.note(0, Look, "", "gate", "the gate's own origin is taken to be %s; name another with -gate", im.gate)
	}
	im.order()
	for _, r := range im.routes {
		if r.origin == im.gate {
			return fmt.Errorf("%s:%d: %s is the gate's own origin as well: name another with -gate", im.name, r.line, r.origin)
		}
		if r.passIdentity == nil {
			r.passIdentity = &im.pass
		}
		r.respond = append(slices.Clone(im.respond), r.respond...)
		if len(r.allow) == 0 {
			im.note(r.line, Denies, r.name, "policy", "nothing opens this route: it is refused to everybody; add allowed_… keys or an allow rule")
		}
	}
	slices.SortStableFunc(im.notes, func(a, b Note) int { return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Key, b.Key)) })
	return nil
}

func (r *routeModel) host() string {
	_, host, _ := strings.Cut(r.origin, "://")
	return host
}

// guess names host gate of the domain that all hosts share.
func (im *importer) guess() string {
	shared := parent(im.routes[0].host())
	for _, r := range im.routes[1:] {
		for shared != "" && !strings.HasSuffix("."+r.host(), "."+shared) {
			shared = parent(shared)
		}
	}
	for shared != "" && slices.ContainsFunc(im.routes, func(r *routeModel) bool { return r.host() == "gate."+shared || r.host() == shared }) {
		shared = parent(shared)
	}
	scheme, _, _ := strings.Cut(im.routes[0].origin, "://")
	return scheme + "://gate." + cmp.Or(shared, "example.com")
}

func parent(host string) string {
	_, rest, _ := strings.Cut(host, ".")
	if !strings.Contains(rest, ".") {
		return ""
	}
	return rest
}
