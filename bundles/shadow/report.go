package shadow

import (
	"cmp"
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/neosc/gate/authz"
	"github.com/neosc/gate/bundles/replay"
)

// Bounds of a report.
const (
	mostGroups = 200
	mostRules  = 8
	mostShown  = 512
)

// Report says what came of a candidate in shadow.
type Report struct {
	// Place and Revision are the candidate's, LiveRevision and LiveGeneration the
	// policy's that it is compared with.
	Place          string  `json:"place"`
	Revision       string  `json:"revision"`
	LiveRevision   string  `json:"live_revision"`
	LiveGeneration uint64  `json:"live_generation"`
	Share          float64 `json:"share"`
	// Since is when counting began.
	Since time.Time `json:"since"`
	// Compared is Agreed, Disagreed and Stale (taken while the policies changed);
	// Dropped found no room, Skipped were larger than is kept.
	Compared  uint64 `json:"compared"`
	Agreed    uint64 `json:"agreed"`
	Disagreed uint64 `json:"disagreed"`
	Stale     uint64 `json:"stale"`
	Dropped   uint64 `json:"dropped"`
	Skipped   uint64 `json:"skipped"`
	// Slow is why OPA's evaluator runs the candidate; "" if the machine does.
	Slow string `json:"slow,omitempty"`
	// Trouble is what keeps the report from being of the policy as it would be.
	Trouble string `json:"trouble,omitempty"`
	// Groups are the differences, the most frequent first; Others is how many are
	// in none, since there are too many kinds.
	Groups []Group `json:"groups"`
	Others uint64  `json:"others,omitempty"`
}

// Group is one kind of difference.
type Group struct {
	Kind  replay.Kind `json:"kind"`
	Route string      `json:"route"`
	From  string      `json:"from"`
	To    string      `json:"to"`
	// Rules are those that held in one policy alone: - in the live one, + in the
	// candidate.
	Rules   []string `json:"rules,omitempty"`
	Count   uint64   `json:"count"`
	Example Example  `json:"example"`
}

// Example is the last request of a group, without what may be a secret or says
// whose it is.
type Example struct {
	Time      time.Time `json:"time"`
	RequestID string    `json:"request_id,omitempty"`
	Method    string    `json:"method"`
	Host      string    `json:"host"`
	Path      string    `json:"path"`
	SignedIn  bool      `json:"signed_in"`
	Roles     []string  `json:"roles,omitempty"`
}

type counts struct{ compared, agreed, disagreed, stale uint64 }

// groups are the differences by kind. The zero value is ready.
type groups struct {
	by     map[string]*Group
	others uint64
}

func (g *groups) add(r *authz.Request, c replay.Change, rules []string) {
	key := strings.Join(append([]string{string(c.Kind), r.RouteName, c.From, c.To}, rules...), "\x00")
	x := g.by[key]
	if x == nil {
		if len(g.by) >= mostGroups {
			g.others++
			return
		}
		if g.by == nil {
			g.by = map[string]*Group{}
		}
		x = &Group{Kind: c.Kind, Route: shown(r.RouteName), From: shown(c.From), To: shown(c.To), Rules: rules}
		g.by[key] = x
	}
	x.Count++
	x.Example = example(r)
}

func example(r *authz.Request) Example {
	e := Example{Time: r.Time, RequestID: shown(r.ID), Method: shown(r.Method), Host: shown(r.Host), Path: maskedPath(r)}
	if r.Session != nil {
		e.SignedIn, e.Roles = true, r.Session.Identity.Roles
	}
	return e
}

// maskedPath is a path whose parameters have no values: one may be a secret, or
// whose it is.
func maskedPath(r *authz.Request) string {
	path, query := r.SplitPath()
	if query == "" {
		return shown(path)
	}
	values, err := url.ParseQuery(query)
	if err != nil {
		return shown(path) + "?" + authz.Masked
	}
	sep := "?"
	for _, name := range slices.Sorted(maps.Keys(values)) {
		path += sep + name + "=" + authz.Masked
		sep = "&"
	}
	return shown(path)
}

// shown is a text of its own, bounded: what waits in the tap is used again.
func shown(s string) string { return strings.Clone(s[:min(len(s), mostShown)]) }

// rulesBetween names the rules that held in one decision alone. nil if it is not
// known which held.
func rulesBetween(was, now *authz.Decision) []string {
	if was == nil || now == nil || was.Trace.Rules == nil || now.Trace.Rules == nil {
		return nil
	}
	// Which of several of a name is which: by their order, since their lines have
	// mostly moved; where one came or went besides, by their lines.
	many, manyNow := named(was.Trace.Rules), named(now.Trace.Rules)
	same := func(name string) bool { return many[name] == manyNow[name] }
	then, by := held(&was.Trace, same), held(&now.Trace, same)
	var out []string
	add := func(sign string, in, without map[ruleKey]string) {
		from := len(out)
		for k, at := range in {
			if _, both := without[k]; !both {
				out = append(out, sign+k.name+" "+at)
			}
		}
		slices.Sort(out[from:])
	}
	add("-", then, by)
	add("+", by, then)
	return out[:min(len(out), mostRules)]
}

// ruleKey tells the rules of a policy apart.
type ruleKey struct {
	name, at string // at is "" where the order counts
	order    int
}

// named counts the rules of each name.
func named(rules []authz.Rule) map[string]int {
	n := map[string]int{}
	for i := range rules {
		n[rules[i].Name]++
	}
	return n
}

// held are the rules that held, with where they stand.
func held(t *authz.Trace, same func(name string) bool) map[ruleKey]string {
	out, seen := map[ruleKey]string{}, map[string]int{}
	for i, x := range t.Rules {
		k := ruleKey{name: x.Name, at: x.At}
		if same(x.Name) {
			k.at, k.order = "", seen[x.Name]
		}
		seen[x.Name]++
		if t.Has(i) {
			out[k] = x.At
		}
	}
	return out
}

// report is called by whoever decides.
func (s *run) report() Report {
	out := Report{
		Place: s.candidate.Name, Revision: s.judge.Program().Revision(), LiveGeneration: s.liveAt, Share: s.candidate.Share, Since: s.since,
		Compared: s.counts.compared, Agreed: s.counts.agreed, Disagreed: s.counts.disagreed, Stale: s.counts.stale,
		Dropped: s.dropped.Load(), Skipped: s.skipped.Load(), Slow: s.judge.Slow(), Trouble: s.trouble, Groups: []Group{}, Others: s.groups.others,
	}
	if s.live != nil {
		out.LiveRevision = s.live.Program().Revision()
	}
	for _, g := range s.groups.by {
		out.Groups = append(out.Groups, *g)
	}
	slices.SortFunc(out.Groups, func(a, b Group) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), strings.Compare(a.Route, b.Route), strings.Compare(string(a.Kind)+a.From+a.To, string(b.Kind)+b.From+b.To))
	})
	return out
}
