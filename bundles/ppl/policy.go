package ppl

import (
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// routeKeys read what opens and closes a route.
var routeKeys = map[string]func(*importer, *routeModel, pair) error{
	"allow_public_unauthenticated_access": func(im *importer, r *routeModel, p pair) error {
		return im.flag(r, p, &criterion{body: "true", text: "everybody"})
	},
	"allow_any_authenticated_user": func(im *importer, r *routeModel, p pair) error {
		return im.flag(r, p, &criterion{body: "true", personal: true, text: "whoever is signed in"})
	},
	"cors_allow_preflight": func(im *importer, r *routeModel, p pair) error {
		return im.flag(r, p, &criterion{body: "methods.preflight", text: "CORS preflights"})
	},
	"allowed_users":      (*importer).allowedUsers,
	"allowed_domains":    (*importer).allowedDomains,
	"allowed_idp_claims": (*importer).allowedClaims,
	"allowed_groups": func(im *importer, r *routeModel, p pair) error {
		im.note(p.line, Denies, r.key(), p.key, "groups of a directory are not known here; name them by a claim of the provider (claim/groups) or by roles")
		return nil
	},
	"sub_policies": func(im *importer, r *routeModel, p pair) error {
		im.note(p.line, Denies, r.key(), p.key, "has no equivalent: what it opens is refused; and since it may deny, look at the whole route")
		r.deny = append(r.deny, rule{line: p.line, op: "and", criteria: []*criterion{{line: p.line, body: "true", text: "sub_policies"}}})
		return nil
	},
	"policy":     (*importer).policy,
	"rate_limit": func(im *importer, r *routeModel, p pair) error { return im.rateLimit(r, p) },
}

// dataMark stands for the data of the route's criteria until the route has its
// name.
const dataMark = "\x00"

// call gives a criterion the next name of a kind.
func (r *routeModel) call(c *criterion, kind string) {
	r.names[kind]++
	c.name = kind + "_" + strconv.Itoa(r.names[kind])
	r.criteria = append(r.criteria, c)
}

func kindOf(name string) string { return name[:strings.LastIndexByte(name, '_')] }

// opens adds a rule of one criterion to what allows.
func (r *routeModel) opens(c *criterion) {
	r.allow = append(r.allow, rule{line: c.line, op: "or", criteria: []*criterion{c}})
}

func (im *importer) flag(r *routeModel, p pair, c *criterion) error {
	on, err := im.boolean(p.value, p.key)
	if !on || err != nil {
		return err
	}
	c.line = p.line
	if c.body != "true" {
		r.call(c, "preflight")
	}
	r.opens(c)
	return nil
}

func (im *importer) allowedUsers(r *routeModel, p pair) error {
	names, err := im.texts(p.value, p.key)
	if err != nil {
		return err
	}
	c := &criterion{line: p.line, personal: true, text: p.key}
	r.call(c, "users")
	r.data[c.name], c.body = list(names), "ppl.named("+dataMark+c.name+")"
	r.opens(c)
	return nil
}

func (im *importer) allowedDomains(r *routeModel, p pair) error {
	names, err := im.texts(p.value, p.key)
	if err != nil {
		return err
	}
	c := &criterion{line: p.line, personal: true, text: p.key}
	r.call(c, "domains")
	r.data[c.name], c.body = list(names), "ppl.domain(ppl.email) in "+dataMark+c.name
	r.opens(c)
	return nil
}

// allowedClaims: every pair of a claim and a value opens by itself.
func (im *importer) allowedClaims(r *routeModel, p pair) error {
	if !isMap(p.value) {
		return im.errorf(p.value, "%s: want claims and their values", p.key)
	}
	for _, k := range pairs(p.value) {
		values, err := im.texts(k.value, p.key+"."+k.key)
		if err != nil {
			return err
		}
		c := &criterion{line: k.line, personal: true, text: p.key + " " + k.key, claim: k.key}
		switch {
		case slices.Contains(values, "*"):
			r.call(c, "claim")
			c.body = "ppl.any_text(" + quote(k.key) + ")"
			im.note(k.line, Look, r.key(), p.key+"."+k.key, "\"*\" is read as any text; Pomerium takes it for that very letter")
		case zitadelRoles.MatchString(k.key):
			r.call(c, "roles")
			c.body = "roles.one_of(" + dataMark + c.name + ")"
			im.noteRoles(r, k)
		default:
			r.call(c, "claim")
			c.body = "some value in ppl.claim(" + quote(k.key) + ")\nvalue in " + dataMark + c.name
		}
		if !slices.Contains(values, "*") {
			r.data[c.name] = list(values)
		}
		r.opens(c)
	}
	return nil
}

// zitadelRoles are the claims that hold a person's roles; the gate has read them
// at sign-in, whatever form they have.
var zitadelRoles = regexp.MustCompile(`^urn:zitadel:iam:org:project(:[0-9A-Za-z_{}-]+)?:roles$`)

func (im *importer) noteRoles(r *routeModel, k pair) {
	im.note(k.line, Look, r.key(), k.key, "is read as the roles that the gate took from it at sign-in; Pomerium itself would look for these words in another place")
}

// policy reads PPL: a mapping of actions, or a list of such.
func (im *importer) policy(r *routeModel, p pair) error {
	items := []*yaml.Node{p.value}
	if isList(p.value) {
		items = p.value.Content
	}
	for _, item := range items {
		if !isMap(item) {
			return im.errorf(item, "policy: want allow or deny")
		}
		if err := im.actions(r, item); err != nil {
			return err
		}
	}
	return nil
}

func (im *importer) actions(r *routeModel, n *yaml.Node) error {
	limited, err := im.limitsIn(r, n)
	if err != nil {
		return err
	}
	for _, p := range pairs(n) {
		switch p.key {
		case "allow", "deny":
			if err := im.action(r, p, limited); err != nil {
				return err
			}
		case "rate_limit":
		default:
			return im.errorf(p.value, "policy: there is no action %q; there are allow and deny", clip(p.key))
		}
	}
	return nil
}

// limitsIn keeps the rate limit of a mapping, if it has one.
func (im *importer) limitsIn(r *routeModel, n *yaml.Node) (found bool, err error) {
	if !isMap(n) {
		return false, nil
	}
	for _, p := range pairs(n) {
		if p.key == "rate_limit" {
			found = true
			if err := im.rateLimit(r, p); err != nil {
				return true, err
			}
		}
	}
	return found, nil
}

func (im *importer) action(r *routeModel, p pair, limited bool) error {
	if !isMap(p.value) {
		return im.errorf(p.value, "%s: want and, or, not or nor", p.key)
	}
	inner, err := im.limitsIn(r, p.value)
	if err != nil {
		return err
	}
	for _, o := range pairs(p.value) {
		if o.key == "rate_limit" {
			continue
		}
		if !slices.Contains([]string{"and", "or", "not", "nor"}, o.key) {
			return im.errorf(o.value, "%s: there is no operator %q; there are and, or, not and nor", p.key, clip(o.key))
		}
		if err := im.operator(r, p.key, o, limited || inner); err != nil {
			return err
		}
	}
	return nil
}

// operator reads the criteria of one operator, which are a rule by themselves.
func (im *importer) operator(r *routeModel, action string, o pair, limited bool) error {
	var items []pair
	nodes := o.value.Content
	if isMap(o.value) {
		nodes = []*yaml.Node{o.value}
	}
	for _, n := range nodes {
		if !isMap(n) {
			return im.errorf(n, "%s: want criteria: a list of mappings", o.key)
		}
		own, err := im.limitsIn(r, n)
		if err != nil {
			return err
		}
		limited = limited || own
		for _, p := range pairs(n) {
			if p.key != "rate_limit" {
				items = append(items, p)
			}
		}
	}
	if len(items) == 0 {
		return im.errorf(o.value, "%s: there are no criteria; an empty %s would hold always or never", o.key, o.key)
	}
	if action == "allow" {
		if done, err := im.condition(r, o, items, limited); done || err != nil {
			return err
		}
	}
	out := rule{line: o.line, op: o.key}
	zone := im.zone(items)
	for _, p := range items {
		c, err := im.criterion(r, p, (action == "allow") == (o.key == "and" || o.key == "or"), zone)
		if err != nil {
			return err
		}
		out.criteria = append(out.criteria, c)
	}
	if action == "allow" {
		r.allow = append(r.allow, out)
	} else {
		r.deny = append(r.deny, out)
	}
	return nil
}

// condition takes an allow of hours, ends and limits alone for what it was meant
// to be: read as it stands it would open the route to everybody, at these hours.
func (im *importer) condition(r *routeModel, o pair, items []pair, limited bool) (bool, error) {
	timed, dated, ends := false, false, []string{}
	for _, p := range items {
		switch claim, end := endOf(p); {
		case isTime(p.key):
			timed = true
		case p.key == "date":
			dated = true
		case end:
			ends = append(ends, claim)
		case !selfOf(p):
			return false, nil
		}
	}
	if dated {
		im.note(o.line, Denies, r.key(), "date", "dates and hours alone open nothing; write them in and, beside what opens the route")
		return true, nil
	}
	if !timed && len(ends) == 0 && !limited {
		return false, nil
	}
	if o.key != "and" && len(items) > 1 {
		im.note(o.line, Denies, r.key(), o.key, "hours and ends alone open nothing, and together in %s they are no condition either; write them in and", o.key)
		return true, nil
	}
	if o.key == "not" || o.key == "nor" {
		im.note(o.line, Denies, r.key(), o.key, "hours and ends alone open nothing; write what is meant in a deny")
		return true, nil
	}
	if timed {
		if err := im.oneWindow(items); err != nil {
			return true, err
		}
		w, err := im.window(items)
		if err != nil {
			return true, err
		}
		r.hours = append(r.hours, w)
		im.note(o.line, Stricter, r.key(), "time", "these hours open nothing by themselves: they are a condition beside what opens the route, outside_business_hours")
	}
	for _, claim := range ends {
		if !slices.Contains(im.expiry, claim) {
			im.expiry = append(im.expiry, claim)
		}
		im.note(o.line, Stricter, r.key(), "claim/"+claim, "after_now opens nothing by itself: whoever has the claim is refused once it has passed, on every route")
	}
	if limited {
		im.note(o.line, Stricter, r.key(), "rate_limit", "opens nothing by itself: it limits each person on this route")
	}
	return true, nil
}

var self = regexp.MustCompile(`^\{\{\s*\.User\.[A-Za-z]+\s*\}\}$`)

// selfOf reports whether a criterion says that the person is the person.
func selfOf(p pair) bool {
	if p.key != "user" && p.key != "email" {
		return false
	}
	n := p.value
	if isMap(n) && len(n.Content) == 2 && n.Content[0].Value == "is" {
		n = n.Content[1]
	}
	return n.Kind == yaml.ScalarNode && self.MatchString(n.Value)
}

// endOf reports whether a criterion is a claim that has to be after now.
func endOf(p pair) (claim string, ok bool) {
	if claim, ok = strings.CutPrefix(p.key, "claim/"); !ok || !isMap(p.value) || len(p.value.Content) != 2 {
		return "", false
	}
	return claim, p.value.Content[0].Value == "is" && p.value.Content[1].Value == "after_now"
}

func (im *importer) rateLimit(r *routeModel, p pair) error {
	if !isMap(p.value) {
		return im.errorf(p.value, "rate_limit: want requests_per_second and burst")
	}
	l := limit{}
	for _, k := range pairs(p.value) {
		s, err := im.text(k.value, "rate_limit."+k.key)
		if err != nil {
			return err
		}
		switch k.key {
		case "requests_per_second":
			l.rate, err = strconv.ParseFloat(s, 64)
		case "burst":
			l.burst, err = strconv.Atoi(s)
		default:
			im.note(k.line, Look, r.key(), "rate_limit."+k.key, "is not read")
		}
		if err != nil {
			return im.errorf(k.value, "rate_limit.%s: %q is no number", k.key, clip(s))
		}
	}
	if !(l.rate >= 0.1 && l.rate <= 1e6) {
		return im.errorf(p.value, "rate_limit: want requests_per_second, from 0.1 to 1000000")
	}
	if l.burst == 0 {
		l.burst = max(1, int(l.rate))
	}
	if l.burst < 1 || l.burst > 1e6 {
		return im.errorf(p.value, "rate_limit: burst is 1 to 1000000")
	}
	r.limits = append(r.limits, l)
	return nil
}

func list(texts []string) []any {
	out := make([]any, len(texts))
	for i, s := range texts {
		out[i] = s
	}
	return out
}

// quote is a text in Rego, whose strings are JSON's.
func quote(s string) string { return jsonText(s) }
