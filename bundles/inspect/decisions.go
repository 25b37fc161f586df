package inspect

import (
	"cmp"
	"context"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/neosc/gate/authz"
	"github.com/neosc/gate/authz/engine"
	"github.com/neosc/gate/bundles"
)

// Decisions is how two sets decide the same requests, which were made for both:
// they go as many ways through the rules of each as were found.
type Decisions struct {
	// Asked is how many requests both decided, Changed how many they decided
	// otherwise.
	Asked   int `json:"asked"`
	Changed int `json:"changed"`
	// Groups are those that changed in the same way, the largest first.
	Groups []Group `json:"groups"`
	// Left is why a set got no requests of its own, "" if both did.
	Left string `json:"left,omitempty"`
}

// Group is decisions that changed in one way.
type Group struct {
	Route  string `json:"route"`
	Before string `json:"before"`
	After  string `json:"after"`
	// Parts are what is otherwise beside the verdict: headers, limits, …
	Parts []string `json:"parts,omitempty"`
	Count int      `json:"count"`
	// Example is one of the requests.
	Example Example `json:"example"`
}

// Example is a request as a person reads it.
type Example struct {
	Method string   `json:"method"`
	Path   string   `json:"path"`
	Time   string   `json:"time"`
	Roles  []string `json:"roles,omitempty"`
	Kind   string   `json:"session"`
}

// maxGroups is how many ways are told.
const maxGroups = 50

// decide has both sets decide the requests that were made for either.
func decide(ctx context.Context, before, after *bundles.Opened, o Options) (*Decisions, error) {
	d := &Decisions{Groups: []Group{}}
	var judges [2]*engine.Judge
	var requests []*authz.Request
	for i, x := range []*bundles.Opened{before, after} {
		src := x.Source
		src.EntryPoint = o.EntryPoint
		p, err := engine.Compile(src, o.Edge)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", nameOf(x), err)
		}
		made, err := engine.Requests(ctx, p, o.Requests)
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if err != nil {
			d.Left = fmt.Sprintf("%s: %v", nameOf(x), err)
		}
		requests = append(requests, made...)
		judges[i] = engine.NewJudge(p)
	}
	return d, d.compare(ctx, judges, requests)
}

func (d *Decisions) compare(ctx context.Context, judges [2]*engine.Judge, requests []*authz.Request) error {
	groups := map[string]*Group{}
	for _, r := range requests {
		if err := ctx.Err(); err != nil {
			return err
		}
		var got [2]*authz.Decision
		var errs [2]error
		for i, j := range judges {
			got[i], errs[i] = j.Decide(ctx, r)
		}
		d.Asked++
		g := differing(got, errs)
		if g == nil {
			continue
		}
		d.Changed++
		if g.Route = r.RouteName; r.Route != nil {
			g.Route = r.Route.Name
		}
		key := strings.Join(append([]string{g.Route, g.Before, g.After}, g.Parts...), "\x00")
		if groups[key] == nil {
			g.Example = exampleOf(r)
			groups[key] = g
		}
		groups[key].Count++
	}
	for _, g := range groups {
		d.Groups = append(d.Groups, *g)
	}
	slices.SortFunc(d.Groups, func(a, b Group) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), strings.Compare(a.Route, b.Route), strings.Compare(a.Before, b.Before), strings.Compare(a.After, b.After))
	})
	d.Groups = d.Groups[:min(len(d.Groups), maxGroups)]
	return nil
}

// differing is nil if two outcomes are the same but for whose they are.
func differing(d [2]*authz.Decision, errs [2]error) *Group {
	g := &Group{Before: verdict(d[0], errs[0]), After: verdict(d[1], errs[1])}
	if errs[0] == nil && errs[1] == nil {
		g.Parts = parts(d[0], d[1])
	}
	if g.Before == g.After && len(g.Parts) == 0 {
		return nil
	}
	return g
}

func verdict(d *authz.Decision, err error) string {
	switch {
	case err != nil:
		return "error"
	case d.Allowed:
		return "allow " + reasons(d)
	default:
		return "deny " + reasons(d)
	}
}

func reasons(d *authz.Decision) string {
	all := slices.Clone(d.Reasons)
	slices.Sort(all)
	return strings.Join(all, "+")
}

// fields are those of a decision beside its verdict, as policy calls them.
var fields = []struct {
	name string
	of   func(*authz.Decision) any
}{
	{"http_status", func(d *authz.Decision) any { return d.Status }},
	{"headers", func(d *authz.Decision) any { return d.Headers }},
	{"request_headers_to_remove", func(d *authz.Decision) any { return d.RemoveRequestHeaders }},
	{"response_headers_to_add", func(d *authz.Decision) any { return d.ResponseHeaders }},
	{"body", func(d *authz.Decision) any { return d.Body }},
	{"query_parameters_to_set", func(d *authz.Decision) any { return d.QuerySet }},
	{"query_parameters_to_remove", func(d *authz.Decision) any { return d.QueryRemove }},
	{"dynamic_metadata", func(d *authz.Decision) any { return d.Metadata }},
	{"rate_limits", func(d *authz.Decision) any { return d.Charges }},
	{"stream_until", func(d *authz.Decision) any { return d.StreamUntil }},
	{"explain", func(d *authz.Decision) any { return d.Explain }},
}

// parts names the fields that are otherwise.
func parts(a, b *authz.Decision) (names []string) {
	for _, f := range fields {
		if !reflect.DeepEqual(f.of(a), f.of(b)) {
			names = append(names, f.name)
		}
	}
	return names
}

func exampleOf(r *authz.Request) Example {
	e := Example{Method: r.Method, Path: r.Path, Time: r.Time.UTC().Format("2006-01-02T15:04:05Z"), Kind: "none"}
	if s := r.Session; s != nil {
		e.Kind, e.Roles = fmt.Sprint(s.Kind), s.Identity.Roles
	}
	return e
}
