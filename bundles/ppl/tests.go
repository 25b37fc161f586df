package ppl

import (
	"fmt"
	"slices"
	"time"
)

// testView is one generated test.
type testView struct {
	Name, Comment string
	Lines         []string
}

// beginning is when the tests play: a Monday.
var beginning = time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC)

func (im *importer) tests() any {
	var out []testView
	for _, r := range im.routes {
		out = append(out, im.testsOf(r)...)
	}
	return map[string]any{"Now": beginning.UnixNano(), "Tests": out}
}

// testsOf tells what the route was meant to say to those whose lot is plain from
// the file: strangers, somebody of whom nothing is known, and for each rule of
// one criterion somebody who meets it.
func (im *importer) testsOf(r *routeModel) []testView {
	now, within := instant(r.hours, true)
	if !within {
		return nil
	}
	at := func(who, then string) string {
		return fmt.Sprintf("decide(%s, %s, %d)%s", quote(r.name), who, now.UnixNano(), then)
	}
	var out []testView
	add := func(name, why string, lines ...string) {
		out = append(out, testView{r.ident() + "_" + name, comment(fmt.Sprintf("%s:%d: %s", im.name, r.line, why)), lines})
	}
	quiet := func(c *criterion) bool { return c.name != "" && kindOf(c.name) == "preflight" } // GETs are none
	switch {
	case r.simple(func(c *criterion) bool { return c.personal || quiet(c) }) && r.needsSomebody():
		add("strangers", "strangers have to sign in", at("{}", `.reasons == {"unauthenticated"}`))
	case len(r.allow) == 0:
		add("strangers", "nothing opens it", "not "+at("{}", ".allowed"))
	}
	if r.simple(func(c *criterion) bool { return quiet(c) || c.personal && sample(r, c) != "" }) {
		add("somebody_else", "somebody who is none of those", "not "+at("session({})", ".allowed"))
	}
	if r.denies() || len(r.alsoRoles) > 0 {
		return out
	}
	for _, a := range r.allow {
		if len(a.criteria) != 1 || a.op != "and" && a.op != "or" {
			continue
		}
		c := a.criteria[0]
		if who := sample(r, c); c.name != "" && who != "" {
			add(c.name, c.text, at("session("+who+")", ".allowed"))
			if closed, ok := instant(r.hours, false); ok && len(r.hours) > 0 {
				add(c.name+"_closed", "outside its hours", fmt.Sprintf("decide(%s, session(%s), %d).reasons == {\"outside_business_hours\"}", quote(r.name), who, closed.UnixNano()))
			}
			if len(r.limits) > 0 {
				add(c.name+"_limited", "its limits", at("session("+who+")", fmt.Sprintf(".rate_limits[%d].requests_per_second == %v", len(r.limits)-1, r.limits[len(r.limits)-1].rate)))
			}
		}
	}
	return out
}

// simple reports whether the route has rules, none but of one criterion each,
// without not and nor, and all of them are like that.
func (r *routeModel) simple(like func(*criterion) bool) bool {
	if len(r.allow) == 0 || r.denies() {
		return false
	}
	return !slices.ContainsFunc(r.allow, func(a rule) bool {
		return len(a.criteria) != 1 || a.op != "and" && a.op != "or" || !like(a.criteria[0])
	})
}

// denies reports whether the file refuses somebody; what is refused besides are
// paths that the tests do not ask for.
func (r *routeModel) denies() bool {
	return slices.ContainsFunc(r.deny, func(d rule) bool { return !d.ours })
}

// needsSomebody reports whether some criterion is about the person.
func (r *routeModel) needsSomebody() bool {
	return slices.ContainsFunc(r.allow, func(a rule) bool {
		return slices.ContainsFunc(a.criteria, func(c *criterion) bool { return c.personal })
	})
}

// sample is a session that meets a criterion, as Rego, "" where none is plain.
func sample(r *routeModel, c *criterion) string {
	if c.name == "" {
		return ""
	}
	first := ""
	switch d := r.data[c.name].(type) {
	case []any:
		first, _ = d[0].(string)
	case map[string]any:
		if len(d) != 1 {
			return ""
		}
		for op, v := range d {
			if op == "is" || op == "has" {
				first, _ = v.(string)
			}
		}
		if first == "" {
			return ""
		}
	}
	switch kindOf(c.name) {
	case "users", "user":
		return jsonText(map[string]any{"user": map[string]any{"id": first, "email": "", "email_verified": false}})
	case "email":
		return jsonText(map[string]any{"user": map[string]any{"id": "u-1", "email": first, "email_verified": true}})
	case "domains", "domain":
		return jsonText(map[string]any{"user": map[string]any{"id": "u-1", "email": "somebody@" + first, "email_verified": true}})
	case "roles":
		return jsonText(map[string]any{"roles": []string{first}})
	case "claim":
		if c.claim == "" {
			return ""
		}
		if first == "" {
			first = "any"
		}
		return jsonText(map[string]any{"claims": map[string]any{c.claim: first}})
	}
	return ""
}

// instant is one of a week, half an hour apart, at which the hours are open, or
// closed; without hours everything is open.
func instant(hours []window, open bool) (time.Time, bool) {
	for i := range 7 * 48 {
		t := beginning.Add(time.Duration(i) * 30 * time.Minute)
		if (len(hours) == 0 || slices.ContainsFunc(hours, func(w window) bool { return w.open(t) })) == open {
			return t, true
		}
	}
	return time.Time{}, false
}

// open says what lib/opening.rego does.
func (w window) open(t time.Time) bool {
	zone, err := time.LoadLocation(w.timezone)
	if err != nil {
		return false
	}
	t = t.In(zone)
	c := [3]int{t.Hour(), t.Minute(), t.Second()}
	if slices.Compare(w.from[:], w.until[:]) < 0 {
		return w.days[t.Weekday().String()] && slices.Compare(c[:], w.from[:]) >= 0 && slices.Compare(c[:], w.until[:]) < 0
	}
	late := w.days[t.Weekday().String()] && slices.Compare(c[:], w.from[:]) >= 0
	early := w.days[((t.Weekday()+6)%7).String()] && slices.Compare(c[:], w.until[:]) < 0
	return late || early
}
